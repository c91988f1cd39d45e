import { tellMerge } from './decisions.js';
import { entry } from './entries.js';
import { mergeLinks } from './merge-links.js';
import type { SystemIndex } from './plan-index.js';
import { linkOfKey } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** Enough to tell one candidate from several, and to find who is in the way. */
const FEW = 50;

/** Live links, open for matching, whose canonical has the match value; oldest first. */
function liveLinks(turn: Turn, entity: string, match: string, limit: number): LinkDraft[] {
  return turn.find(entry.match(entity, match), limit).map((key) => turn.link(linkOfKey(key))!);
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
      for (const key of turn.find(entry.shows(other, system.entity.name, match), FEW)) {
        const link = turn.link(linkOfKey(key));
        if (link?.existence === 'deleted' && link.matching === 'open' && !occupied(link.members[system.system])) {
          found.add(link);
        }
      }
    }
    if (found.size === 1) return [...found][0]!;
  }
  return null;
}

/** Rule 4: the insert in flight that a new record may be, for it shows the same match value; null where there is none. */
export function insertInFlight(turn: Turn, system: SystemIndex, matches: readonly string[]): string | null {
  const { name } = system.entity;
  for (const match of matches) {
    for (const key of turn.find(entry.inserting(system.system, name, match), 1)) {
      const command = turn.link(linkOfKey(key))?.members[system.system]?.inFlight;
      if (command != null) return command.command;
    }
    for (const link of liveLinks(turn, name, match, FEW)) {
      const command = link.members[system.system]?.inFlight;
      if (command?.operation === 'insert') return command.command;
    }
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
    for (const other of liveLinks(turn, name, match, FEW)) {
      if (other.id === link.id) continue;
      if (occupied(other.members[system.system]))
        return `${rule}: link ${other.id} has a record there with the same value`;
      if (other.id < link.id) return `${rule}: link ${other.id} has the same value and comes first`;
    }
    const shown = turn.find(entry.shows(system.system, name, match), FEW).find((key) => linkOfKey(key) !== link.id);
    if (shown !== undefined) return `${rule}: a record there shows the same value (link ${linkOfKey(shown)})`;
    const inserting = turn
      .find(entry.inserting(system.system, name, match), FEW)
      .find((key) => linkOfKey(key) !== link.id);
    if (inserting !== undefined) return `${rule}: link ${linkOfKey(inserting)} is being inserted with the same value`;
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
