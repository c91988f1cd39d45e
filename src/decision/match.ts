import { tellMerge } from './decisions.js';
import { mergeLinks } from './merge-links.js';
import type { SystemIndex } from './plan-index.js';
import { inserts, isLive, related, shows } from './related.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** Live links, open for matching, whose canonical has the match value; oldest first. */
function liveLinks(turn: Turn, entity: string, match: string, limit: number): LinkDraft[] {
  return related(turn, entity, match, (link) => isLive(link, match), limit);
}

/** The system has a record of the link, or is about to get one from us, or its deletion is not settled. */
export function occupied(member: MemberDraft | undefined): boolean {
  return (
    member !== undefined && (member.seen !== null || member.ending !== null || member.inFlight?.operation === 'insert')
  );
}

/**
 * Rule 1: the link that a new record of the system joins, rules in order: the only live one with its match value, if
 * that has no record there; else a deleted one whose other records still exist; else null, for a link of its own.
 */
export function linkToJoin(turn: Turn, system: SystemIndex, matches: readonly string[]): LinkDraft | null {
  for (const match of matches) {
    const [only, ...others] = liveLinks(turn, system.entity.name, match, 2);
    if (only === undefined) continue;
    return others.length === 0 && !occupied(only.members[system.system]) ? only : null;
  }
  return deletedLinkWithRecords(turn, system, matches);
}

function deletedLinkWithRecords(turn: Turn, system: SystemIndex, matches: readonly string[]): LinkDraft | null {
  for (const match of matches) {
    const found = new Set<LinkDraft>();
    for (const other of system.entity.systems.keys()) {
      if (other === system.system) continue;
      const isMeant = (link: LinkDraft) =>
        link.existence === 'deleted' &&
        link.matching === 'open' &&
        shows(link, other, match) &&
        !occupied(link.members[system.system]);
      for (const link of related(turn, system.entity.name, match, isMeant, 2)) found.add(link);
    }
    if (found.size === 1) return [...found][0]!;
  }
  return null;
}

/** Rule 4: the insert in flight that a new record may be, for it shows the same match value; null where there is none. */
export function insertInFlight(turn: Turn, system: SystemIndex, matches: readonly string[]): string | null {
  const { name } = system.entity;
  for (const match of matches) {
    const isInserted = (link: LinkDraft) => inserts(link, system.system, match);
    const mayBeInserted = (link: LinkDraft) =>
      isLive(link, match) && link.members[system.system]?.inFlight?.operation === 'insert';
    const [link] = related(turn, name, match, isInserted, 1);
    const [live] = link === undefined ? related(turn, name, match, mayBeInserted, 1) : [link];
    if (live !== undefined) return live.members[system.system]!.inFlight!.command;
  }
  return null;
}

/**
 * Why the link may not be inserted into the system, or null: another live link with its match value has a record there
 * or is older (rule 1), or some record there shows the value, whatever its link's canonical says (rule 3).
 */
export function duplicateIn(turn: Turn, link: LinkDraft, system: SystemIndex): string | null {
  const { name } = system.entity;
  for (const match of link.match) {
    const rule = match.slice(0, match.indexOf('='));
    const others = (isMeant: (other: LinkDraft) => boolean) =>
      related(turn, name, match, (other) => other.id !== link.id && isMeant(other), 1);
    const [there] = others(
      (other) => isLive(other, match) && (occupied(other.members[system.system]) || other.id < link.id),
    );
    if (there !== undefined && occupied(there.members[system.system]))
      return `${rule}: link ${there.id} has a record there with the same value`;
    if (there !== undefined) return `${rule}: link ${there.id} has the same value and comes first`;
    const [shown] = others((other) => shows(other, system.system, match));
    if (shown !== undefined) return `${rule}: a record there shows the same value (link ${shown.id})`;
    const [inserting] = others((other) => inserts(other, system.system, match));
    if (inserting !== undefined) return `${rule}: link ${inserting.id} is being inserted with the same value`;
  }
  return null;
}

/** Rule 2: of the only two live links with a match value, if nothing stands against it, one is made. */
export function mergeByMatch(turn: Turn, entity: string, match: string): void {
  const [older, younger, ...others] = liveLinks(turn, entity, match, 3);
  if (older === undefined || younger === undefined || others.length > 0) return;
  if (!mayMerge(older, younger)) return;
  const rule = match.slice(0, match.indexOf('='));
  tellMerge(turn, older, younger, `${rule}: the only two links with the same match value`);
  mergeLinks(turn, older, younger, 'merged-links');
}

function mayMerge(older: LinkDraft, younger: LinkDraft): boolean {
  for (const system in older.members) {
    const left = older.members[system]!;
    const right = younger.members[system];
    if (right === undefined) continue;
    if (occupied(left) && occupied(right) && !isOneTransaction(left, right) && !isOneTransaction(right, left))
      return false;
    if (left.inFlight !== null && right.inFlight !== null) return false;
  }
  return true;
}

/** One record deleted and the other created in the same transaction, with equal match values: a key change (rule 11). */
function isOneTransaction(deleted: MemberDraft, created: MemberDraft): boolean {
  return (
    deleted.ending !== null &&
    created.seen !== null &&
    deleted.ending.transaction === created.transaction &&
    deleted.match.some((match) => created.match.includes(match))
  );
}
