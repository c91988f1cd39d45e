import { Inconvertible } from '../mapping/convert.js';
import { recordKey, type Row, type Value } from '../model/value.js';
import { tellDeletions } from './decisions.js';
import { isWanted } from './deletes.js';
import { allSnapshotsEnded, snapshotEnded } from './gates.js';
import { hasFailed, isHeld, release, releaseOtherAttempts, setObstacles, type Obstacle } from './holds.js';
import { duplicateIn } from './match.js';
import type { MappedColumn, SystemIndex } from './plan-index.js';
import { ParentMissing, projectField } from './project.js';
import { hasChildIn, queueChildren } from './references.js';
import { unknownColumns } from './rows.js';
import { send } from './send.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';
import { splitOff } from './unlink.js';

/**
 * What should be against what is: every member whose `seen` differs from its projection gets one command, if none
 * is in flight (I6) and no hold bars it. Safe to repeat; run after anything that may have changed either side (I11).
 */
export function reconcile(turn: Turn, link: LinkDraft): void {
  for (const system of turn.entity(link.entity).systems.values()) {
    const member = link.members[system.system];
    if (member?.inFlight != null || member?.ending != null || !snapshotEnded(turn, system)) continue;
    // An earlier version held it until an event said otherwise; now what is seen says so.
    if (member !== undefined) release(turn, link, member, ({ reason, lasting }) => lasting && reason === 'oversize');
    if (link.existence === 'deleted') {
      if (member === undefined) continue;
      if (member.seen !== null) reconcileDeleted(turn, link, system, member);
      else release(turn, link, member, () => true);
    } else if (!system.plan.written) {
      if (member != null && member.seen !== null) setObstacles(turn, link, member, unknownIn(system, member.seen));
    } else if (member === undefined || member.seen === null) {
      reconcileAbsent(turn, link, system);
    } else {
      reconcilePresent(turn, link, system, member);
    }
  }
  if (link.existence === 'deleted') bury(turn, link);
}

// ---------------------------------------------------------------- update

const NO_OBSTACLES: readonly Obstacle[] = Object.freeze([]);

/** A record is not written over where it is not known what it holds (I13). */
function unknownIn(system: SystemIndex, seen: Row): readonly Obstacle[] {
  const unknown = unknownColumns(system, seen);
  if (unknown.length === 0) return NO_OBSTACLES;
  const columns = unknown.map(({ column }) => column).join(', ');
  return [{ reason: 'oversize', group: null, detail: `not told: ${columns}` }];
}

function reconcilePresent(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const unknown = unknownIn(system, member.seen!);
  if (unknown.length > 0) {
    releaseOtherAttempts(turn, link, member, null);
    setObstacles(turn, link, member, unknown);
    return;
  }
  let set: Record<string, Value> | null = null;
  let obstacles: Obstacle[] | null = null;
  let groups: Set<string> | null = null;
  for (const field in member.agreed) {
    const column = system.byField.get(field);
    const value = link.canonical[field];
    if (column === undefined || value === undefined || !column.write || isHeld(member, column.group.name)) continue;
    const projected = projectField(turn, column, system.system, value);
    const obstacle = obstacleOf(column, projected);
    if (obstacle !== null) {
      (obstacles ??= []).push(obstacle);
    } else if (member.seen![column.column] !== projected) {
      set ??= {};
      set[column.column] = projected as Value;
      (groups ??= new Set()).add(column.group.name);
    }
  }
  if (set === null || groups === null || isHeld(member, null)) {
    releaseOtherAttempts(turn, link, member, null);
    setObstacles(turn, link, member, obstacles ?? NO_OBSTACLES);
    return;
  }
  setObstacles(turn, link, member, obstacles ?? NO_OBSTACLES);
  const attempt = {
    operation: 'update' as const,
    key: member.key,
    set,
    expect: expectGroups(system, member.seen!, groups),
  };
  releaseOtherAttempts(turn, link, member, attempt);
  if (!hasFailed(member, attempt)) send(turn, link, system, member, { attempt, soft: false, absent: [] });
}

/** I7 stands on this: a group is merged as one, so it is written against the whole of it; a record flagged as deleted meanwhile is left alone. */
function expectGroups(system: SystemIndex, seen: Row, groups: ReadonlySet<string>): Row {
  const expect: Record<string, Value> = {};
  for (const { column, group } of system.columns) {
    if (groups.has(group.name) && seen[column] !== undefined) expect[column] = seen[column];
  }
  const flag = system.plan.softDelete;
  if (flag !== null && seen[flag.column] !== undefined) expect[flag.column] = seen[flag.column]!;
  return expect;
}

function obstacleOf(column: MappedColumn, projected: Value | Inconvertible | ParentMissing): Obstacle | null {
  const group = column.group.name;
  if (projected instanceof ParentMissing && projected.isPaused) {
    return { reason: 'paused', group, detail: `observing: would follow its ${projected.entity}` };
  }
  if (projected instanceof ParentMissing) {
    return {
      reason: 'parent-missing',
      group,
      detail: `${column.field}: the ${projected.entity} has no record there yet`,
    };
  }
  if (projected instanceof Inconvertible) {
    return { reason: 'invalid', group, detail: `${column.field}: ${projected.reason}` };
  }
  return null;
}

// ---------------------------------------------------------------- insert

function reconcileAbsent(turn: Turn, link: LinkDraft, system: SystemIndex): void {
  if (link.matching !== 'open' || !allSnapshotsEnded(turn, link.entity) || !isWanted(turn, link)) return;
  const member = turn.member(link, system.system);
  if (isHeld(member, null)) return;
  const obstacles: Obstacle[] = [];
  for (const name in link.members) {
    const { holds, seen } = link.members[name]!;
    const invalid = holds.find(({ reason, lasting }) => reason === 'invalid' && lasting);
    if (invalid !== undefined)
      obstacles.push({ reason: 'invalid', group: invalid.group, detail: `${name}: ${invalid.detail}` });
    if (seen !== null && leavesUnknown(turn, link, name, seen)) {
      obstacles.push({ reason: 'oversize', group: null, detail: `${name}: not told yet` });
    }
  }
  const duplicate = duplicateIn(turn, link, system);
  if (duplicate !== null) obstacles.push({ reason: 'duplicate', group: null, detail: duplicate });
  const set = valuesOfInsert(turn, link, system, obstacles);
  const key = keyOfInsert(system, set);
  if (key === null && !system.plan.generatesKey && obstacles.length === 0) {
    obstacles.push({ reason: 'invalid', group: null, detail: 'the key of the new record is not known' });
  }
  const attempt = { operation: 'insert' as const, key, set, expect: {} };
  releaseOtherAttempts(turn, link, member, attempt);
  setObstacles(turn, link, member, obstacles);
  if (obstacles.length > 0) return;
  if (!hasFailed(member, attempt)) {
    send(turn, link, system, member, { attempt, soft: false, absent: absentRows(system, set) });
  }
}

/** Of what it does not tell, nobody else has told either. */
function leavesUnknown(turn: Turn, link: LinkDraft, name: string, seen: Row): boolean {
  const unknown = unknownColumns(turn.system(link.entity, name), seen);
  return unknown.some(({ group }) => group.fields.some((field) => link.canonical[field] === undefined));
}

function valuesOfInsert(turn: Turn, link: LinkDraft, system: SystemIndex, obstacles: Obstacle[]): Row {
  const set: Record<string, Value> = { ...system.plan.insertSet };
  for (const column of system.columns) {
    const value = link.canonical[column.field];
    if (!column.write || value === undefined) continue;
    const projected = projectField(turn, column, system.system, value);
    const obstacle = obstacleOf(column, projected);
    if (obstacle !== null) obstacles.push(obstacle);
    else if (projected !== null || !fillsItself(system, column.column)) set[column.column] = projected as Value;
  }
  return set;
}

/** Null cannot be written and need not be: the database has a value of its own, which then counts as a rewrite. */
function fillsItself(system: SystemIndex, name: string): boolean {
  const column = system.plan.shape.columns.find((one) => one.name === name);
  return column !== undefined && !column.nullable && column.hasDefault;
}

function keyOfInsert(system: SystemIndex, set: Row): string | null {
  const { key } = system.plan.shape;
  return key.every((column) => (set[column] ?? null) !== null) ? recordKey(set, key) : null;
}

/** The insert is refused where a row shows the match values of one of the rules (rule 3). */
export function absentRows(system: SystemIndex, set: Row): Row[] {
  const rows: Row[] = [];
  for (const { on } of system.entity.plan.match) {
    const row: Record<string, Value> = {};
    for (const field of on) {
      const column = system.byField.get(field)?.column;
      if (column !== undefined && (set[column] ?? null) !== null) row[column] = set[column]!;
    }
    if (Object.keys(row).length !== on.length) continue;
    const flag = system.plan.softDelete;
    if (flag !== null) row[flag.column] = flag.present;
    rows.push(row);
  }
  return rows;
}

// ---------------------------------------------------------------- delete

function reconcileDeleted(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  if (member.kept || link.matching === 'first-snapshot') return;
  const policy = system.plan.written ? system.plan.delete : 'never';
  switch (policy) {
    case 'never':
      member.kept = true;
      releaseOtherAttempts(turn, link, member, null);
      setObstacles(turn, link, member, []);
      tellKept(turn, link, system, 'delete: never');
      queueChildren(turn, link);
      turn.changed(link);
      return;
    case 'unlink':
      tellKept(turn, link, system, 'delete: unlink');
      splitOff(turn, link, system, member);
      return;
    case 'soft':
    case 'hard':
      removeRecord(turn, link, system, member, policy === 'soft' && system.plan.softDelete !== null);
  }
}

function removeRecord(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft, soft: boolean): void {
  const obstacles: Obstacle[] = [...unknownIn(system, member.seen!)];
  if (!soft && hasChildIn(turn, link, system.system)) {
    obstacles.push({ reason: 'children-exist', group: null, detail: 'records that refer to it exist there' });
  }
  const flag = system.plan.softDelete;
  const expect: Record<string, Value> = {};
  for (const { column } of system.columns) {
    if (member.seen![column] !== undefined) expect[column] = member.seen![column];
  }
  if (soft && flag !== null && member.seen![flag.column] !== undefined)
    expect[flag.column] = member.seen![flag.column]!;
  const set: Row = soft && flag !== null ? { [flag.column]: flag.deleted } : {};
  const attempt = { operation: soft ? ('update' as const) : ('delete' as const), key: member.key, set, expect };
  releaseOtherAttempts(turn, link, member, attempt);
  setObstacles(turn, link, member, obstacles);
  if (obstacles.length > 0 || isHeld(member, null)) return;
  if (!hasFailed(member, attempt)) send(turn, link, system, member, { attempt, soft, absent: [] });
}

/** The policy leaves a record where others deleted theirs: the deletions stand in a decision (rule 5). */
function tellKept(turn: Turn, link: LinkDraft, system: SystemIndex, rule: string): void {
  if (link.deletions.length === 0) return;
  const record = { system: system.system, timeMicros: null };
  tellDeletions(turn, link, { kind: 'lost-deletion', record, values: {}, winner: system.system, rule });
}

/** A deleted link without records and commands, whose holds have ended with them, is a tombstone; it goes when the retention has passed (tombstones.ts). */
function bury(turn: Turn, link: LinkDraft): void {
  if (link.tombstoneMicros !== null || !allSnapshotsEnded(turn, link.entity)) return;
  for (const name in link.members) {
    const { seen, ending, inFlight } = link.members[name]!;
    if (seen !== null || ending !== null || inFlight !== null) return;
  }
  for (const name in link.members) link.members[name]!.agreed = {};
  link.tombstoneMicros = turn.timeMicros;
  link.deletions = [];
  link.firstMatch = [];
  turn.noteTombstone();
  turn.changed(link);
}
