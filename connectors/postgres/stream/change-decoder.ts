import type { Change, Operation } from '../../../src/connector/contract.js';
import type { TableShape } from '../../../src/model/table.js';
import { recordKey, type Row, type Value } from '../../../src/model/value.js';
import type { Relation } from './relation.js';

/** Ordinals of one message of the log: room for the events that one row becomes. */
export const ORDINALS_PER_MESSAGE = 64;

const KEY_TUPLE = 0x4b;
const OLD_TUPLE = 0x4f;
const UPDATE = 0x55;
const DELETE = 0x44;

/** What all changes of a transaction share. */
export interface TransactionFacts {
  readonly commitTimeMicros: number;
  /** The transaction id, as text. */
  readonly transaction: string;
  /** The commit's place, as sortable text. */
  readonly place: string;
}

export type ChangeReceiver = (change: Change, ordinal: number) => void;

/** An event's position: the commit's place and the ordinal, both of fixed width. */
export function eventPosition(place: string, ordinal: number): string {
  return `${place}.${String(1e12 + ordinal).slice(1)}`;
}

/**
 * Turns an insert, update or delete message into changes: one for each entity of the table, two where the key changed
 * (`keyChange`). Origin is left null; who knows better makes a copy.
 */
export function decodeChanges(
  message: Buffer,
  relation: Relation,
  facts: TransactionFacts,
  ordinal: number,
  receive: ChangeReceiver,
): void {
  const { reader, shapes } = relation;
  const kind = message[0]!;
  let before: Row | null = null;
  let at = 5;
  if (message[at] === KEY_TUPLE || message[at] === OLD_TUPLE) {
    before = message[at] === KEY_TUPLE ? reader.readKey(message, at + 1) : reader.read(message, at + 1);
    at = reader.end;
  }
  if (kind === DELETE) {
    for (let index = 0; index < shapes.length; index++) {
      const shape = shapes[index]!;
      const key = recordKey(before!, shape.key);
      const place = ordinal + 2 * index;
      receive(change(shape, 'delete', key, null, before, null, NONE, facts, place), place);
    }
    return;
  }
  const after = reader.read(message, at + 1);
  const unchanged = before === null ? reader.unchanged : takeFromBefore(after, before, reader.unchanged);
  for (let index = 0; index < shapes.length; index++) {
    const shape = shapes[index]!;
    const key = recordKey(after, shape.key);
    const place = ordinal + 2 * index;
    const oldKey = before === null ? key : recordKey(before, shape.key);
    if (oldKey === key) {
      const operation = kind === UPDATE ? 'update' : 'insert';
      receive(change(shape, operation, key, null, before, after, unchanged, facts, place), place);
    } else {
      receive(change(shape, 'delete', oldKey, { to: key }, before, null, NONE, facts, place), place);
      receive(change(shape, 'update', key, { from: oldKey }, before, after, unchanged, facts, place + 1), place + 1);
    }
  }
}

const NONE: readonly string[] = [];

function change(
  table: TableShape,
  operation: Operation,
  key: string,
  keyChange: Change['keyChange'],
  before: Row | null,
  after: Row | null,
  unchanged: readonly string[],
  facts: TransactionFacts,
  ordinal: number,
): Change {
  return {
    kind: 'change',
    table,
    operation,
    key,
    keyChange,
    before,
    after,
    unchanged,
    commitTimeMicros: facts.commitTimeMicros,
    transaction: facts.transaction,
    position: eventPosition(facts.place, ordinal),
    origin: null,
  };
}

/** A large value that was not sent again stands in the old image, where the replica identity gives one. */
function takeFromBefore(after: Row, before: Row, unchanged: readonly string[]): readonly string[] {
  if (unchanged.length === 0) return unchanged;
  const filled = after as Record<string, Value>;
  return unchanged.filter((name) => {
    const value = before[name];
    if (value === undefined) return true;
    filled[name] = value;
    return false;
  });
}
