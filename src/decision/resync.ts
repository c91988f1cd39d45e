import { setGone, setSeen } from './canonical.js';
import { endDeletion, observeDeletion } from './deletes.js';
import { takeEdit } from './edits.js';
import { entry } from './entries.js';
import type { Row } from '../model/value.js';
import type { ChangeEvent, EndSeen } from './events.js';
import { hold } from './holds.js';
import { confirm, finishCommand } from './own-writes.js';
import type { SystemIndex } from './plan-index.js';
import { absentRows } from './reconcile.js';
import { noteRow, touchParents } from './references.js';
import { completeRow } from './rows.js';
import { tellSink } from './send.js';
import type { InFlight, WaitingRecord } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';
import { recordsWaiting, takeWaiting } from './waiting.js';
import type { Work } from './work.js';

/**
 * A gap in a system's stream: changes may have been lost, outcomes of our commands among them. The rows that follow
 * are a resync and merge like any other (rule 10). Commands that were in flight at the gap are in doubt until the rows
 * have been read:
 *
 *   the row shows what the command wrote ─▶ it was carried out, whoever told of it
 *   the row is gone ─▶ the command has nothing left to do
 *   neither ─▶ it is asked for again under its own id, expectation and guard: if it was carried out, the target says
 *              `unchanged` or refuses; if the first one is still to come, the answer to the second finds nothing in flight
 */
export function observeGap(turn: Turn, { system, entity, transaction }: EndSeen): void {
  if (turn.index.entities.get(entity)?.systems.has(system) !== true) return;
  const name = `${system}/${entity}`;
  const progress = turn.sync.snapshots[name] ?? { phase: 'reading', first: true, number: 0 };
  // The number rises here too: what was seen before the gap has not been seen since.
  const doubted = { ...progress, number: progress.number + 1, doubt: turn.sync.lastCommand, request: transaction };
  turn.setSync({ snapshots: { ...turn.sync.snapshots, [name]: doubted } });
}

/** Every row has been read since the gap: what is left in doubt is settled, link by link. */
export function queueDoubts(turn: Turn, system: string, entity: string, snapshot: number): void {
  if (turn.sync.snapshots[`${system}/${entity}`]?.doubt === undefined) return;
  for (const among of [...turn.entity(entity).systems.keys(), null]) {
    turn.queue({ what: 'doubt', system, entity, among, snapshot });
  }
}

/** Where links with something unsettled are found: among a system's records, and those that have no record anywhere. */
export function entryOfDoubt(entity: string, among: string | null): string {
  return among === null ? entry.loose(entity) : entry.has(among, entity);
}

/** It was in flight when a part of the stream may have been lost; it may be answered twice, or never. */
export function isInDoubt(turn: Turn, system: SystemIndex, command: string): boolean {
  const doubt = turn.sync.snapshots[`${system.system}/${system.entity.name}`]?.doubt;
  if (doubt === undefined || !command.startsWith(`${turn.sync.birth}.`)) return false;
  return Number(command.slice(command.lastIndexOf('.') + 1)) <= doubt;
}

function doubted(turn: Turn, system: SystemIndex, member: MemberDraft): InFlight | null {
  const command = member.inFlight;
  return command !== null && isInDoubt(turn, system, command.command) ? command : null;
}

/**
 * A row without word of us shows what a command in doubt wrote: that was ours, and only what differs beyond it is
 * somebody's edit (I8). With `after` null it was flagged as deleted. True if nothing is left to observe.
 */
export function confirmByRow(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  after: ChangeEvent['after'],
): boolean {
  const command = doubted(turn, system, member);
  if (command === null || command.operation !== 'update' || command.key !== member.key) return false;
  if (command.soft) {
    if (after !== null) return false;
    carriedOut(turn, link, system, member);
    return true;
  }
  const seen = member.seen!;
  const { set } = command;
  const written = Object.keys(set).filter((column) => set[column] !== seen[column]);
  // All of it: where a part is shown, somebody may have written the same there, and nothing was carried out.
  if (after === null || written.length === 0 || !written.every((column) => after[column] === set[column])) return false;
  finishCommand(turn, link, system, member);
  confirm(turn, link, system, member, command, member.key!, { ...seen, ...set });
  return false;
}

/** A resync did not show the record: it vanished while nobody looked, perhaps by our own deletion in doubt. */
export function visitVanished(turn: Turn, link: LinkDraft, system: SystemIndex, snapshot: number): void {
  const member = link.members[system.system];
  if (member === undefined || member.seen === null || member.snapshot >= snapshot) return;
  const command = doubted(turn, system, member);
  if (command !== null && (command.operation === 'delete' || command.soft)) {
    carriedOut(turn, link, system, member);
    return;
  }
  if (command !== null) finishCommand(turn, link, system, member);
  observeDeletion(turn, link, system, member, { timeMicros: null, transaction: null });
}

function carriedOut(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  finishCommand(turn, link, system, member);
  touchParents(turn, link, system, member);
  setGone(turn, link, system, member);
}

/** What the reading since the gap says of a link: it has shown every record that exists. */
export function visitDoubt(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  { among, snapshot }: Extract<Work, { what: 'doubt' }>,
): void {
  const member = link.members[system.system];
  if (member === undefined) return;
  // Snapshots end between transactions: that the deleting one is over was lost.
  if (member.ending !== null) endDeletion(turn, link, system, member);
  if (system.plan.captured) {
    // A later reading may have begun: what that has not shown yet has not vanished.
    const { number } = turn.sync.snapshots[`${system.system}/${system.entity.name}`]!;
    visitVanished(turn, link, system, snapshot ?? number);
  }
  const command = doubted(turn, system, member);
  if (command === null) return;
  if (command.operation === 'insert') {
    if (among === firstWithRecord(link)) settleInsert(turn, link, system, member, command);
  } else if (member.seen === null) {
    finishCommand(turn, link, system, member);
  } else if (among === system.system) {
    askAgain(turn, link, system, command);
  }
}

/** A link is walked over once for each of its records; its insert is settled in one of these walks. */
function firstWithRecord(link: LinkDraft): string | null {
  return Object.keys(link.members).find((name) => link.members[name]!.seen !== null) ?? null;
}

function settleInsert(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft, command: InFlight): void {
  const waiting = recordsWaiting(turn, command.command);
  if (waiting.length > 0) {
    adopt(turn, link, system, member, command, waiting);
  } else if (link.existence === 'deleted') {
    // Nobody wants it any more; if the first one is still to come, its row is taken away again.
    finishCommand(turn, link, system, member);
  } else if (command.key === null && command.match.length === 0) {
    const { operation, key, set, expect } = command;
    const detail =
      'nothing tells whether its insert, whose answer was lost, was carried out: edit the record to repeat it';
    hold(
      turn,
      link,
      member,
      { reason: 'refused', group: null, detail },
      { attempt: { operation, key, set, expect }, blocking: null },
    );
    finishCommand(turn, link, system, member);
  } else {
    askAgain(turn, link, system, command);
  }
}

/** A row with the insert's match value is there. Showing most of what we wrote it is ours; else it is matched like any other. */
function adopt(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  command: InFlight,
  waiting: readonly WaitingRecord[],
): void {
  const only = waiting.length === 1 ? waiting[0]! : null;
  const row = only?.events.at(-1)?.after ?? null;
  finishCommand(turn, link, system, member);
  if (only === null || row === null || !showsMost(system, row, command.set)) return;
  takeWaiting(turn, command.command);
  if (link.existence === 'present') {
    confirm(turn, link, system, member, command, only.key, row);
    return;
  }
  // Nobody wants it any more: what somebody has changed in it since is an edit against the deletion.
  confirm(turn, link, system, member, command, only.key, { ...row, ...command.set });
  const setter = { system: system.system, timeMicros: null };
  takeEdit(turn, link, system, member, only.key, row, { by: 'user', setter: () => setter });
}

/** Of what was written beside the match values; nothing but these tells a row of ours from somebody else's of the same thing. */
function showsMost(system: SystemIndex, row: Row, set: Row): boolean {
  const telling = Object.keys(set).filter(
    (name) => set[name] !== null && !system.columns.some(({ column, inMatch }) => inMatch && column === name),
  );
  return telling.filter((name) => row[name] === set[name]).length * 2 >= telling.length;
}

/** The same id, values, expectation and guard. */
function askAgain(turn: Turn, link: LinkDraft, system: SystemIndex, command: InFlight): void {
  const { command: id, operation, key, set, expect } = command;
  const absent = operation === 'insert' ? absentRows(system, set) : [];
  tellSink(turn, link, system, { id, operation, key, set, expect, absent, again: true });
}

/**
 * A write of ours whose command is settled already comes back: asked for twice, or after it was given up. It moves
 * `seen` and decides nothing (I8); reconciling sets right what it undid. True if it was such a write.
 */
export function observeLateWrite(
  turn: Turn,
  system: SystemIndex,
  event: ChangeEvent,
  after: ChangeEvent['after'],
): boolean {
  const { origin } = event;
  if (after === null || origin?.command == null || origin.link === null || origin.sync !== turn.plan.name) return false;
  if (!isInDoubt(turn, system, origin.command)) return false;
  const link = turn.link(origin.link);
  const member = link === null ? null : turn.member(link, system.system);
  if (link === null || member === null || member.inFlight !== null || member.ending !== null) return false;
  if (member.seen !== null && member.key !== event.key) return false;
  const row = member.seen === null ? after : completeRow(system, after, member.seen, event);
  if (member.seen === null) member.agreed = {};
  link.tombstoneMicros = null;
  setSeen(turn, link, system, member, event.key, row);
  noteRow(turn, link, system, member);
  return true;
}
