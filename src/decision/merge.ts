import { Inconvertible, NOT_SENT } from '../mapping/convert.js';
import type { Row } from '../model/value.js';
import { noteAgreement, releaseSettled, setCanonical, setSeen } from './canonical.js';
import { judge } from './conflict.js';
import { tellConflict } from './decisions.js';
import type { FieldValue } from './events.js';
import { hold } from './holds.js';
import type { GroupIndex, MappedColumn, SystemIndex } from './plan-index.js';
import { agrees, imageOf, readField, sameValue } from './project.js';
import type { Setter } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** Where an edit comes from. */
export interface Edit {
  /** `user`; `trigger`: a row that our own transaction changed beside its commands; `rewrite`: of what a command wrote. */
  readonly by: 'user' | 'trigger' | 'rewrite';
  /** The time that counts under `newest`, per group. */
  readonly setter: (group: GroupIndex) => Setter;
}

/** Rule 7: after this many rounds of rewriting a field is held. */
const MAX_REWRITES = 4;

/**
 * An event of S shows image N where we had seen O. For each group of read fields that differs between them, compared
 * in S's own fields:
 *  - N equals the projection: S has come to agree, nothing to decide;
 *  - O equals the projection: S knew the agreed value when it changed it, take N;
 *  - neither: both changed since they agreed, a conflict for the policy; the loser stands in a decision (I10).
 */
export function mergeEdit(
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
  mergeColumns(turn, link, system, member, changed, edit);
}

/** The merge of columns that have changed; `seen` shows their new values already, `agreed` is still that of the old ones. */
export function mergeColumns(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  changed: readonly MappedColumn[],
  edit: Edit,
): void {
  const done: GroupIndex[] = [];
  for (const column of changed) {
    if (!column.read) {
      takeUnread(turn, link, system, member, column, edit);
      noteAgreement(turn, link, member, system, column, member.seen!, link.canonical[column.field]);
      if (edit.by !== 'user' && column.field in member.agreed) countRewrite(turn, link, member, column.group);
      releaseSettled(turn, link, member, column.group);
    } else if (!done.includes(column.group)) {
      done.push(column.group);
      mergeGroup(turn, link, system, member, column.group, edit);
    }
  }
}

/**
 * While a system whose edits do not count is the only one to know a value, it is followed, for matching. A group that
 * nobody has told yet is taken whole, once all of it is known.
 */
function takeUnread(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  { group, field }: MappedColumn,
  edit: Edit,
): void {
  const setter = link.set[group.name];
  if (setter !== undefined && (setter.system !== system.system || !isUnread(turn, link, setter, group))) return;
  const columns = system.columns.filter((one) => one.group === group && (setter === undefined || one.field === field));
  const values = readGroup(turn, system, columns, member.seen!);
  if (!(values instanceof Inconvertible)) setCanonical(turn, link, group, values, setter ?? edit.setter(group));
}

function mergeGroup(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  group: GroupIndex,
  edit: Edit,
): void {
  const row = member.seen!;
  const columns = readColumns(system, group);
  const knewAgreed = columns.every(({ field }) => knew(link, member, field));
  const agreesNow = columns.every(
    (column) =>
      link.canonical[column.field] !== undefined &&
      agrees(turn, column, system.system, row[column.column] ?? null, link.canonical[column.field]),
  );
  const standing = link.set[group.name];
  const isFirst =
    knewAgreed || standing === undefined || standing.system === system.system || isUnread(turn, link, standing, group);
  if (edit.by === 'user') forgetRewrites(turn, link, group);
  const values = agreesNow ? null : readGroup(turn, system, columns, row);
  if (values === null || values instanceof Inconvertible) {
    noteColumns(turn, link, member, system, columns);
    if (values === null) releaseSettled(turn, link, member, group);
    else holdUnreadable(turn, link, member, group, values);
    return;
  }
  keepAgreed(turn, link, system, columns, row, values);
  if (edit.by === 'user' && isFirst) {
    // The usual edit: nobody stands against it, so that it agrees at once.
    setCanonical(turn, link, group, values, edit.setter(group));
    return;
  }
  noteColumns(turn, link, member, system, columns);
  const rewritten = edit.by === 'rewrite' || (edit.by === 'trigger' && columns.some(({ write }) => write));
  if (rewritten && !countRewrite(turn, link, member, group)) return;
  const incoming = edit.setter(group);
  if (isFirst) {
    tellConflict(turn, link, { kind: 'rewritten', group, values, incoming, verdict: null });
    setCanonical(turn, link, group, values, incoming);
    return;
  }
  settleConflict(turn, link, member, group, values, incoming, edit);
}

function noteColumns(
  turn: Turn,
  link: LinkDraft,
  member: MemberDraft,
  system: SystemIndex,
  columns: readonly MappedColumn[],
): void {
  for (const column of columns) {
    noteAgreement(turn, link, member, system, column, member.seen!, link.canonical[column.field]);
  }
}

/** Of a group that is merged as one, a value that the system shows in its own way (shortened, an alias) was not edited. */
function keepAgreed(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  columns: readonly MappedColumn[],
  row: Row,
  values: Record<string, FieldValue>,
): void {
  for (const column of columns) {
    const standing = link.canonical[column.field];
    if (standing === undefined || columns.length === 1) continue;
    if (agrees(turn, column, system.system, row[column.column] ?? null, standing)) values[column.field] = standing;
  }
}

/** Nobody else has changed the field since this system agreed, even if its own earlier edit could not be taken. */
export function knew(link: LinkDraft, member: MemberDraft, field: string): boolean {
  return !(field in member.agreed) || sameValue(member.agreed[field], link.canonical[field]);
}

function settleConflict(
  turn: Turn,
  link: LinkDraft,
  member: MemberDraft,
  group: GroupIndex,
  values: Readonly<Record<string, FieldValue>>,
  incoming: Setter,
  edit: Edit,
): void {
  const verdict = judge(turn.index, group.rule, link.set[group.name]!, incoming);
  const kind = edit.by === 'rewrite' ? 'rewritten' : 'conflict';
  tellConflict(turn, link, { kind, group, values, incoming, verdict });
  switch (verdict.winner) {
    case 'incoming':
      setCanonical(turn, link, group, values, incoming);
      return;
    case 'standing':
      turn.queue({ what: 'link', link: link.id });
      return;
    case 'nobody':
      hold(turn, link, member, { reason: 'conflict', group: group.name, detail: `${group.name}: ${verdict.rule}` });
  }
}

export function readColumns(system: SystemIndex, group: GroupIndex): readonly MappedColumn[] {
  return system.readColumns.get(group) ?? [];
}

/** A value that cannot be taken holds its group; what was too large to be sent holds the whole record already. */
export function holdUnreadable(
  turn: Turn,
  link: LinkDraft,
  member: MemberDraft,
  group: GroupIndex,
  why: Inconvertible,
): void {
  if (why === NOT_SENT) return;
  hold(turn, link, member, { reason: 'invalid', group: group.name, detail: `${group.name}: ${why.reason}` });
}

/** The group's values as the row shows them, or why one of them cannot be taken. */
export function readGroup(
  turn: Turn,
  system: SystemIndex,
  columns: readonly MappedColumn[],
  row: Row,
): Record<string, FieldValue> | Inconvertible {
  const values: Record<string, FieldValue> = {};
  for (const column of columns) {
    const raw = row[column.column];
    if (raw === undefined) return NOT_SENT;
    const value = readField(turn, column, system.system, raw);
    if (value instanceof Inconvertible) return value;
    values[column.field] = value;
  }
  return values;
}

/** Values known only from a system whose edits do not count give way to any that does. */
export function isUnread(turn: Turn, link: LinkDraft, setter: Setter, group: GroupIndex): boolean {
  const system = turn.entity(link.entity).systems.get(setter.system);
  return system !== undefined && !system.columns.some((column) => column.group === group && column.read);
}

/** Rule 7: counts a round; false when there were too many and the group is held instead. */
function countRewrite(turn: Turn, link: LinkDraft, member: MemberDraft, group: GroupIndex): boolean {
  const rounds = (link.rewrites[group.name] ?? 0) + 1;
  link.rewrites = { ...link.rewrites, [group.name]: rounds };
  turn.changed(link);
  if (rounds <= MAX_REWRITES) return true;
  const detail = `${group.name}: the system shows another value than was written, ${rounds - 1} times in a row`;
  hold(turn, link, member, { reason: 'rewritten', group: group.name, detail });
  return false;
}

/** An edit made outside our transactions begins a new count and ends the holds of the old one. */
function forgetRewrites(turn: Turn, link: LinkDraft, group: GroupIndex): void {
  if (!(group.name in link.rewrites)) return;
  const { [group.name]: _, ...others } = link.rewrites;
  link.rewrites = others;
  for (const name in link.members) {
    const member = link.members[name]!;
    const held = member.holds.some(({ reason, group: of }) => reason === 'rewritten' && of === group.name);
    if (!held) continue;
    member.holds = member.holds.filter(({ reason, group: of }) => reason !== 'rewritten' || of !== group.name);
  }
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
}
