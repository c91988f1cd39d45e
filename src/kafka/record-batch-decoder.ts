import type { DecodedMessage } from './record-batches.js';

/**
 * Reads a record batch without an object for each level and without arithmetic on BigInt for each record.
 */
const HEADER_BYTES = 49;
const COMPRESSION = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

export interface BatchContext {
  readonly firstOffset: string;
  readonly firstTimestamp: string;
  readonly partitionLeaderEpoch: number;
  readonly inTransaction: boolean;
  readonly isControlBatch: boolean;
  readonly lastOffsetDelta: number;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly maxTimestamp: string;
  readonly timestampType: number;
  readonly magicByte: number;
}

export interface Batches {
  readonly buffer: Buffer;
  offset: number;
}

export type DecodedBatch = Omit<BatchContext, 'magicByte'> & { readonly records: readonly DecodedMessage[] };

/** Offset, timestamp and headers are made when they are asked for: text costs more than all the rest. */
class Message implements DecodedMessage {
  readonly attributes = 0;
  constructor(
    readonly batchContext: BatchContext,
    readonly offsetNumber: number,
    readonly timestampMs: number,
    readonly key: Buffer | null,
    readonly value: Buffer | null,
    readonly headerPairs: readonly (readonly [string, Buffer | null])[],
  ) {}

  get offset(): string {
    return String(this.offsetNumber);
  }
  get timestamp(): string {
    return String(this.timestampMs);
  }
  get magicByte(): number {
    return this.batchContext.magicByte;
  }
  get isControlRecord(): boolean {
    return this.batchContext.isControlBatch;
  }
  get headers(): Record<string, Buffer | null | (Buffer | null)[]> {
    const headers: Record<string, Buffer | null | (Buffer | null)[]> = {};
    for (const [key, value] of this.headerPairs) {
      const before = headers[key];
      headers[key] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
    }
    return headers;
  }
}

/** The batch that begins at the decoder's place, which moves behind it; null when it is compressed or cut off. */
export function decodeRecordBatch(batches: Batches): DecodedBatch | null {
  const { buffer, offset: start } = batches;
  const length = buffer.readInt32BE(start + 8);
  const end = start + 12 + length;
  if (end > buffer.length) return null;
  const at = start + 12;
  const attributes = buffer.readInt16BE(at + 9);
  if ((attributes & COMPRESSION) !== 0) return null;
  const firstOffset = readInt64(buffer, start);
  const firstTimestamp = readInt64(buffer, at + 15);
  const maxTimestamp = readInt64(buffer, at + 23);
  const batch = {
    firstOffset: String(firstOffset),
    firstTimestamp: String(firstTimestamp),
    partitionLeaderEpoch: buffer.readInt32BE(at),
    inTransaction: (attributes & TRANSACTIONAL) !== 0,
    isControlBatch: (attributes & CONTROL) !== 0,
    lastOffsetDelta: buffer.readInt32BE(at + 11),
    producerId: buffer.readBigInt64BE(at + 31).toString(),
    producerEpoch: buffer.readInt16BE(at + 39),
    firstSequence: buffer.readInt32BE(at + 41),
    maxTimestamp: String(maxTimestamp),
    timestampType: (attributes & LOG_APPEND_TIME) !== 0 ? 1 : 0,
  };
  const appendTime = batch.timestampType === 1 && maxTimestamp !== 0 ? maxTimestamp : null;
  const context = { ...batch, magicByte: buffer.readInt8(at + 4) };
  const count = buffer.readInt32BE(at + 45);
  const records = new RecordReader(buffer, at + HEADER_BYTES).read(
    Math.max(count, 0),
    context,
    firstOffset,
    firstTimestamp,
    appendTime,
  );
  batches.offset = end;
  return { ...batch, records };
}

const NO_HEADERS: readonly (readonly [string, Buffer | null])[] = [];

class RecordReader {
  constructor(
    readonly buffer: Buffer,
    public at: number,
  ) {}

  read(
    count: number,
    context: BatchContext,
    firstOffset: number,
    firstTimestamp: number,
    appendTime: number | null,
  ): Message[] {
    const records: Message[] = [];
    for (let index = 0; index < count; index++) {
      const length = this.varInt();
      const end = this.at + length;
      this.at += 1;
      const timestamp = firstTimestamp + this.varInt();
      const offset = firstOffset + this.varInt();
      const key = this.varBytes();
      const value = this.varBytes();
      const headers = this.headers();
      records.push(new Message(context, offset, appendTime ?? timestamp, key, value, headers));
      this.at = end;
    }
    return records;
  }

  headers(): readonly (readonly [string, Buffer | null])[] {
    const count = this.varInt();
    if (count <= 0) return NO_HEADERS;
    const headers: (readonly [string, Buffer | null])[] = [];
    for (let index = 0; index < count; index++) {
      headers.push([this.varBytes()?.toString('utf8') ?? '', this.varBytes()]);
    }
    return headers;
  }

  varBytes(): Buffer | null {
    const length = this.varInt();
    if (length < 0) return null;
    const start = this.at;
    this.at += length;
    return this.buffer.subarray(start, this.at);
  }

  /** A zigzag varint of up to 53 bits. */
  varInt(): number {
    const { buffer } = this;
    let byte = buffer[this.at++]!;
    let result = byte & 0x7f;
    let factor = 128;
    while (byte >= 0x80) {
      byte = buffer[this.at++]!;
      result += (byte & 0x7f) * factor;
      factor *= 128;
    }
    return result % 2 === 0 ? result / 2 : -(result + 1) / 2;
  }
}

function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * 2 ** 32 + buffer.readUInt32BE(at + 4);
}
