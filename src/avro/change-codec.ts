import type { EndEvent, Operation, Origin, SourceEvent } from '../connector/contract.js';
import type { ChangeEvent, StreamEvent } from '../decision/events.js';
import { DuologError } from '../errors/duolog-error.js';
import type { TableShape } from '../model/table.js';
import type { Row, Value } from '../model/value.js';
import { fromOutcomeRecord, toOutcomeRecord, type OutcomeRecord } from './assignments.js';
import type { Decoded, Encoder, Encoders } from './codec.js';
import { NamedRecord } from './named-record.js';
import { rowSchema } from './row-schema.js';
import { schemaFile, withDefinitions, type AvroRecord, type AvroSchema } from './schema.js';

/** The envelope of `schemas/change.avsc`. */
interface ChangeRecord {
  readonly op: Operation | 'outcome' | 'end' | 'unknown';
  readonly before: Row | null;
  readonly after: Row | null;
  readonly unchanged: readonly string[];
  readonly unsent: readonly string[];
  readonly oversize: readonly string[];
  readonly keyChangeFrom: string | null;
  readonly keyChangeTo: string | null;
  readonly position: string;
  readonly commitTime: number | null;
  readonly transaction: string;
  readonly origin: Origin | null;
  readonly outcome: OutcomeRecord | null;
  readonly end: EndEvent['end'] | null;
}

const NONE: readonly string[] = [];

/** Larger values of an image that was met are left out where the message would be too large. */
const MAX_MET_BYTES = 1000;

type ChangeOfRow = Extract<SourceEvent, { kind: 'change' }>;

/** The schema of a table's change topic: the envelope around the table's own row. */
export function changeSchema(shape: TableShape): AvroRecord {
  return changeSchemaOf(rowSchema(shape));
}

/** The same around a row's schema. */
export function changeSchemaOf(row: AvroRecord): AvroRecord {
  return withDefinitions(schemaFile('change'), [row, schemaFile('outcome'), schemaFile('assignment')]);
}

/** Writes the events of one table under its present shape. */
export class ChangeEncoder {
  private readonly row: NamedRecord<Value>;

  private constructor(
    private readonly shape: TableShape,
    private readonly encoder: Encoder<ChangeRecord>,
    private readonly maxBytes: number,
  ) {
    this.row = new NamedRecord(rowSchema(shape).fields);
  }

  static async register(
    encoders: Encoders,
    topic: string,
    shape: TableShape,
    maxBytes: number,
  ): Promise<ChangeEncoder> {
    const encoder = await encoders.register<ChangeRecord>(topic, 'value', changeSchema(shape));
    return new ChangeEncoder(shape, encoder, maxBytes);
  }

  encode(event: SourceEvent): Buffer {
    const message = this.encoder.encode(this.record(event, NONE, NONE));
    if (message.length <= this.maxBytes || event.kind === 'end') return message;
    return event.kind === 'change' ? this.encodeOversize(event) : this.encodeLargeRefusal(event);
  }

  /**
   * Leaves out the largest columns until the rest fits: first of the image before, which only tells more exactly what
   * happened; then of the image after, whose record is held for it, visibly (I13).
   */
  private encodeOversize(event: ChangeOfRow): Buffer {
    const before = this.bySize(event.before);
    for (let count = 1; count <= before.length; count++) {
      const message = this.encoder.encode(this.record(event, NONE, before.slice(0, count)));
      if (message.length <= this.maxBytes) return message;
    }
    const after = this.bySize(event.after);
    for (let count = 1; count <= after.length; count++) {
      const message = this.encoder.encode(this.record(event, after.slice(0, count), before));
      if (message.length <= this.maxBytes) return message;
    }
    const table = this.shape.table;
    throw new DuologError('KAFKA_MESSAGE_TOO_LARGE', `An event of ${table} is too large even without its row.`);
  }

  /** The image that a refused command met is for people: it tells without its largest values. */
  private encodeLargeRefusal(event: Extract<SourceEvent, { kind: 'outcome' }>): Buffer {
    const { outcome } = event;
    if (outcome.status !== 'refused' || outcome.met === null)
      return this.encoder.encode(this.record(event, NONE, NONE));
    const kept = Object.entries(outcome.met).filter(([, value]) => textSize(value) <= MAX_MET_BYTES);
    const smaller = { ...event, outcome: { ...outcome, met: Object.fromEntries(kept) } };
    return this.encoder.encode(this.record(smaller, NONE, NONE));
  }

  /** Names of the columns of a row, the largest value first. */
  private bySize(row: Row | null): string[] {
    if (row === null) return [];
    const sizes = this.shape.columns.map(({ name }) => [name, textSize(row[name])] as const);
    return sizes.sort(([, left], [, right]) => right - left).map(([name]) => name);
  }

  private record(event: SourceEvent, oversize: readonly string[], shortened: readonly string[]): ChangeRecord {
    switch (event.kind) {
      case 'change':
        return {
          op: event.operation,
          before: event.before && this.row.write(event.before, shortened),
          after: event.after && this.row.write(event.after, oversize),
          unchanged: event.unchanged,
          unsent: event.before === null ? NONE : [...this.row.missing(event.before), ...shortened],
          oversize,
          keyChangeFrom: event.keyChange !== null && 'from' in event.keyChange ? event.keyChange.from : null,
          keyChangeTo: event.keyChange !== null && 'to' in event.keyChange ? event.keyChange.to : null,
          position: event.position,
          commitTime: event.commitTimeMicros,
          transaction: event.transaction,
          origin: event.origin,
          outcome: null,
          end: null,
        };
      case 'outcome':
        return { ...this.bare(event), op: 'outcome', outcome: toOutcomeRecord(event.outcome) };
      case 'end':
        return { ...this.bare(event), op: 'end', end: event.end };
    }
  }

  private bare(event: Exclude<SourceEvent, { kind: 'change' }>): ChangeRecord {
    return {
      op: 'end',
      before: null,
      after: null,
      unchanged: NONE,
      unsent: NONE,
      oversize: NONE,
      keyChangeFrom: null,
      keyChangeTo: null,
      position: event.position,
      commitTime: event.commitTimeMicros,
      transaction: event.transaction,
      origin: null,
      outcome: null,
      end: null,
    };
  }
}

function textSize(value: Value | undefined): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : 8;
}

/** What a change topic's message says, for the decision. @throws DuologError MESSAGE_UNREADABLE. */
export function changeEvent(system: string, entity: string, key: string | null, decoded: Decoded): StreamEvent {
  const record = decoded.value as ChangeRecord;
  const { position, transaction } = record;
  switch (record.op) {
    case 'insert':
    case 'update':
    case 'delete':
    case 'read': {
      if (key === null) throw new DuologError('MESSAGE_UNREADABLE', 'A change without a key.');
      const row = rowOf(decoded.schema);
      const event: ChangeEvent = {
        kind: 'change',
        system,
        entity,
        key,
        operation: record.op,
        keyChange: keyChange(record),
        before: record.before && row.read(record.before, record.unsent),
        after: record.after && row.read(record.after, notSent(record.unchanged, record.oversize)),
        // What is too large to be sent is known no better than what did not change.
        unchanged: notSent(record.unchanged, record.oversize),
        commitTimeMicros: record.commitTime,
        transaction,
        position,
        origin: record.origin,
      };
      return record.oversize.length === 0 ? event : { ...event, oversize: record.oversize };
    }
    case 'outcome':
      if (record.outcome === null) throw new DuologError('MESSAGE_UNREADABLE', 'An outcome event without outcome.');
      return {
        kind: 'outcome',
        system,
        entity,
        outcome: fromOutcomeRecord(record.outcome),
        commitTimeMicros: record.commitTime ?? 0,
        transaction,
        position,
      };
    case 'end':
      return {
        kind: 'end',
        system,
        entity,
        end: record.end ?? 'transaction',
        commitTimeMicros: record.commitTime,
        transaction,
        position,
      };
    case 'unknown':
      throw new DuologError('MESSAGE_UNREADABLE', 'A change of a kind that this version does not know.');
  }
}

function keyChange(record: ChangeRecord): ChangeEvent['keyChange'] {
  if (record.keyChangeFrom !== null) return { from: record.keyChangeFrom };
  return record.keyChangeTo === null ? null : { to: record.keyChangeTo };
}

function notSent(columns: readonly string[], oversize: readonly string[]): readonly string[] {
  return oversize.length === 0 ? columns : [...columns, ...oversize];
}

const rowBySchema = new WeakMap<object, NamedRecord<Value>>();

/** The row within the envelope that the message was written under. */
function rowOf(schema: AvroSchema): NamedRecord<Value> {
  const record = schema as AvroRecord;
  let row = rowBySchema.get(record);
  if (row === undefined) {
    const before = record.fields.find(({ name }) => name === 'before')?.type as readonly AvroSchema[];
    row = new NamedRecord<Value>((before[1] as AvroRecord).fields);
    rowBySchema.set(record, row);
  }
  return row;
}
