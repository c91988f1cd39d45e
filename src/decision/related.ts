import { entry } from './entries.js';
import { linkOfKey } from './state.js';
import type { LinkDraft, Turn } from './turn.js';

const PAGE = 50;
/** Of a value that so many links have to do with all are doubles of each other; who is looked at is the oldest. */
const MOST = 200;

/** Links that have to do with a match value, and that `wanted` picks; oldest first, at most `limit`. */
export function related(
  turn: Turn,
  entity: string,
  match: string,
  wanted: (link: LinkDraft) => boolean,
  limit: number,
): LinkDraft[] {
  const found: LinkDraft[] = [];
  const name = entry.value(entity, match);
  let after: string | null = null;
  for (let looked = 0; looked < MOST; looked += PAGE) {
    const keys = turn.findLinks(name, PAGE, after);
    for (const key of keys) {
      const link = turn.link(linkOfKey(key));
      if (link === null || !wanted(link)) continue;
      found.push(link);
      if (found.length === limit) return found;
    }
    if (keys.length < PAGE) break;
    after = keys[keys.length - 1]!;
  }
  return found;
}

/** Open for matching, with the value in its canonical. */
export function isLive(link: LinkDraft, match: string): boolean {
  return link.matching === 'open' && link.existence === 'present' && link.match.includes(match);
}

/** Its record in the system shows the value. */
export function shows(link: LinkDraft, system: string, match: string): boolean {
  return link.members[system]?.match.includes(match) === true;
}

/** An insert with the value is in flight to the system. */
export function inserts(link: LinkDraft, system: string, match: string): boolean {
  const command = link.members[system]?.inFlight;
  return command != null && command.operation === 'insert' && command.match.includes(match);
}
