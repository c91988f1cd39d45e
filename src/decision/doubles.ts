import { entry } from './entries.js';
import { hold, release } from './holds.js';
import type { SystemIndex } from './plan-index.js';
import { linkOfKey } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * Rule 13: the guard of an insert is not atomic, and it compares texts as they are where a match rule does not. A record
 * of ours that turns out to show a match value which another record there shows too is a double: held, until it is gone
 * or the values differ.
 */
export function holdDouble(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const match = member.match.find((one) => othersShow(turn, link, system, one));
  if (match === undefined) return;
  const detail = `${match.slice(0, match.indexOf('='))}: another record there shows the value of the one that was inserted`;
  hold(turn, link, member, { reason: 'duplicate', group: null, detail });
}

/** Ends such a hold once no other record there shows the same. */
export function releaseDouble(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  if (!member.holds.some(({ lasting, reason }) => lasting && reason === 'duplicate')) return;
  if (member.match.some((match) => othersShow(turn, link, system, match))) return;
  release(turn, link, member, ({ lasting, reason }) => lasting && reason === 'duplicate');
}

function othersShow(turn: Turn, link: LinkDraft, system: SystemIndex, match: string): boolean {
  return turn.find(entry.shows(system.system, system.entity.name, match), 2).some((key) => linkOfKey(key) !== link.id);
}
