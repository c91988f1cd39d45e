import { entry } from '../decision/entries.js';
import type { HoldReason } from '../decision/outputs.js';
import type { StateRecord } from '../decision/state.js';
import type { State } from '../state/contract.js';

/** More than these are not counted: somebody is looking at a number, not at a list. */
const COUNTED_LINKS = 10_000;

/** Holds that wait now, by entity and reason. */
export function countHolds(state: State<StateRecord>): ReadonlyMap<string, ReadonlyMap<HoldReason, number>> {
  const counts = new Map<string, Map<HoldReason, number>>();
  for (const key of state.indexed(entry.held, { limit: COUNTED_LINKS })) {
    const link = state.get(key);
    if (link?.kind !== 'link') continue;
    let reasons = counts.get(link.entity);
    if (reasons === undefined) counts.set(link.entity, (reasons = new Map()));
    for (const { holds } of Object.values(link.members)) {
      for (const reason of new Set(holds.map((hold) => hold.reason)))
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  }
  return counts;
}
