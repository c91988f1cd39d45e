import type { SystemIndex } from './plan-index.js';
import type { Turn } from './turn.js';

/** The first snapshot of the entity there has been read and matched; a target without capture counts as ended (I12). */
export function snapshotEnded(turn: Turn, system: SystemIndex): boolean {
  if (!system.plan.captured) return true;
  const progress = turn.sync.snapshots[`${system.system}/${system.entity.name}`];
  return progress !== undefined && (progress.phase === 'ended' || !progress.first);
}

/** No insert anywhere before this: else everything doubles (I12). */
export function allSnapshotsEnded(turn: Turn, entity: string): boolean {
  for (const system of turn.entity(entity).systems.values()) if (!snapshotEnded(turn, system)) return false;
  return true;
}
