import { Inconvertible } from '../mapping/convert.js';
import type { Row } from '../model/value.js';
import { noteAgreement, setSeen } from './canonical.js';
import { editOfDeleted } from './deletes.js';
import type { FieldValue } from './events.js';
import { mergeKept } from './first-link.js';
import { mergeColumns, mergeEdit, type Edit } from './merge.js';
import type { MappedColumn, SystemIndex } from './plan-index.js';
import { imageOf, readField } from './project.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** A record shows another row, perhaps under another key: an edit of its link, or, where that is to be deleted, against the deletion. */
export function takeEdit(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  key: string,
  row: Row,
  edit: Edit,
): void {
  if (link.existence === 'present') mergeEdit(turn, link, system, member, key, row, edit);
  else editDeleted(turn, link, system, member, key, row, edit);
}

/** The record is to be deleted, or was kept by policy: a kept record's edits go nowhere. */
function editDeleted(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  key: string,
  row: Row,
  edit: Edit,
): void {
  const former = imageOf(member)!;
  const changed = system.columns.filter(({ column }) => former[column] !== row[column]);
  setSeen(turn, link, system, member, key, row);
  const kept = member.kept || edit.by !== 'user' ? null : undeletes(turn, link, system, member, changed, edit);
  if (kept !== null) {
    // Earlier edits that gave way to the deletion are in the row that now stands.
    const standing = system.columns.filter((column) => changed.includes(column) || column.field in member.agreed);
    mergeColumns(turn, link, system, member, standing, edit);
    mergeKept(turn, link, kept);
  } else {
    for (const column of changed) {
      noteAgreement(turn, link, member, system, column, row, link.canonical[column.field]);
    }
  }
}

function undeletes(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  changed: readonly MappedColumn[],
  edit: Edit,
): readonly string[] | null {
  const values: Record<string, FieldValue> = {};
  for (const column of changed) {
    if (!column.read) continue;
    const value = readField(turn, column, system.system, member.seen![column.column] ?? null);
    values[column.field] = value instanceof Inconvertible ? null : value;
  }
  if (Object.keys(values).length === 0) return null;
  return editOfDeleted(turn, link, system, member, edit.setter(changed[0]!.group), values);
}
