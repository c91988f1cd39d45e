import { occupied } from './match.js';
import { related } from './related.js';
import type { LinkDraft, Turn } from './turn.js';

/** The only live link with one of the values that lacks a record in every system where this one has one (rule 1). */
export function partnerOf(
  turn: Turn,
  link: LinkDraft,
  matches: readonly string[],
  byFirst: boolean,
): LinkDraft | 'several' | null {
  for (const match of matches) {
    const mayBe = (other: LinkDraft) =>
      other.id !== link.id &&
      other.matching === 'open' &&
      other.existence === 'present' &&
      (other.match.includes(match) || (byFirst && other.firstMatch.includes(match)));
    const links = related(turn, link.entity, match, mayBe, 2);
    if (links.length === 0) continue;
    const only = links.length === 1 ? links[0]! : null;
    return only !== null && sharesNoSystem(only, link) ? only : 'several';
  }
  return null;
}

function sharesNoSystem(left: LinkDraft, right: LinkDraft): boolean {
  return Object.keys(right.members).every(
    (system) => !occupied(right.members[system]) || !occupied(left.members[system]),
  );
}
