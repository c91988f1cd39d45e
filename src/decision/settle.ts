import { takeAddedFields } from './added-fields.js';
import { observeChange } from './change.js';
import { endDeletion } from './deletes.js';
import { hasDouble, refreshDoubles } from './doubles.js';
import { entry } from './entries.js';
import { release } from './holds.js';
import { allSnapshotsEnded } from './gates.js';
import { mergeByMatch } from './match.js';
import { reconcile } from './reconcile.js';
import { rereadReferences } from './references.js';
import { entryOfDoubt, visitDoubt, visitVanished } from './resync.js';
import { entryOfPhase, finishPhase, visitInPhase } from './snapshot.js';
import { cursorKey, linkOfKey } from './state.js';
import type { LinkDraft, Turn, WorkItem } from './turn.js';
import { takeWaiting } from './waiting.js';
import type { Work } from './work.js';

/** One event's share of work; the rest goes on with `continue` events. */
export interface Share {
  /** Links that it may walk over. */
  readonly visits: number;
  /** What these visits may bring with them: merges and reconciles. Beyond, each becomes a cursor of its own. */
  readonly consequences: number;
}

export const SHARE: Share = { visits: 100, consequences: 500 };

/** Links that have to do with one match value, looked at together. */
const MATCH_PAGE = 100;

/** Does the work that an event has left, up to its share of it. */
export function settle(turn: Turn, share: Share): void {
  let { visits, consequences } = share;
  for (let item = turn.nextWork(); item !== null; item = turn.nextWork()) {
    if (item.work.what === 'link' || item.work.what === 'waiting') {
      if (consequences-- > 0) doOne(turn, item.work);
      else turn.park(item);
    } else if (item.work.what === 'match') {
      if (consequences > 0) consequences -= Math.max(walk(turn, item, Math.min(consequences, MATCH_PAGE)), 1);
      else turn.park(item);
    } else if (visits > 0) {
      visits -= Math.max(walk(turn, item, visits), 1);
    } else {
      turn.park(item);
    }
  }
}

/** Takes up the oldest cursor. */
export function goOn(turn: Turn): void {
  const { nextCursor, lastCursor } = turn.sync;
  if (nextCursor > lastCursor) return;
  const key = cursorKey(nextCursor);
  const cursor = turn.state.get(key);
  turn.state.delete(key);
  turn.setSync({ nextCursor: nextCursor + 1 });
  if (cursor?.kind === 'cursor') turn.queue(cursor.work, cursor.after);
}

function doOne(turn: Turn, work: Extract<Work, { what: 'link' | 'waiting' }>): void {
  if (work.what === 'waiting') {
    for (const event of takeWaiting(turn, work.command)) observeChange(turn, event);
    return;
  }
  const link = turn.link(work.link);
  if (link === null || link.tombstoneMicros !== null) return;
  if (hasDouble(link)) refreshDoubles(turn, link);
  reconcile(turn, link);
}

/** Walks on over the links of an index entry, at most `limit` of them; returns how many it has visited. */
function walk(turn: Turn, item: WorkItem, limit: number): number {
  const { work, after } = item;
  const keys =
    work.what === 'match' ? turn.findLinks(entryOf(work), limit, after) : turn.find(entryOf(work), limit, after);
  if (work.what === 'match' && after === null && keys.length > 1) mergeByMatch(turn, work.entity, work.match);
  for (const key of keys) {
    const link = turn.link(linkOfKey(key));
    if (link !== null) visit(turn, work, link);
    if (link !== null && work.what === 'match') refreshDoubles(turn, link);
  }
  if (keys.length === limit) turn.queue(work, keys.at(-1));
  else if (work.what === 'snapshot') finishPhase(turn, work.system, work.entity, work.phase);
  else if (work.what === 'named') queueFormerParents(turn, work);
  return keys.length;
}

function entryOf(work: Work): string {
  switch (work.what) {
    case 'match':
      return entry.value(work.entity, work.match);
    case 'children':
      return entry.child(work.link);
    case 'named':
      return entry.refers(work.system, work.entity, work.key);
    case 'ending':
      return entry.ending(work.system, work.entity, work.transaction);
    case 'blocked':
      return entry.blocked(work.system, work.entity, work.key);
    case 'snapshot':
      return entryOfPhase(work.system, work.entity, work.phase);
    case 'vanished':
    case 'added-fields':
    case 'all':
      return entry.has(work.system, work.entity);
    case 'doubt':
      return entryOfDoubt(work.entity, work.among);
    case 'link':
    case 'waiting':
      throw new TypeError(`${work.what} is not walked over`);
  }
}

function visit(turn: Turn, work: Work, link: LinkDraft): void {
  switch (work.what) {
    case 'children':
    case 'named':
      rereadReferences(turn, link);
      return;
    case 'ending': {
      const member = link.members[work.system];
      if (member?.ending?.transaction === work.transaction) {
        endDeletion(turn, link, turn.system(work.entity, work.system), member);
      }
      return;
    }
    case 'blocked': {
      const member = link.members[work.system];
      if (member !== undefined) release(turn, link, member, ({ blocking }) => blocking === work.key);
      break;
    }
    case 'snapshot':
      visitInPhase(turn, link, work.phase);
      return;
    case 'vanished':
      visitVanished(turn, link, turn.system(work.entity, work.system), work.snapshot);
      return;
    case 'doubt':
      visitDoubt(turn, link, turn.system(work.entity, work.system), work);
      return;
    case 'added-fields':
      takeAddedFields(turn, link, work.system, work.fields);
      break;
    case 'all':
      forgetFirstMatch(turn, link);
      break;
    case 'match':
    case 'link':
    case 'waiting':
  }
  turn.queue({ what: 'link', link: link.id });
}

/** First values are of use only while first snapshots are under way. */
function forgetFirstMatch(turn: Turn, link: LinkDraft): void {
  if (link.firstMatch.length === 0 || !allSnapshotsEnded(turn, link.entity)) return;
  link.firstMatch = [];
  turn.changed(link);
}

/** The key belonged to another record once: children that came later mean this one. */
function queueFormerParents(turn: Turn, work: Extract<Work, { what: 'named' }>): void {
  const current = turn.linkOfRecord(work.system, work.entity, work.key);
  for (const key of turn.find(entry.former(work.system, work.entity, work.key), SHARE.visits)) {
    const link = linkOfKey(key);
    if (link !== current?.id) turn.queue({ what: 'children', link });
  }
}
