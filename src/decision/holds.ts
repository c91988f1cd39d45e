import type { Row } from '../model/value.js';
import type { HoldReason } from './outputs.js';
import type { Attempt, Hold } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** Why a member cannot be made equal now, as found while reconciling. */
export interface Obstacle {
  readonly reason: HoldReason;
  readonly group: string | null;
  readonly detail: string;
}

/** Holds a member until what is named happens; a hold of the same reason and group is replaced. */
export function hold(
  turn: Turn,
  link: LinkDraft,
  member: MemberDraft,
  obstacle: Obstacle,
  cause: { readonly attempt: Attempt | null; readonly blocking: string | null } = { attempt: null, blocking: null },
): void {
  const same = (other: Hold) => other.lasting && other.reason === obstacle.reason && other.group === obstacle.group;
  const sinceMicros = member.holds.find(same)?.sinceMicros ?? turn.timeMicros;
  member.holds = [
    ...member.holds.filter((other) => other.lasting && !same(other)),
    { ...obstacle, sinceMicros, lasting: true, ...cause },
    ...member.holds.filter((other) => !other.lasting),
  ];
  turn.changed(link);
}

/** Ends holds. */
export function release(turn: Turn, link: LinkDraft, member: MemberDraft, ends: (hold: Hold) => boolean): boolean {
  if (member.holds.length === 0) return false;
  const left = member.holds.filter((one) => !ends(one));
  if (left.length === member.holds.length) return false;
  member.holds = left;
  turn.changed(link);
  return true;
}

/** Replaces what reconciling found last time by what it found now; what has not changed keeps its beginning. */
export function setObstacles(turn: Turn, link: LinkDraft, member: MemberDraft, found: readonly Obstacle[]): void {
  const former = member.holds.filter(({ lasting }) => !lasting);
  if (former.length === 0 && found.length === 0) return;
  const same = (left: Obstacle, right: Obstacle) =>
    left.reason === right.reason && left.group === right.group && left.detail === right.detail;
  if (former.length === found.length && found.every((one, at) => same(one, former[at]!))) return;
  member.holds = [
    ...member.holds.filter(({ lasting }) => lasting),
    ...found.map(
      (one): Hold =>
        former.find((other) => same(one, other)) ?? {
          ...one,
          sinceMicros: turn.timeMicros,
          lasting: false,
          attempt: null,
          blocking: null,
        },
    ),
  ];
  turn.changed(link);
}

/** A person, or another value, must settle this group (or, with null, the record) first. A double that exists bars nothing. */
export function isHeld(member: MemberDraft, group: string | null): boolean {
  return member.holds.some(
    (one) => one.lasting && one.attempt === null && one.group === group && one.reason !== 'duplicate',
  );
}

/** The command that would be sent was refused or failed before and would be again (rule 8); so are values that two records swap (rule 16). */
export function hasFailed(member: MemberDraft, attempt: Attempt): boolean {
  return member.holds.some((one) => one.attempt !== null && sameAttempt(one.attempt, attempt));
}

/** Ends holds of commands that would now differ. */
export function releaseOtherAttempts(turn: Turn, link: LinkDraft, member: MemberDraft, attempt: Attempt | null): void {
  release(
    turn,
    link,
    member,
    (one) => one.attempt !== null && (attempt === null || !sameAttempt(one.attempt, attempt)),
  );
}

function sameAttempt(left: Attempt, right: Attempt): boolean {
  return (
    left.operation === right.operation &&
    left.key === right.key &&
    sameRow(left.set, right.set) &&
    sameRow(left.expect, right.expect)
  );
}

function sameRow(left: Row, right: Row): boolean {
  const columns = Object.keys(left);
  return (
    columns.length === Object.keys(right).length &&
    columns.every((column) => column in right && left[column] === right[column])
  );
}

/** Rule 8: a row has changed; whatever was held because of it may be tried again. */
export function wakeBlocked(turn: Turn, system: string, entity: string, key: string): void {
  if (turn.sync.blockedHolds > 0) turn.queue({ what: 'blocked', system, entity, key });
}
