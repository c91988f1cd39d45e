import type { Row } from '../model/value.js';
import { sameTexts } from './entries.js';
import type { FieldValue } from './events.js';
import { release } from './holds.js';
import type { GroupIndex, MappedColumn, SystemIndex } from './plan-index.js';
import { agrees, imageOf, matchOfFields, matchOfRow } from './project.js';
import { allSnapshotsEnded } from './gates.js';
import { NEVER_MET, type Setter } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * The few ways in which a link changes: the canonical takes values, a member shows another row.
 * Each keeps `agreed` true: it names exactly the mapped fields where `seen` differs from the projection,
 * with the value at which they last met. So an event costs what it changes, not what the record holds.
 */

export type FieldValues = Readonly<Record<string, FieldValue>>;

/** The canonical takes a group's values from a setter; every member with a command to make is reconciled. */
export function setCanonical(
  turn: Turn,
  link: LinkDraft,
  group: GroupIndex,
  values: FieldValues,
  setter: Setter,
): void {
  const entity = turn.entity(link.entity);
  const former: Record<string, FieldValue | undefined> = {};
  const formerSetter = link.set[group.name];
  const canonical = turn.own(link.canonical);
  for (const field in values) {
    former[field] = canonical[field];
    canonical[field] = values[field]!;
  }
  link.canonical = canonical;
  const set = turn.own(link.set);
  set[group.name] = setter;
  link.set = set;
  link.moves++;
  for (const name in link.members) {
    const member = link.members[name]!;
    noteSetter(member, group, formerSetter);
    const image = imageOf(member);
    const system = entity.systems.get(name);
    if (image === null || system === undefined) continue;
    for (const field in values) {
      const column = system.byField.get(field);
      if (column !== undefined) noteAgreement(turn, link, member, system, column, image, former[field]);
    }
    releaseSettled(turn, link, member, group);
  }
  for (const field in values) {
    if (!entity.matchFields.has(field)) continue;
    refreshMatch(turn, link);
    break;
  }
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
}

/** A rewrite of a command in flight will carry the time of the value that the command wrote. */
function noteSetter(member: MemberDraft, group: GroupIndex, setter: Setter | undefined): void {
  const command = member.inFlight;
  if (command === null || setter === undefined || group.name in command.setters) return;
  member.inFlight = { ...command, setters: { ...command.setters, [group.name]: setter } };
}

/** Writes down whether a column now agrees with the canonical; `met` is the value at which it did so until now, if ever. */
export function noteAgreement(
  turn: Turn,
  link: LinkDraft,
  member: MemberDraft,
  system: SystemIndex,
  column: MappedColumn,
  image: Row,
  met: FieldValue | undefined,
): void {
  const { field } = column;
  const differed = field in member.agreed;
  if (agrees(turn, column, system.system, image[column.column] ?? null, link.canonical[field])) {
    if (!differed) return;
    member.agreed = kept(member.agreed, (one) => one !== field);
    turn.changed(link);
  } else if (!differed) {
    const agreed = turn.own(member.agreed);
    agreed[field] = met === undefined ? NEVER_MET : met;
    member.agreed = agreed;
    turn.changed(link);
  }
}

/** Those of the fields that stay. V8 makes the same of a rest pattern several times slower. */
export function kept(fields: FieldValues, stays: (field: string) => boolean): FieldValues {
  const others: Record<string, FieldValue> = {};
  for (const field in fields) if (stays(field)) others[field] = fields[field]!;
  return others;
}

/** Holds of a group end when the member's row agrees again, however that came. */
export function releaseSettled(turn: Turn, link: LinkDraft, member: MemberDraft, group: GroupIndex): void {
  if (member.holds.length === 0) return;
  if (group.fields.some((field) => field in member.agreed)) return;
  release(turn, link, member, (one) => one.lasting && one.group === group.name);
}

/** The member shows another row (I5): only here does `seen` move. */
export function setSeen(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  key: string,
  row: Row,
): void {
  const former = imageOf(member);
  const hadKey = member.key;
  member.key = key;
  member.seen = row;
  member.ending = null;
  member.moves++;
  member.movedAfter = turn.sync.lastCommand;
  member.snapshot = turn.sync.snapshots[`${system.system}/${system.entity.name}`]?.number ?? 0;
  if (hadKey !== key) keyMoved(turn, link, system, hadKey);
  if (former === null || matchColumnsDiffer(system, former, row)) refreshShown(turn, link, system, member);
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
}

/** The member's record is gone; its key goes on to lead to this link (rule 12). */
export function setGone(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const key = member.key ?? member.ending?.key ?? null;
  if (key !== null) member.formerKeys = withKey(member.formerKeys, key);
  member.key = null;
  member.seen = null;
  member.ending = null;
  member.agreed = {};
  member.moves++;
  member.movedAfter = turn.sync.lastCommand;
  member.kept = false;
  refreshShown(turn, link, system, member);
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
}

export const MAX_FORMER_KEYS = 16;

export function withKey(keys: readonly string[], key: string): readonly string[] {
  return [...keys.filter((one) => one !== key), key].slice(-MAX_FORMER_KEYS);
}

function keyMoved(turn: Turn, link: LinkDraft, system: SystemIndex, from: string | null): void {
  const member = link.members[system.system]!;
  if (from !== null) member.formerKeys = withKey(member.formerKeys, from);
  if (system.entity.plan.children.length === 0) return;
  turn.queue({ what: 'children', link: link.id });
  turn.queue({ what: 'named', system: system.system, entity: link.entity, key: member.key! });
}

function matchColumnsDiffer(system: SystemIndex, left: Row, right: Row): boolean {
  for (const column of system.columns) {
    if (column.inMatch && left[column.column] !== right[column.column]) return true;
  }
  return false;
}

/** Brings the match values of the canonical up to date; what came and what went is looked at again. */
export function refreshMatch(turn: Turn, link: LinkDraft): void {
  const former = link.match;
  const match = matchOfFields(turn, turn.entity(link.entity), link.canonical);
  if (sameTexts(former, match)) return;
  if (former.length > 0 && link.firstMatch.length === 0 && !allSnapshotsEnded(turn, link.entity)) {
    link.firstMatch = former;
  }
  link.match = match;
  turn.changed(link);
  queueMatches(turn, link.entity, former, match);
}

/** The same for what a member's row shows. */
export function refreshShown(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const former = member.match;
  const image = imageOf(member);
  const match = image === null ? [] : matchOfRow(turn, system, image);
  if (sameTexts(former, match)) return;
  member.match = match;
  turn.changed(link);
  queueMatches(turn, link.entity, former, match);
}

export function queueMatches(turn: Turn, entity: string, ...values: readonly (readonly string[])[]): void {
  for (const matches of values) for (const match of matches) turn.queue({ what: 'match', entity, match });
}
