import { Inconvertible } from '../mapping/convert.js';
import type { Row } from '../model/value.js';
import { editOfDeleted } from './deletes.js';
import { mergeKept } from './first-link.js';
import type { SystemIndex } from './plan-index.js';
import { resolve } from './project.js';
import type { Setter } from './state.js';
import type { Turn } from './turn.js';

/**
 * A child that was put under a parent which is to be deleted is an edit of that parent: its policy decides (rule 12).
 * `former` null: the child is new.
 */
export function editUnderDeletedParent(
  turn: Turn,
  system: SystemIndex,
  former: Row | null,
  row: Row,
  by: Setter,
): void {
  for (const { field, entity } of system.entity.references) {
    const column = system.byField.get(field);
    const raw = column === undefined ? null : (row[column.column] ?? null);
    if (column?.read !== true || raw === null || raw === (former?.[column.column] ?? null)) continue;
    const key = column.converter.toField(raw);
    if (key instanceof Inconvertible) continue;
    const parent = resolve(turn, system.system, entity, String(key));
    const member = parent?.members[system.system];
    if (parent === null || parent.existence !== 'deleted' || member === undefined) continue;
    if (member.seen === null || member.kept) continue;
    const kept = editOfDeleted(turn, parent, turn.system(entity, system.system), member, by, {});
    if (kept !== null) mergeKept(turn, parent, kept);
  }
}
