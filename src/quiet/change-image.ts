import { HEADER_BYTES } from '../avro/codec.js';
import { changeSchemaOf } from '../avro/change-codec.js';
import { layoutOf } from '../avro/layout.js';
import type { AvroRecord, AvroSchema } from '../avro/schema.js';
import { RowLayout } from './row-layout.js';
import { Skimmer } from './skimmer.js';

export const INSERT = 0;
export const UPDATE = 1;
export const DELETE = 2;
export const END = 5;

/** What a message of a change topic says, as places in its bytes (schemas/change.avsc). */
export class ChangeImage {
  readonly row: RowLayout;
  /** Of the row after the change, unless that is none. */
  readonly after: Int32Array;
  buf: Buffer = Buffer.alloc(0);
  operation = -1;
  hasAfter = false;
  /** Null, or microseconds. */
  commitTimeMicros: number | null = null;
  transactionStart = 0;
  transactionEnd = 0;
  /** Of the command that made it; 0 where it was none. */
  commandStart = 0;
  commandEnd = 0;
  linkStart = 0;
  linkEnd = 0;
  private readonly skimmer = new Skimmer();
  private readonly before: Int32Array;

  private constructor(row: RowLayout) {
    this.row = row;
    this.after = row.places();
    this.before = row.places();
  }

  /** Null for a schema of another version, whose fields may mean something else. */
  static of(schema: AvroSchema): ChangeImage | null {
    const before = (schema as AvroRecord).fields.find(({ name }) => name === 'before')?.type;
    const row = (before as readonly AvroSchema[] | undefined)?.[1] as AvroRecord | undefined;
    if (row?.fields === undefined || layoutOf(schema) !== layoutOf(changeSchemaOf(row))) return null;
    return new ChangeImage(new RowLayout(row.fields));
  }

  /**
   * False where the message says more than that a row has changed: another key, columns not sent, an outcome, a
   * transaction of ours without a command.
   */
  read(message: Buffer, sync: Buffer): boolean {
    const { skimmer } = this;
    this.buf = message;
    skimmer.begin(message, HEADER_BYTES);
    this.operation = skimmer.long();
    if (!skimmer.isZero()) skimmer.pos = this.row.walk(message, skimmer.pos, this.before);
    this.hasAfter = !skimmer.isZero();
    if (this.hasAfter) skimmer.pos = this.row.walk(message, skimmer.pos, this.after);
    if (!skimmer.isZero()) return false;
    skimmer.skipTexts();
    if (!(skimmer.isZero() && skimmer.isZero() && skimmer.isZero())) return false;
    skimmer.skipText();
    this.commitTimeMicros = skimmer.isZero() ? null : skimmer.long();
    this.transactionStart = skimmer.pos;
    skimmer.skipText();
    this.transactionEnd = skimmer.pos;
    if (!this.readOrigin(sync)) return false;
    if (!skimmer.isZero()) return false;
    if (this.operation === END)
      return !skimmer.isZero() && skimmer.isText(TRANSACTION) && skimmer.pos === message.length;
    return skimmer.isZero() && skimmer.pos === message.length;
  }

  private readOrigin(sync: Buffer): boolean {
    const { skimmer } = this;
    this.commandStart = 0;
    if (skimmer.isZero()) return true;
    if (!skimmer.isText(sync) || skimmer.isZero()) return false;
    this.commandStart = skimmer.pos;
    skimmer.skipText();
    this.commandEnd = skimmer.pos;
    if (skimmer.isZero()) return false;
    this.linkStart = skimmer.pos;
    skimmer.skipText();
    this.linkEnd = skimmer.pos;
    return true;
  }
}

/** The end of a transaction, as a message of kind `end` names it. */
const TRANSACTION = Buffer.from('\u0016transaction');
