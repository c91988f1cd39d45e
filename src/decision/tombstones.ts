import { dayOf, entry, MICROS_PER_DAY } from './entries.js';
import { linkOfKey } from './state.js';
import type { Turn } from './turn.js';

/** How long a deleted link, or the redirect of a merged one, is remembered. */
export const TOMBSTONE_RETENTION_DAYS = 7;

const MAX_REMOVALS = 500;
const MAX_DAYS = 400;

/** Removes what was deleted long enough ago, some of it with every heartbeat: the only way in which time alone counts. */
export function removeTombstones(turn: Turn, timeMicros: number): void {
  let day = turn.sync.oldestTombstoneDay;
  if (day === null) return;
  const keepFrom = dayOf(timeMicros - TOMBSTONE_RETENTION_DAYS * MICROS_PER_DAY);
  for (let days = 0; day < keepFrom && days < MAX_DAYS; days++, day++) {
    const keys = turn.find(entry.tombstone(day), MAX_REMOVALS);
    for (const key of keys) {
      const record = turn.state.get(key);
      if (record?.kind === 'redirect') turn.state.delete(key);
      else {
        const link = turn.link(linkOfKey(key));
        if (link !== null) turn.remove(link, null);
      }
    }
    if (keys.length === MAX_REMOVALS) break;
  }
  if (day !== turn.sync.oldestTombstoneDay) turn.setSync({ oldestTombstoneDay: day });
}
