import type { State } from '../state/contract.js';
import type { SyncPlan } from '../plan/plan.js';
import { DuologError } from '../errors/duolog-error.js';
import { dayOf, entry } from './entries.js';
import { EntryChanges, withChanges, type IndexedLink } from './entry-changes.js';
import type { AnswerEvent, StreamEvent } from './events.js';
import type { Output } from './outputs.js';
import { planIndex, type EntityIndex, type PlanIndex, type SystemIndex } from './plan-index.js';
import type { LinkRecord, Member, StateRecord, SyncRecord } from './state.js';
import { cursorKey, linkKey, linkOfKey, SYNC_KEY, syncRecord } from './state.js';
import type { Work } from './work.js';

type Mutable<T> = { -readonly [P in keyof T]: T[P] };
export type MemberDraft = Mutable<Member>;
/** A link while an event is decided: its own fields and its members may be set, what they hold is replaced, or changed where the turn owns it (`Turn.own`). */
export type LinkDraft = Mutable<Omit<LinkRecord, 'members'>> & { members: Record<string, MemberDraft> };

interface Loaded extends IndexedLink {
  readonly draft: LinkDraft;
  changed: boolean;
}

export interface WorkItem {
  readonly work: Work;
  readonly after: string | null;
}

/** Events without a time of their own have the last one kept; it is kept no more often than this. */
export const TIME_STEP_MICROS = 60_000_000;

/** More keys are asked for than wanted, since some links may have lost the entry in this turn. */
const MAY_GO = 10;

const NOTHING = Object.freeze([]) as readonly never[];
const EMPTY = Object.freeze({});

const FRESH_MEMBER: Member = {
  key: null,
  seen: null,
  moves: 0,
  agreed: EMPTY,
  match: NOTHING,
  inFlight: null,
  holds: NOTHING,
  kept: false,
  formerKeys: NOTHING,
  ending: null,
  snapshot: 0,
  movedAfter: 0,
  transaction: null,
};

/** One event's decision while it is being made: the records it has read and changed, its outputs, what is to be looked at again. */
export class Turn {
  readonly outputs: Output[] = [];
  readonly index: PlanIndex;
  /** The event's own time, or the last one known. */
  readonly timeMicros: number;
  private readonly links = new Map<string, Loaded>();
  private readonly entryChanges = new EntryChanges();
  // Most events leave little or no work: made when first wanted.
  private matches: Map<string, WorkItem> | null = null;
  private work: Map<string, WorkItem> | null = null;
  private reconciles: Map<string, WorkItem> | null = null;
  /** What the state said of entries of links; it changes in a turn only where a link is removed. */
  private known: Map<string, { readonly keys: readonly string[]; readonly limit: number }> | null = null;
  /** Made by `own`. */
  private owned: Set<object> | null = null;
  private syncDraft: Mutable<SyncRecord>;
  /** `syncDraft` is a copy that may be set, and was. */
  private syncChanged = false;

  constructor(
    readonly state: State<StateRecord>,
    readonly plan: SyncPlan,
    event: StreamEvent | AnswerEvent,
  ) {
    this.index = planIndex(plan);
    const sync = syncRecord(state);
    if (sync === undefined) throw new DuologError('INTERNAL', 'The state has no sync record.');
    if (sync.fingerprint !== plan.fingerprint) {
      throw new DuologError('CONFIG_CHANGED', `The state of sync ${plan.name} was made under another configuration.`);
    }
    this.syncDraft = sync;
    this.timeMicros = eventTime(event) ?? sync.timeMicros;
  }

  get sync(): Readonly<SyncRecord> {
    return this.syncDraft;
  }

  setSync(change: Partial<SyncRecord>): void {
    if (!this.syncChanged) this.syncDraft = { ...this.syncDraft };
    this.syncChanged = true;
    Object.assign(this.syncDraft, change);
  }

  entity(name: string): EntityIndex {
    const entity = this.index.entities.get(name);
    if (entity === undefined) throw new DuologError('INTERNAL', `The plan has no entity ${name}.`);
    return entity;
  }

  system(entity: string, system: string): SystemIndex {
    const found = this.entity(entity).systems.get(system);
    if (found === undefined) throw new DuologError('INTERNAL', `The plan has no ${entity} in system ${system}.`);
    return found;
  }

  // ------------------------------------------------------------ links

  /** The link of this id, or the one it was merged into; null if it is gone. */
  link(id: string): LinkDraft | null {
    for (let at = id; ; ) {
      const loaded = this.links.get(at);
      if (loaded !== undefined && !loaded.removed) return loaded.draft;
      const record = this.state.get(linkKey(at));
      if (record === undefined) return null;
      if (record.kind === 'redirect') at = record.to;
      else if (record.kind === 'link') return this.load(record);
      else return null;
    }
  }

  /** The link that has this existing record. */
  linkOfRecord(system: string, entity: string, key: string): LinkDraft | null {
    const found = this.find(entry.record(system, entity, key), 1)[0];
    return found === undefined ? null : this.link(linkOfKey(found));
  }

  newLink(entity: string): LinkDraft {
    const number = this.sync.lastLink + 1;
    this.setSync({ lastLink: number });
    const draft: LinkDraft = {
      kind: 'link',
      id: `${this.sync.birth}.${String(number).padStart(12, '0')}`,
      entity,
      existence: 'present',
      matching: 'open',
      canonical: EMPTY,
      set: EMPTY,
      match: NOTHING,
      firstMatch: NOTHING,
      deletions: NOTHING,
      rewrites: EMPTY,
      moves: 0,
      tombstoneMicros: null,
      members: {},
    };
    this.links.set(draft.id, {
      draft,
      original: null,
      stored: NOTHING,
      present: null,
      dirty: false,
      changed: false,
      removed: false,
    });
    this.changed(draft);
    return draft;
  }

  /** A link's member for a system, made on first use. */
  member(link: LinkDraft, system: string): MemberDraft {
    let member = link.members[system];
    if (member === undefined) {
      member = { ...FRESH_MEMBER };
      link.members[system] = member;
    }
    return member;
  }

  /** The same fields as an object that this turn may change: a copy, made the first time. */
  own<V>(fields: Readonly<Record<string, V>>): Record<string, V> {
    if (this.owned?.has(fields) === true) return fields;
    const copy = { ...fields };
    (this.owned ??= new Set()).add(copy);
    return copy;
  }

  changed(link: LinkDraft): void {
    const loaded = this.links.get(link.id)!;
    loaded.changed = true;
    this.entryChanges.note(loaded);
  }

  /** Takes a link out of the state; with `redirect` its id leads to another from now on. */
  remove(link: LinkDraft, redirect: { readonly to: string } | null): void {
    const loaded = this.links.get(link.id)!;
    loaded.removed = true;
    loaded.changed = true;
    this.entryChanges.forget(loaded);
    this.known = null;
    if (redirect === null) {
      this.state.delete(linkKey(link.id));
      return;
    }
    const tombstoneMicros = this.timeMicros;
    this.noteTombstone();
    this.state.put(linkKey(link.id), {
      kind: 'redirect',
      id: link.id,
      entity: link.entity,
      to: redirect.to,
      tombstoneMicros,
    });
  }

  /** Something is to be forgotten once the retention has passed. */
  noteTombstone(): void {
    const day = dayOf(this.timeMicros);
    const { oldestTombstoneDay } = this.sync;
    if (oldestTombstoneDay === null || day < oldestTombstoneDay) this.setSync({ oldestTombstoneDay: day });
  }

  private load(record: LinkRecord): LinkDraft {
    const draft: LinkDraft = { ...record, members: {} };
    for (const system in record.members) draft.members[system] = { ...record.members[system]! };
    this.links.set(record.id, {
      draft,
      original: record,
      stored: null,
      present: null,
      dirty: false,
      changed: false,
      removed: false,
    });
    return draft;
  }

  // ------------------------------------------------------------ indexes

  /** State keys under an index entry, with everything changed so far in this turn taken into account. */
  find(entryName: string, limit: number, after: string | null = null): readonly string[] {
    const changes = this.entryChanges.of(entryName);
    if (changes === null) return this.stored(entryName, limit, after);
    return withChanges(this.stored(entryName, limit + changes.size, after), changes, after, limit);
  }

  /** The same of an entry that links alone carry, which is asked for several times in a turn: the state is asked once. */
  findLinks(entryName: string, limit: number, after: string | null): readonly string[] {
    if (after === null && this.known?.get(entryName) === undefined) {
      const wanted = limit + MAY_GO;
      const keys = this.state.indexed(entryName, { limit: wanted });
      (this.known ??= new Map()).set(entryName, { keys, limit: keys.length < wanted ? Infinity : wanted });
    }
    return this.find(entryName, limit, after);
  }

  private stored(entryName: string, limit: number, after: string | null): readonly string[] {
    if (after !== null) return this.state.indexed(entryName, { after, limit });
    const known = this.known?.get(entryName);
    if (known === undefined || known.limit < limit) return this.state.indexed(entryName, { limit });
    return known.keys.length <= limit ? known.keys : known.keys.slice(0, limit);
  }

  // ------------------------------------------------------------ work

  /** Looks at something again before this turn ends, or in a later one if there is too much. */
  queue(work: Work, after: string | null = null): void {
    const item = { work, after };
    switch (work.what) {
      case 'match':
        (this.matches ??= new Map()).set(`${work.entity}/${work.match}`, item);
        return;
      case 'link':
        (this.reconciles ??= new Map()).set(work.link, item);
        return;
      default:
        (this.work ??= new Map()).set(workKey(work), item);
    }
  }

  /** The next piece of work: merges first, so that nothing is inserted that is about to be matched. */
  nextWork(): WorkItem | null {
    return take(this.matches) ?? take(this.work) ?? take(this.reconciles);
  }

  /** Leaves work for later turns. */
  park(item: WorkItem): void {
    const number = this.sync.lastCursor + 1;
    this.setSync({ lastCursor: number });
    this.state.put(cursorKey(number), { kind: 'cursor', number, work: item.work, after: item.after });
  }

  // ------------------------------------------------------------ end

  /** Puts what has changed into the state and has it said by `publish`. */
  finish(publish: (turn: Turn, before: LinkRecord | null, now: LinkDraft | null) => void): Output[] {
    let blocked = this.sync.blockedHolds;
    for (const { draft, original, changed, removed } of this.links.values()) {
      if (!changed) continue;
      blocked += blockedHolds(removed ? null : draft) - blockedHolds(original);
      publish(this, original, removed ? null : draft);
      if (!removed) this.state.put(linkKey(draft.id), draft);
    }
    if (blocked !== this.sync.blockedHolds) this.setSync({ blockedHolds: blocked });
    if (this.syncChanged || this.timeMicros - this.syncDraft.timeMicros > TIME_STEP_MICROS) {
      this.setSync({ timeMicros: Math.max(this.syncDraft.timeMicros, this.timeMicros) });
      this.state.put(SYNC_KEY, this.syncDraft);
    }
    return this.outputs;
  }
}

function take(items: Map<string, WorkItem> | null): WorkItem | null {
  if (items === null || items.size === 0) return null;
  for (const [key, item] of items) {
    items.delete(key);
    return item;
  }
  return null;
}

function workKey(work: Work): string {
  return Object.values(work).join('/');
}

function blockedHolds(link: LinkRecord | LinkDraft | null): number {
  if (link === null) return 0;
  let count = 0;
  for (const system in link.members) {
    for (const hold of link.members[system]!.holds) if (hold.blocking !== null) count++;
  }
  return count;
}

function eventTime(event: StreamEvent | AnswerEvent): number | null {
  switch (event.kind) {
    case 'change':
    case 'outcome':
    case 'end':
      return event.commitTimeMicros;
    case 'heartbeat':
    case 'answer':
      return event.timeMicros;
    case 'continue':
      return null;
  }
}
