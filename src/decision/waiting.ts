import type { Row, Value } from '../model/value.js';
import type { ChangeEvent } from './events.js';
import { entry } from './entries.js';
import { presentRow } from './rows.js';
import { waitingKey, type WaitingRecord } from './state.js';
import type { Turn } from './turn.js';

/** Events of one record that may wait, and characters of their rows; beyond, what nobody can tell apart any more is drawn together. */
const MAX_EVENTS = 100;
const MAX_LENGTH = 4 << 20;

/** Rule 4: a record that may be our own insert in flight waits for its outcome, with all that follows on it. */
export function wait(turn: Turn, event: ChangeEvent, command: string): void {
  const { system, entity, key } = event;
  put(turn, { kind: 'waiting', system, entity, key, command, events: [event] });
}

/** Adds an event to those of its record that wait already, if there are any. */
export function waitOn(turn: Turn, event: ChangeEvent, movedFrom: string | null): boolean {
  const { system, entity, key } = event;
  const waiting = turn.state.get(waitingKey(system, entity, movedFrom ?? key));
  if (waiting?.kind !== 'waiting') return false;
  if (movedFrom === null) {
    put(turn, { ...waiting, events: append(waiting.events, event) });
  } else {
    // Nobody knows the record yet, so nobody needs to know that it had another key.
    turn.state.delete(waitingKey(system, entity, movedFrom));
    const renamed = append(waiting.events, event).map((one) => ({ ...one, key, keyChange: null }));
    put(turn, { ...waiting, key, events: renamed });
  }
  return true;
}

/** Takes out the events that waited for this command, in the order in which they came. */
export function takeWaiting(turn: Turn, command: string): ChangeEvent[] {
  const events: ChangeEvent[] = [];
  for (let keys = awaiting(turn, command); keys.length > 0; keys = awaiting(turn, command)) {
    for (const key of keys) events.push(...takeRecord(turn, key));
  }
  return events.sort((left, right) => (left.position < right.position ? -1 : 1));
}

/** Records that wait for this command; those that a gap has overtaken leave nothing. */
export function recordsWaiting(turn: Turn, command: string): WaitingRecord[] {
  const records: WaitingRecord[] = [];
  for (const key of awaiting(turn, command)) {
    const record = turn.state.get(key);
    if (record?.kind !== 'waiting') continue;
    if (isOverdue(turn, record)) turn.state.delete(key);
    else records.push(record);
  }
  return records;
}

function awaiting(turn: Turn, command: string): readonly string[] {
  return turn.find(entry.awaiting(command), MAX_EVENTS);
}

/** What was deleted again before anybody knew it leaves nothing. */
function takeRecord(turn: Turn, key: string): readonly ChangeEvent[] {
  const waiting = turn.state.get(key);
  turn.state.delete(key);
  if (waiting?.kind !== 'waiting' || isOverdue(turn, waiting)) return [];
  const system = turn.system(waiting.entity, waiting.system);
  const gone = waiting.events.findLastIndex(({ after }) => presentRow(system, after) === null);
  return waiting.events.slice(gone + 1);
}

function put(turn: Turn, record: WaitingRecord): void {
  const key = waitingKey(record.system, record.entity, record.key);
  if (record.events.length === 0) turn.state.delete(key);
  else turn.state.put(key, { ...record, snapshot: snapshotNumber(turn, record) });
}

/** The table is being read again, or has been, and has not shown the record since: it will be shown, or it is gone. */
function isOverdue(turn: Turn, record: WaitingRecord): boolean {
  return record.snapshot !== undefined && record.snapshot < snapshotNumber(turn, record);
}

function snapshotNumber(turn: Turn, { system, entity }: WaitingRecord): number {
  return turn.sync.snapshots[`${system}/${entity}`]?.number ?? 0;
}

/**
 * At a limit two updates become one, and a record that nobody ever saw and that is gone again leaves nothing. Each event
 * stands for itself: a value that it did not send is that of the one before.
 */
function append(events: readonly ChangeEvent[], next: ChangeEvent): readonly ChangeEvent[] {
  const last = events.at(-1)!;
  const event = completed(last, next);
  const length = [...events, event].reduce((sum, { before, after }) => sum + lengthOf(before) + lengthOf(after), 0);
  if (events.length < MAX_EVENTS && length <= MAX_LENGTH) return [...events, event];
  if (event.operation === 'delete') return [];
  if (last.after === null) return [event];
  const { operation, before, transaction } = last;
  return [...events.slice(0, -1), { ...event, operation, before, transaction }];
}

/** With the values that only the event before has, but for those that were too large to be sent. */
function completed(former: ChangeEvent, event: ChangeEvent): ChangeEvent {
  if (event.after === null || former.after === null || event.unchanged.length === 0) return event;
  const after: Record<string, Value> = { ...event.after };
  const unchanged: string[] = [];
  for (const column of event.unchanged) {
    const known = former.unchanged.includes(column) ? undefined : former.after[column];
    if (known === undefined || event.oversize?.includes(column) === true) unchanged.push(column);
    else after[column] = known;
  }
  return { ...event, after, unchanged };
}

function lengthOf(row: Row | null): number {
  let length = 0;
  for (const column in row) {
    const value = row[column];
    if (typeof value === 'string') length += value.length;
  }
  return length;
}
