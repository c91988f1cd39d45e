import type { Row } from '../model/value.js';
import type { State } from '../state/contract.js';
import type { ChangeEvent, FieldValue } from './events.js';
import type { HoldReason } from './outputs.js';
import type { Work } from './work.js';

/**
 * What the decision remembers. Every record is plain data, never changed once it is in the state, and
 * every index is a function of one record (`indexEntries` in entries.ts).
 *
 * A member's life, as its link sees it:
 *
 *             our insert applied, its own system's insert, a match
 *   ┌──────── absent ────────────────────────────────▶ present ◀───────────────┐
 *   │           ▲  ▲                                   │  │  │                 │ the same record again
 *   │ insert    │  │ our delete applied                │  │  └─▶ kept ─────────┤ (a new fact)
 *   │ in flight │  └────────────── delete in flight ◀──┘  │  (policy never)    │
 *   └───────────┤ refused, failed                         ▼                    │
 *               └───────────────────────────────────── ending ─────────────────┘
 *                 the deleting transaction is over       (deleted in its own system; until that transaction's
 *                 and the deletion stands                 `end` it may prove to be a key change, rule 11)
 */
export type StateRecord = LinkRecord | RedirectRecord | WaitingRecord | CursorRecord | ConfigurationRecord | SyncRecord;

/** The same thing across systems (I9). */
export interface LinkRecord {
  readonly kind: 'link';
  /** Birth id and a rising number: sorts by age. */
  readonly id: string;
  readonly entity: string;
  readonly existence: 'present' | 'deleted';
  /** `first-snapshot`: its only record came before the end of that system's first snapshot (rule 10); `unlinked`: by delete policy. */
  readonly matching: 'open' | 'first-snapshot' | 'unlinked';
  /** A field that no system has told yet is missing. */
  readonly canonical: Readonly<Record<string, FieldValue>>;
  /** Who set a field group, and when. */
  readonly set: Readonly<Record<string, Setter>>;
  /** Match values of the canonical. */
  readonly match: readonly string[];
  /** The first match values seen, where they have changed before every first snapshot had ended (rule 10). */
  readonly firstMatch: readonly string[];
  /** Deletions not yet carried out everywhere (rule 5). */
  readonly deletions: readonly Deletion[];
  /** Rounds of rewriting per field group (rule 7). */
  readonly rewrites: Readonly<Record<string, number>>;
  /** Rises with every change of the canonical or of existence. */
  readonly moves: number;
  /** When it became a tombstone: deleted, and absent everywhere. */
  readonly tombstoneMicros: number | null;
  readonly members: Readonly<Record<string, Member>>;
}

export interface Setter {
  readonly system: string;
  /** Null: a row of a snapshot. */
  readonly timeMicros: number | null;
}

export interface Deletion {
  readonly system: string;
  readonly key: string;
  readonly timeMicros: number | null;
}

/** In `agreed`: the two never met. No null, which is a value that two can meet at. */
export const NEVER_MET: FieldValue = Object.freeze({ link: '' });

/** A link's place for one system. */
export interface Member {
  /** Key of the record there; null while it has none. */
  readonly key: string | null;
  /** The last image its system showed, or values it confirmed (I5). */
  readonly seen: Row | null;
  /** Rises whenever `seen` moves. */
  readonly moves: number;
  /** Per mapped field where `seen` and the projection differ: the value at which they last met, or `NEVER_MET`. */
  readonly agreed: Readonly<Record<string, FieldValue>>;
  /** Match values that `seen` shows. */
  readonly match: readonly string[];
  readonly inFlight: InFlight | null;
  readonly holds: readonly Hold[];
  /** Policy `never` left the record of a deleted link; its edits go nowhere. */
  readonly kept: boolean;
  /** Keys of records that were this one; references to them still resolve (rule 12). */
  readonly formerKeys: readonly string[];
  readonly ending: Ending | null;
  /** Number of the snapshot that last showed the record. */
  readonly snapshot: number;
  /**
   * Number of the last command of all when `seen` moved last, or a child left the record that is to be deleted: whoever met
   * it with a later one met what is known (rule 8).
   */
  readonly movedAfter: number;
  /** The transaction that created it or moved its key, for rule 11; null for rows read. */
  readonly transaction: string | null;
}

/** A deletion whose transaction is not over. */
export interface Ending {
  readonly transaction: string;
  readonly timeMicros: number | null;
  readonly key: string;
  readonly seen: Row;
}

/** A command without an outcome; it moves nothing (I5) and bars the next (I6). */
export interface InFlight {
  readonly command: string;
  readonly operation: 'insert' | 'update' | 'delete';
  /** An update that sets the soft-delete flag. */
  readonly soft: boolean;
  readonly key: string | null;
  readonly set: Row;
  readonly expect: Row;
  /** Match values of an insert (rule 4). */
  readonly match: readonly string[];
  /** `moves` of member and link when it was made. */
  readonly memberMoves: number;
  readonly linkMoves: number;
  /** Setters of field groups as they were when it was made, where they have changed since: a rewrite carries that time. */
  readonly setters: Readonly<Record<string, Setter>>;
}

export interface Hold {
  readonly reason: HoldReason;
  /** Field group, or null for the whole record. */
  readonly group: string | null;
  readonly detail: string;
  readonly sinceMicros: number | null;
  /** False: found anew whenever the member is reconciled. True: stays until what it names happens. */
  readonly lasting: boolean;
  /** The command that was refused or failed (rule 8): another one may go. */
  readonly attempt: Attempt | null;
  /** Key of the row in the way; when that row changes the command is tried again. */
  readonly blocking: string | null;
}

export interface Attempt {
  readonly operation: 'insert' | 'update' | 'delete';
  readonly key: string | null;
  readonly set: Row;
  readonly expect: Row;
}

/** What is left of a link that was merged into another. */
export interface RedirectRecord {
  readonly kind: 'redirect';
  readonly id: string;
  readonly entity: string;
  readonly to: string;
  readonly tombstoneMicros: number;
}

/** Events of a record that may be our own insert coming back as somebody else's (rule 4): in order, bounded. */
export interface WaitingRecord {
  readonly kind: 'waiting';
  readonly system: string;
  readonly entity: string;
  readonly key: string;
  /** The command whose outcome is waited for. */
  readonly command: string;
  readonly events: readonly ChangeEvent[];
  /** Number of the snapshot when the last of them came: what the stream told before a gap may be over. */
  readonly snapshot?: number;
}

/** Work on many links, done in steps by `continue` events. */
export interface CursorRecord {
  readonly kind: 'cursor';
  readonly number: number;
  readonly work: Work;
  /** State key of the last record done. */
  readonly after: string | null;
}

export interface SnapshotProgress {
  readonly phase: 'reading' | 'matching' | 'ended';
  /** It is the first one, restarts included; later ones are resyncs and stop nothing (rule 10). */
  readonly first: boolean;
  /** Rises with every beginning, and with every gap. */
  readonly number: number;
  /** Commands up to this number were in flight, or answered already, when a part of the stream may have been lost. */
  readonly doubt?: number;
  /** The request that the last gap answered. */
  readonly request?: string;
  /** The request that the last reading brought to its end answered. */
  readonly answered?: string;
}

/** The configuration that the state was made under, a digest a part (I16). */
export interface ConfigurationRecord {
  readonly kind: 'configuration';
  readonly parts: Readonly<Record<string, string>>;
}

/** One per state. */
export interface SyncRecord {
  readonly kind: 'sync';
  /** Part of every link and command id: a rebuilt state never gives one twice. */
  readonly birth: string;
  readonly fingerprint: string;
  readonly lastLink: number;
  readonly lastCommand: number;
  /** Cursors are numbered; those from `nextCursor` to `lastCursor` are still to be done. */
  readonly nextCursor: number;
  readonly lastCursor: number;
  /** By `system/entity`. */
  readonly snapshots: Readonly<Record<string, SnapshotProgress>>;
  /** The last time that any event told. */
  readonly timeMicros: number;
  readonly oldestTombstoneDay: number | null;
  /** Holds that name a row in the way; 0 spares the search for them. */
  readonly blockedHolds: number;
  /** As of the last event; `SyncPlan.observe` switches it. */
  readonly observe: boolean;
  /** Next offset to read per topic; the stream task's, in the same transaction as all else (I3). */
  readonly consumed: Readonly<Record<string, number>>;
  /** By command topic, its end when this state began; a state of an earlier version has none. */
  readonly commandsFrom?: Readonly<Record<string, number>>;
}

export const SYNC_KEY = 'sync';
export const CONFIGURATION_KEY = 'configuration';

export function linkKey(id: string): string {
  return `link/${id}`;
}

/** The link id in a link's state key. */
export function linkOfKey(key: string): string {
  return key.slice(5);
}

export function waitingKey(system: string, entity: string, key: string): string {
  return `waiting/${system}/${entity}/${key}`;
}

export function cursorKey(number: number): string {
  return `cursor/${String(number).padStart(12, '0')}`;
}

export function stateKey(record: StateRecord): string {
  switch (record.kind) {
    case 'link':
    case 'redirect':
      return linkKey(record.id);
    case 'waiting':
      return waitingKey(record.system, record.entity, record.key);
    case 'cursor':
      return cursorKey(record.number);
    case 'configuration':
      return CONFIGURATION_KEY;
    case 'sync':
      return SYNC_KEY;
  }
}

/** Writes the records that a new state has. `birth` must be unique for ever (a random id given by the task). */
export function initialState(
  state: State<StateRecord>,
  options: {
    readonly birth: string;
    readonly fingerprint: string;
    readonly fingerprintParts: Readonly<Record<string, string>>;
  },
): void {
  state.put(CONFIGURATION_KEY, { kind: 'configuration', parts: options.fingerprintParts });
  state.put(SYNC_KEY, {
    kind: 'sync',
    birth: options.birth,
    fingerprint: options.fingerprint,
    lastLink: 0,
    lastCommand: 0,
    nextCursor: 1,
    lastCursor: 0,
    snapshots: {},
    timeMicros: 0,
    oldestTombstoneDay: null,
    blockedHolds: 0,
    observe: false,
    consumed: {},
  });
}

/** The sync record, or undefined in a state that has none yet. */
export function syncRecord(state: State<StateRecord>): SyncRecord | undefined {
  const record = state.get(SYNC_KEY);
  return record?.kind === 'sync' ? record : undefined;
}

/** True while work is left for `continue` events; feed them before the next event, so that cursors never pile up. */
export function hasCursors(state: State<StateRecord>): boolean {
  const sync = syncRecord(state);
  return sync !== undefined && sync.nextCursor <= sync.lastCursor;
}
