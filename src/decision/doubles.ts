import { hold, release } from './holds.js';
import { related, shows } from './related.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * Rules 2 and 13: where two records of one system show the same match value (the guard of an insert is
 * not atomic, and it compares texts as they are where a match rule does not; or people made both), the younger link's
 * is held for people to see. Its edits go on as ever. Looked at when a match value comes or goes, so that the common path
 * does not pay for it.
 */
export function refreshDoubles(turn: Turn, link: LinkDraft): void {
  for (const system in link.members) {
    const member = link.members[system]!;
    const older = member.seen === null || link.existence === 'deleted' ? null : olderDouble(turn, link, system);
    const known = member.holds.find(isDoubleHold);
    if (older === null) {
      if (known !== undefined) release(turn, link, member, (one) => one === known);
      continue;
    }
    const detail = `the record of link ${older} here shows the same match value`;
    if (known?.detail !== detail) hold(turn, link, member, { reason: 'duplicate', group: null, detail });
  }
}

/** Some record of the link is held as one of several with the same match value in its system. */
export function hasDouble(link: LinkDraft): boolean {
  for (const system in link.members) if (link.members[system]!.holds.some(isDoubleHold)) return true;
  return false;
}

function isDoubleHold({ reason, lasting }: MemberDraft['holds'][number]): boolean {
  return lasting && reason === 'duplicate';
}

/** The link of another record there that shows the same: an older one, or one that was deleted and kept by policy. */
function olderDouble(turn: Turn, link: LinkDraft, system: string): string | null {
  if (link.matching !== 'open') return null;
  for (const match of link.members[system]!.match) {
    const isOlder = (other: LinkDraft) =>
      shows(other, system, match) && (other.id < link.id || (other.id > link.id && other.existence === 'deleted'));
    const [older] = related(turn, link.entity, match, isOlder, 1);
    if (older !== undefined) return older.id;
  }
  return null;
}
