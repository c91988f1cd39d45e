import type { MemoryDatabase } from '../../../connectors/memory/database.js';
import type { LoggedTransaction } from '../../../connectors/memory/commit-log.js';
import type { Command } from '../../../src/connector/contract.js';
import type { FieldValue, StreamEvent } from '../../../src/decision/events.js';
import type { CanonicalOutput, DecisionOutput, HoldOutput } from '../../../src/decision/outputs.js';
import type { Row, Value } from '../../../src/model/value.js';
import { normalisedCode } from '../users.js';
import { columnOf, columnToField, isPresent, type EntityConfig, type WorldConfig } from '../world-config.js';

/** Something seen, with its place among all that was seen anywhere. */
export interface Seen<T> {
  readonly order: number;
  readonly what: T;
}

/** A place in a system's stream where changes may have been lost, in the order of all that was seen. */
export interface Gap {
  readonly system: string;
  readonly entity: string;
  readonly told: number;
  /** The stream task's commit that it was decided in, and the one before. */
  readonly decided: number;
  readonly after: number;
}

/** All that a run leaves to look at: the systems' own history and the topics, from their first record. */
export interface Observed {
  readonly world: WorldConfig;
  readonly databases: ReadonlyMap<string, MemoryDatabase>;
  readonly history: ReadonlyMap<string, readonly Seen<LoggedTransaction>[]>;
  /** Systems whose logs were cut before they had been read, and those of which a resync was asked for. */
  readonly lost: ReadonlySet<string>;
  readonly resynced: ReadonlySet<string>;
  readonly gaps: readonly Gap[];
  readonly events: readonly Seen<StreamEvent>[];
  readonly commands: readonly Seen<{ readonly system: string; readonly command: Command }>[];
  readonly canonical: readonly Seen<CanonicalOutput>[];
  readonly decisions: readonly Seen<DecisionOutput>[];
  readonly holds: readonly Seen<HoldOutput>[];
}

export interface Violation {
  /** The rule (docs/decision.md) or invariant (ARCHITECTURE.md) that does not hold. */
  readonly rule: string;
  readonly message: string;
}

/** A change of a record as its users see it: absent before an insert and while it is soft-deleted. */
export interface RecordChange {
  readonly order: number;
  readonly system: string;
  readonly entity: EntityConfig;
  /** The key after the change. */
  readonly key: string;
  /** The key before it, where the change was one of the key. */
  readonly oldKey: string | null;
  readonly before: Row | null;
  readonly after: Row | null;
  /** Null for a user's change; else what our sink did, or a trigger beside it (`command` null). */
  readonly own: { readonly command: string | null } | null;
  readonly transaction: number;
  readonly timeMicros: number;
}

/** The history of every system's records, in the order in which it happened. */
export function recordChanges(observed: Observed): RecordChange[] {
  const changes: RecordChange[] = [];
  const sharesLink = linksShared(observed);
  for (const [system, transactions] of observed.history) {
    for (const { order, what } of transactions) {
      changes.push(...asKeyChanges(changesOf(observed.world, system, order, what), sharesLink));
    }
  }
  return changes.sort((left, right) => left.order - right.order);
}

function changesOf(world: WorldConfig, system: string, order: number, transaction: LoggedTransaction): RecordChange[] {
  const changes: RecordChange[] = [];
  const commands = new Map<string, string>();
  for (const outcome of transaction.mark?.outcomes ?? []) {
    if (outcome.status === 'applied') commands.set(`${outcome.entity} ${outcome.key}`, outcome.command);
  }
  for (const logged of transaction.changes) {
    // A changed key is told by its second half, which has both images.
    if (logged.keyChange && 'to' in logged.keyChange) continue;
    const entity = world.entities.find(({ name }) => `${system}.${name}` === logged.table)!;
    const config = entity.systems[system]!;
    const name = `${entity.name} ${logged.key}`;
    const command = commands.get(name) ?? null;
    commands.delete(name);
    const present = (row: Row | null) => (row && isPresent(config, row) ? row : null);
    changes.push({
      order,
      system,
      entity,
      key: logged.key,
      oldKey: logged.keyChange ? logged.keyChange.from : null,
      before: present(logged.before),
      after: present(logged.after),
      own: transaction.mark ? { command } : null,
      transaction: transaction.number,
      timeMicros: transaction.commitTimeMicros,
    });
  }
  return changes;
}

type SharesLink = (left: RecordChange, right: RecordChange) => boolean;

/** Two records of a system were in one link, by what was told of it. */
function linksShared({ canonical }: Observed): SharesLink {
  const links = new Map<string, Set<string>>();
  for (const { what } of canonical) {
    for (const [system, key] of Object.entries(what.keys)) {
      const name = recordName(system, what.entity, key);
      links.set(name, (links.get(name) ?? new Set()).add(what.link));
    }
  }
  const linksOf = ({ system, entity, key }: RecordChange) =>
    links.get(recordName(system, entity.name, key)) ?? new Set();
  return (left, right) => [...linksOf(left)].some((link) => linksOf(right).has(link));
}

/**
 * A delete and an insert in one transaction with equal match values are a key change (rule 11). Of several deletes that it
 * may be, the one whose link the new record went on with is meant.
 */
function asKeyChanges(changes: readonly RecordChange[], sharesLink: SharesLink): RecordChange[] {
  const inserts = changes.filter(({ before, after }) => before === null && after !== null);
  const deletes = changes.filter(({ before, after }) => before !== null && after === null);
  if (inserts.length === 0 || deletes.length === 0) return [...changes];
  const replaced = new Map<RecordChange, RecordChange | null>();
  for (const insertion of inserts) {
    const code = codeOf(insertion.entity, insertion.system, insertion.after);
    const meant = deletes.filter(
      (candidate) =>
        candidate.entity === insertion.entity &&
        !replaced.has(candidate) &&
        code !== null &&
        code === codeOf(candidate.entity, candidate.system, candidate.before),
    );
    const deletion = meant.find((one) => sharesLink(one, insertion)) ?? meant[0];
    if (!deletion) continue;
    replaced.set(deletion, null);
    replaced.set(insertion, { ...insertion, before: deletion.before, oldKey: deletion.key });
  }
  return changes.flatMap((change) => {
    const instead = replaced.get(change);
    return instead === undefined ? [change] : instead === null ? [] : [instead];
  });
}

/** A record's match value, normalised as the entity's rule says. */
export function codeOf(entity: EntityConfig, system: string, row: Row | null): Value {
  const value = fieldOf(entity, system, entity.fields.find(({ kind }) => kind === 'code')!.name, row);
  return entity.normalise.length > 0 ? normalisedCode(value) : value;
}

/** The value of a field in a row, as people mean it; null where there is no row. */
export function fieldOf(entity: EntityConfig, system: string, field: string, row: Row | null): Value {
  if (!row) return null;
  const config = entity.fields.find(({ name }) => name === field)!;
  return columnToField(config, row[columnOf(entity.systems[system]!, system, config)] ?? null);
}

/** What the topics say at the end: the current record of each link and the holds that stand. */
export interface Final {
  readonly links: ReadonlyMap<string, CanonicalOutput>;
  /** By link and system. */
  readonly holds: ReadonlyMap<string, NonNullable<HoldOutput['hold']>>;
  /** Records that a hold names, by system, entity and key, with the holding link. */
  readonly heldRecords: ReadonlyMap<string, string>;
  /** By system, entity and key: every link that ever named the record, with the first time that it did. */
  readonly linksOfRecord: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Links that became part of another, as the decisions tell, with that other. */
  readonly mergedInto: ReadonlyMap<string, string>;
  /** By system, entity and key: links whose decisions, or whose own writes, name the record. */
  readonly namingLinksOfRecord: ReadonlyMap<string, ReadonlySet<string>>;
}

export function finalOf(observed: Observed): Final {
  const links = new Map<string, CanonicalOutput>();
  const linksOfRecord = new Map<string, Map<string, number>>();
  for (const { order, what } of observed.canonical) {
    links.set(what.link, what);
    for (const [system, key] of Object.entries(what.keys)) {
      const name = recordName(system, what.entity, key);
      const known = linksOfRecord.get(name) ?? new Map<string, number>();
      if (!known.has(what.link)) known.set(what.link, order);
      linksOfRecord.set(name, known);
    }
  }
  const holds = new Map<string, NonNullable<HoldOutput['hold']>>();
  for (const { what } of observed.holds) {
    if (what.hold) holds.set(`${what.link} ${what.system}`, what.hold);
    else holds.delete(`${what.link} ${what.system}`);
  }
  const heldRecords = new Map<string, string>();
  for (const { what } of observed.holds) {
    const hold = holds.get(`${what.link} ${what.system}`);
    if (hold?.key != null) heldRecords.set(recordName(what.system, what.entity, hold.key), what.link);
  }
  const mergedInto = new Map<string, string>();
  for (const { what } of observed.decisions) if (what.merged !== null) mergedInto.set(what.merged, what.link);
  return { links, holds, heldRecords, linksOfRecord, mergedInto, namingLinksOfRecord: namingLinks(observed) };
}

/** The link that this one is part of at the end. */
export function lastOf(final: Final, link: string): string {
  let last = link;
  for (let next = final.mergedInto.get(last); next !== undefined; next = final.mergedInto.get(last)) last = next;
  return last;
}

function namingLinks(observed: Observed): Map<string, Set<string>> {
  const links = new Map<string, Set<string>>();
  const add = (name: string, link: string) => links.set(name, (links.get(name) ?? new Set()).add(link));
  for (const { what } of observed.decisions) {
    for (const { system, key } of what.fields.flatMap(({ sides }) => sides)) {
      if (key !== null) add(recordName(system, what.entity, key), what.link);
    }
  }
  for (const { what } of observed.events) {
    if (what.kind !== 'change' || what.origin?.link == null) continue;
    add(recordName(what.system, what.entity, what.key), what.origin.link);
  }
  return links;
}

/**
 * A link that was to be deleted before its record was ever told as current has the record in the decision of that, or in
 * the change that it made there.
 */
export function isRecordOf(final: Final, link: string, record: string): boolean {
  return (
    final.linksOfRecord.get(record)?.has(link) === true || final.namingLinksOfRecord.get(record)?.has(link) === true
  );
}

export function recordName(system: string, entity: string, key: string): string {
  return `${system} ${entity} ${key}`;
}

/** A canonical value for messages. */
export function show(value: FieldValue): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
