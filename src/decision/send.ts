import type { Command } from '../connector/contract.js';
import type { Row } from '../model/value.js';
import { setObstacles } from './holds.js';
import { matchOfRow } from './project.js';
import type { SystemIndex } from './plan-index.js';
import type { Attempt } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * Sends a member's one command (I6) and remembers it until its outcome. While only observed, everything is decided and
 * recorded alike, but instead of a command there is a hold `paused` that says what would be done: nothing is in flight,
 * so that commands leave by an ordinary reconcile once observing ends.
 */
export function send(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  order: { readonly attempt: Attempt; readonly soft: boolean; readonly absent: readonly Row[] },
): void {
  const { operation, key, set, expect } = order.attempt;
  if (turn.sync.observe) {
    const isKnown = member.holds.some(({ reason }) => reason === 'paused');
    if (!isKnown && operation === 'insert' && system.entity.plan.children.length > 0) {
      turn.queue({ what: 'children', link: link.id });
    }
    setObstacles(turn, link, member, [
      { reason: 'paused', group: null, detail: `observing: would ${order.soft ? 'delete' : operation}` },
    ]);
    return;
  }
  const number = turn.sync.lastCommand + 1;
  turn.setSync({ lastCommand: number });
  const id = `${turn.sync.birth}.${number}`;
  if (member.holds.length > 0)
    member.holds = member.holds.filter(({ lasting, attempt }) => lasting && attempt === null);
  member.inFlight = {
    command: id,
    operation,
    soft: order.soft,
    key,
    set,
    expect,
    match: operation === 'insert' ? matchOfRow(turn, system, set) : NO_MATCH,
    memberMoves: member.moves,
    linkMoves: link.moves,
    setters: NO_SETTERS,
  };
  turn.changed(link);
  tellSink(turn, link, system, { id, operation, key, set, expect, absent: order.absent });
}

const NO_MATCH: readonly string[] = Object.freeze([]);
const NO_SETTERS = Object.freeze({});

/** Puts a command that is in flight to its system's sink. */
export function tellSink(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  order: Omit<Command, 'link' | 'entity' | 'madeAtMicros'>,
): void {
  const command = { ...order, link: link.id, entity: link.entity, madeAtMicros: turn.timeMicros };
  turn.outputs.push({ kind: 'command', system: system.system, command });
}
