import type { Row, Value } from '../model/value.js';
import type { ChangeEvent } from './events.js';
import type { MappedColumn, SystemIndex } from './plan-index.js';

/** A row flagged as deleted counts as absent: setting the flag is a deletion, taking it back an insert. */
export function presentRow(system: SystemIndex, row: Row | null): Row | null {
  const flag = system.plan.softDelete;
  return row !== null && flag !== null && row[flag.column] === flag.deleted ? null : row;
}

/**
 * Large values that the system did not send because they did not change are those seen before; of one that was too large
 * for a message nobody knows what it is.
 */
export function completeRow(
  system: SystemIndex,
  row: Row,
  former: Row,
  { unchanged, oversize }: Pick<ChangeEvent, 'unchanged' | 'oversize'>,
): Row {
  let missing = unchanged.length > 0;
  if (!missing) for (const { column } of system.columns) if (row[column] === undefined) missing = true;
  if (!missing) return row;
  const complete: Record<string, Value> = { ...former, ...row };
  for (const column of unchanged) if (former[column] !== undefined) complete[column] = former[column];
  for (const column of oversize ?? []) delete complete[column];
  return complete;
}

/**
 * Mapped columns of which nobody has told what they hold: too large for a message (I13), or not sent because they did not
 * change since before anybody looked. Of a target that nobody captures nothing is told that we did not write.
 */
export function unknownColumns(system: SystemIndex, seen: Row): readonly MappedColumn[] {
  if (!system.plan.captured) return NONE;
  for (const { column } of system.columns) {
    if (seen[column] === undefined) return system.columns.filter((one) => seen[one.column] === undefined);
  }
  return NONE;
}

const NONE: readonly MappedColumn[] = Object.freeze([]);

/** The image has every column that is mapped; some systems send only the key of what was. */
export function isComplete(system: SystemIndex, row: Row): boolean {
  return system.columns.every(({ column }) => row[column] !== undefined);
}

/** When a value was set: the commit, or for a row that was read its own updated-date; null where nobody knows. */
export function timeOf(system: SystemIndex, commitTimeMicros: number | null, row: Row): number | null {
  if (commitTimeMicros !== null || system.plan.updatedColumn === null) return commitTimeMicros;
  const updated = row[system.plan.updatedColumn];
  return typeof updated === 'number' ? updated : null;
}
