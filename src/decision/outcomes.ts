import type { Outcome } from '../connector/contract.js';
import { setGone, setSeen } from './canonical.js';
import { entry } from './entries.js';
import type { OutcomeSeen } from './events.js';
import { hold, wakeBlocked } from './holds.js';
import { confirm, finishCommand } from './own-writes.js';
import type { SystemIndex } from './plan-index.js';
import { noteRow, touchParents } from './references.js';
import { presentRow } from './rows.js';
import { linkOfKey, type Attempt, type InFlight } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** What became of a command that no row shows. One that is no longer in flight is ignored (I15). */
export function observeOutcome(turn: Turn, event: OutcomeSeen): void {
  const { outcome } = event;
  const system = turn.index.entities.get(event.entity)?.systems.get(event.system);
  const link = turn.link(outcome.link);
  const member = link?.members[event.system];
  const command = member?.inFlight;
  if (system === undefined || link === null || member === undefined || command?.command !== outcome.command) return;
  finishCommand(turn, link, system, member);
  switch (outcome.status) {
    case 'applied':
    case 'unchanged':
      confirmByValues(turn, link, system, member, command, outcome.key);
      return;
    case 'refused':
      refused(turn, link, system, member, command, outcome);
      return;
    case 'failed':
      failed(turn, link, system, member, command, outcome);
  }
}

/** I5: an outcome confirms the command's own values. */
function confirmByValues(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  command: InFlight,
  key: string,
): void {
  if (command.operation !== 'insert' && command.key !== member.key) return;
  wakeBlocked(turn, system.system, link.entity, key);
  if (command.operation === 'delete' || command.soft) {
    if (member.seen === null) return;
    touchParents(turn, link, system, member);
    setGone(turn, link, system, member);
  } else if (command.operation === 'insert' || member.seen !== null) {
    confirm(turn, link, system, member, command, key, { ...member.seen, ...command.set });
  }
}

/**
 * Somebody else's edit came first. Where the system is captured, that edit is in the stream ahead of the refusal, so the
 * image met moves nothing (rule 6), and reconciling again finds the right answer. Where nothing has moved since the
 * command was made, it would loop: a hold.
 */
function refused(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  command: InFlight,
  outcome: Outcome & { readonly status: 'refused' },
): void {
  if (!system.plan.captured) takeImageMet(turn, link, system, member, outcome);
  if (member.moves !== command.memberMoves || link.moves !== command.linkMoves) return;
  const blocking = command.operation === 'insert' ? outcome.key : null;
  if (hasMovedSince(turn, link, system, command, blocking)) return;
  hold(
    turn,
    link,
    member,
    { reason: 'refused', group: null, detail: outcome.reason },
    { attempt: attemptOf(command), blocking },
  );
}

/** Nobody else tells what stands in a target that is only written to: the image in its answer does (I5). */
function takeImageMet(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  outcome: Outcome & { readonly status: 'refused' },
): void {
  const met = presentRow(system, outcome.met);
  if (met === null || outcome.key === null) {
    if (member.seen !== null) setGone(turn, link, system, member);
    return;
  }
  const owner = turn.linkOfRecord(system.system, link.entity, outcome.key);
  if (owner !== null && owner.id !== link.id) return;
  setSeen(turn, link, system, member, outcome.key, met);
  noteRow(turn, link, system, member);
}

/** SQLSTATE: other rows refer to the row. */
const REFERRED_TO = /^23(503|001)$/;

/** Rule 8: held by what was tried; a unique violation names the row in the way. */
function failed(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  command: InFlight,
  outcome: Outcome & { readonly status: 'failed' },
): void {
  if (hasMovedSince(turn, link, system, command, outcome.blockingKey)) return;
  const isHeldByChildren = command.operation === 'delete' && REFERRED_TO.test(outcome.code);
  if (isHeldByChildren && member.movedAfter >= numberOf(command)) return;
  const obstacle = {
    reason: isHeldByChildren ? ('children-exist' as const) : ('failed' as const),
    group: null,
    detail: `${outcome.code}: ${outcome.message}`,
  };
  hold(turn, link, member, obstacle, { attempt: attemptOf(command), blocking: outcome.blockingKey });
}

/**
 * The row that stood in the way is in the stream again since the command was made, ahead of its outcome (a later row of
 * the same batch, somebody's commit beside it): what the command met may be past, so that it is tried again. A command
 * made later than that is not: each move of the row brings one more at most.
 */
function hasMovedSince(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  command: InFlight,
  blocking: string | null,
): boolean {
  if (blocking === null) return false;
  const owner = turn.linkOfRecord(system.system, link.entity, blocking);
  const former = turn.find(entry.former(system.system, link.entity, blocking), FEW);
  const owners = [owner, ...former.map((key) => turn.link(linkOfKey(key)))];
  const number = numberOf(command);
  return owners.some((one) => one !== null && (one.members[system.system]?.movedAfter ?? 0) >= number);
}

const FEW = 20;

/** Command ids are the birth id and a number that rises. */
function numberOf({ command }: InFlight): number {
  return Number(command.slice(command.lastIndexOf('.') + 1));
}

function attemptOf({ operation, key, set, expect }: InFlight): Attempt {
  return { operation, key, set, expect };
}
