import type { LinkRecord, Member, StateRecord, WaitingRecord } from './state.js';

/** The names of index entries; each leads to the records that carry it. */
export const entry = {
  /** The link of an existing record. */
  record: (system: string, entity: string, key: string) => `record/${system}/${entity}/${key}`,
  /** Links of records that had this key once. */
  former: (system: string, entity: string, key: string) => `former/${system}/${entity}/${key}`,
  /** All links with a record there. */
  has: (system: string, entity: string) => `has/${system}/${entity}`,
  /** Links that have anything to do with a match value (`showsAnywhere`): one entry for all of it, since most values belong to one link. */
  value: (entity: string, match: string) => `value/${entity}/${match}`,
  /** Links of records seen before the end of their system's first snapshot, and still there. */
  unmatched: (system: string, entity: string) => `unmatched/${system}/${entity}`,
  /** Deleted links that are no tombstones yet; before all first snapshots have ended, also those of records gone by then. */
  dead: (entity: string) => `dead/${entity}`,
  /** Links that refer to a link. */
  child: (link: string) => `child/${link}`,
  /** Links that refer to a record without a link. */
  refers: (system: string, entity: string, key: string) => `refers/${system}/${entity}/${key}`,
  ending: (system: string, entity: string, transaction: string) => `ending/${system}/${entity}/${transaction}`,
  /** Links with a command held because of this row. */
  blocked: (system: string, entity: string, key: string) => `blocked/${system}/${entity}/${key}`,
  /** Links without a record anywhere that still have a command in flight or a deletion that is not over. */
  loose: (entity: string) => `loose/${entity}`,
  /** Links with a hold. */
  held: 'held',
  /** Records waiting for a command's outcome. */
  awaiting: (command: string) => `awaiting/${command}`,
  tombstone: (day: number) => `tombstone/${day}`,
} as const;

export const MICROS_PER_DAY = 86_400_000_000;

export function dayOf(timeMicros: number): number {
  return Math.floor(timeMicros / MICROS_PER_DAY);
}

/** Every index entry of a record: a function of the record alone. */
export function indexEntries(record: StateRecord): readonly string[] {
  switch (record.kind) {
    case 'link':
      return linkEntries(record);
    case 'redirect':
      return [entry.tombstone(dayOf(record.tombstoneMicros))];
    case 'waiting':
      return waitingEntries(record);
    case 'cursor':
    case 'configuration':
    case 'sync':
      return [];
  }
}

/** True where both records of one key surely carry the same entries: told without making them, as most changes leave them alone. */
export function sameEntries(left: StateRecord, right: StateRecord): boolean {
  if (left.kind !== 'link' || right.kind !== 'link') return left.kind === right.kind && left.kind === 'sync';
  if (
    left.existence !== right.existence ||
    left.matching !== right.matching ||
    left.tombstoneMicros !== right.tombstoneMicros ||
    !sameTexts(left.match, right.match) ||
    !sameTexts(left.firstMatch, right.firstMatch)
  ) {
    return false;
  }
  for (const system in left.members) if (!(system in right.members)) return false;
  let isThere = false;
  let isSettled = true;
  for (const system in right.members) {
    const was = left.members[system];
    const is = right.members[system]!;
    if (was === undefined || !sameMemberEntries(was, is)) return false;
    isThere ||= is.seen !== null;
    isSettled &&= (was.inFlight === null) === (is.inFlight === null);
  }
  // Of links without a record anywhere, those with a command in flight are told apart.
  if (!isThere && !isSettled) return false;
  return left.canonical === right.canonical || sameReferences(left.canonical, right.canonical);
}

function sameMemberEntries(left: Member, right: Member): boolean {
  return (
    left.key === right.key &&
    (left.seen === null) === (right.seen === null) &&
    left.ending === right.ending &&
    (left.holds === right.holds || (left.holds.length === 0 && right.holds.length === 0)) &&
    (left.inFlight === right.inFlight || !(isInsert(left.inFlight) || isInsert(right.inFlight))) &&
    sameTexts(left.match, right.match) &&
    sameTexts(left.formerKeys, right.formerKeys)
  );
}

function isInsert(command: Member['inFlight']): boolean {
  return command !== null && command.operation === 'insert';
}

function sameReferences(left: LinkRecord['canonical'], right: LinkRecord['canonical']): boolean {
  for (const field in left) if (isReference(left[field]) && left[field] !== right[field]) return false;
  for (const field in right) if (isReference(right[field]) && left[field] !== right[field]) return false;
  return true;
}

function isReference(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** The same texts in the same order: of match values, of keys. */
export function sameTexts(left: readonly string[], right: readonly string[]): boolean {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false;
  return true;
}

function waitingEntries(record: WaitingRecord): string[] {
  return [entry.awaiting(record.command)];
}

function linkEntries(link: LinkRecord): string[] {
  const entries: string[] = [];
  valueEntries(entries, link);
  let held = false;
  let isThere = false;
  let isUnsettled = false;
  for (const system in link.members) {
    const member = link.members[system]!;
    memberEntries(entries, link.entity, system, member);
    held ||= member.holds.length > 0;
    isThere ||= member.seen !== null;
    isUnsettled ||= member.inFlight !== null || member.ending !== null;
  }
  if (isUnsettled && !isThere) entries.push(entry.loose(link.entity));
  if (held) entries.push(entry.held);
  if (link.tombstoneMicros !== null) {
    entries.push(entry.tombstone(dayOf(link.tombstoneMicros)));
    return entries;
  }
  stageEntries(entries, link);
  for (const field in link.canonical) {
    const value = link.canonical[field]!;
    if (typeof value !== 'object' || value === null) continue;
    entries.push('link' in value ? entry.child(value.link) : entry.refers(value.system, value.entity, value.key));
  }
  return entries;
}

function stageEntries(entries: string[], link: LinkRecord): void {
  if (link.existence === 'deleted') entries.push(entry.dead(link.entity));
  if (link.matching === 'first-snapshot' && link.existence === 'present') {
    for (const system in link.members) entries.push(entry.unmatched(system, link.entity));
  }
}

/** Every match value of a link, once: of its canonical, of what its records show or are about to, and its first. */
function valueEntries(entries: string[], link: LinkRecord): void {
  const { entity, tombstoneMicros } = link;
  if (tombstoneMicros === null) {
    for (const match of link.firstMatch) addOnce(entries, entry.value(entity, match));
    if (link.matching === 'open' && link.existence === 'present') {
      for (const match of link.match) addOnce(entries, entry.value(entity, match));
    }
  }
  for (const system in link.members) {
    const { match, inFlight } = link.members[system]!;
    for (const value of match) addOnce(entries, entry.value(entity, value));
    if (inFlight === null || inFlight.operation !== 'insert') continue;
    for (const value of inFlight.match) addOnce(entries, entry.value(entity, value));
  }
}

function addOnce(entries: string[], one: string): void {
  if (!entries.includes(one)) entries.push(one);
}

function memberEntries(entries: string[], entity: string, system: string, member: Member): void {
  if (member.seen !== null && member.key !== null) {
    entries.push(entry.record(system, entity, member.key), entry.has(system, entity));
  }
  for (const key of member.formerKeys) entries.push(entry.former(system, entity, key));
  if (member.ending !== null) entries.push(entry.ending(system, entity, member.ending.transaction));
  for (const hold of member.holds) {
    if (hold.blocking !== null) entries.push(entry.blocked(system, entity, hold.blocking));
  }
}
