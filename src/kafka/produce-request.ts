import { crc32c } from './crc32c.js';

/**
 * The produce request (version 3 to 7, uncompressed) written into one allocation.
 * kafkajs makes an encoder of 512 bytes for each record and each level above it, each copied into the next.
 */
export interface ProduceMessage {
  readonly key: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly timestamp?: string | number | null;
  readonly headers?: object;
}

export interface ProduceTopic {
  readonly topic: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly firstSequence: number;
    readonly messages: readonly ProduceMessage[];
  }[];
}

export interface ProduceRequest {
  readonly acks: number;
  readonly timeout: number;
  readonly transactionalId: string | null;
  readonly producerId: string | number;
  readonly producerEpoch: number;
  readonly topicData: readonly ProduceTopic[];
}

const MAGIC = 2;
const TRANSACTIONAL = 16;
/** Of a record batch: from the start to its records, and from there back to the two places that are filled in last. */
export const BATCH_HEADER_BYTES = 61;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;

/** Whether this encoder can do it; what it cannot is left to the package's own. */
export function isPlain(topicData: readonly ProduceTopic[]): boolean {
  return topicData.every(({ partitions }) =>
    partitions.every(({ messages }) =>
      messages.every(({ key, value, headers }) => headers === undefined && isBytesOrNull(key) && isBytesOrNull(value)),
    ),
  );
}

function isBytesOrNull(bytes: unknown): boolean {
  return bytes === null || bytes === undefined || Buffer.isBuffer(bytes);
}

/** The request's body; the bytes are those of the package's own encoder. */
export function encodeProduceRequest(request: ProduceRequest, nowMs: number): Buffer {
  const writer = new Writer(sizeOf(request, nowMs));
  writer.string(request.transactionalId);
  writer.int16(request.acks);
  writer.int32(request.timeout);
  writer.int32(request.topicData.length);
  for (const { topic, partitions } of request.topicData) {
    writer.string(topic);
    writer.int32(partitions.length);
    for (const { partition, messages, firstSequence } of partitions) {
      writer.int32(partition);
      writeBatch(writer, request, messages, firstSequence, nowMs);
    }
  }
  return writer.bytes;
}

function writeBatch(
  writer: Writer,
  request: ProduceRequest,
  messages: readonly ProduceMessage[],
  firstSequence: number,
  nowMs: number,
): void {
  const times = timesOf(messages, nowMs);
  const sizeAt = writer.at;
  writer.at += 4;
  const start = writer.at;
  writer.int64(0);
  writer.at += 4;
  writer.int32(0);
  writer.int8(MAGIC);
  writer.at = start + ATTRIBUTES_AT;
  writer.int16(request.transactionalId ? TRANSACTIONAL : 0);
  writer.int32(messages.length - 1);
  writer.int64(times.first);
  writer.int64(times.last);
  writer.bigInt64(request.producerId);
  writer.int16(request.producerEpoch);
  writer.int32(firstSequence);
  writer.int32(messages.length);
  for (let at = 0; at < messages.length; at++) writeRecord(writer, messages[at]!, at, times, nowMs);
  const end = writer.at;
  writer.int32At(sizeAt, end - start);
  writer.int32At(start + 8, end - start - 12);
  writer.int32At(start + CRC_AT, crc32c(writer.bytes.subarray(start + ATTRIBUTES_AT, end)) | 0);
}

function writeRecord(writer: Writer, message: ProduceMessage, at: number, times: Times, nowMs: number): void {
  const key = message.key as Buffer | null | undefined;
  const value = message.value as Buffer | null | undefined;
  const timeDelta = Number(message.timestamp || nowMs) - times.first;
  writer.varInt(bodySize(key, value, timeDelta, at));
  writer.int8(0);
  writer.varInt(timeDelta);
  writer.varInt(at);
  writer.varBytes(key);
  writer.varBytes(value);
  writer.varInt(0);
}

interface Times {
  readonly first: number;
  readonly last: number;
}

/** The least and the greatest of the messages' times; now, where none has one. */
function timesOf(messages: readonly ProduceMessage[], nowMs: number): Times {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const { timestamp } of messages) {
    if (timestamp === undefined || timestamp === null) continue;
    const time = Number(timestamp);
    if (time < first) first = time;
    if (time > last) last = time;
  }
  return first === Number.POSITIVE_INFINITY ? { first: nowMs, last: nowMs } : { first, last };
}

function sizeOf(request: ProduceRequest, nowMs: number): number {
  let size = 2 + byteLength(request.transactionalId) + 2 + 4 + 4;
  for (const { topic, partitions } of request.topicData) {
    size += 2 + byteLength(topic) + 4;
    for (const { messages } of partitions) size += 4 + 4 + batchSize(messages, nowMs);
  }
  return size;
}

function batchSize(messages: readonly ProduceMessage[], nowMs: number): number {
  const { first } = timesOf(messages, nowMs);
  let size = BATCH_HEADER_BYTES;
  for (let at = 0; at < messages.length; at++) {
    const { key, value, timestamp } = messages[at]!;
    const body = bodySize(
      key as Buffer | null | undefined,
      value as Buffer | null | undefined,
      Number(timestamp || nowMs) - first,
      at,
    );
    size += varIntSize(body) + body;
  }
  return size;
}

function bodySize(
  key: Buffer | null | undefined,
  value: Buffer | null | undefined,
  timeDelta: number,
  at: number,
): number {
  return 1 + varIntSize(timeDelta) + varIntSize(at) + varBytesSize(key) + varBytesSize(value) + 1;
}

function varBytesSize(bytes: Buffer | null | undefined): number {
  return bytes === null || bytes === undefined ? 1 : varIntSize(bytes.length) + bytes.length;
}

function byteLength(text: string | null): number {
  return text === null || text === undefined ? 0 : Buffer.byteLength(text, 'utf8');
}

const HALF_INT32 = 2 ** 30;
const TWO_TO_32 = 2 ** 32;

/** Bytes of a zigzag varint; a number beyond 31 bits goes by division. */
function varIntSize(value: number): number {
  let rest = zigzag(value);
  let size = 1;
  for (; rest >= 0x80; size++) rest = Math.floor(rest / 128);
  return size;
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

class Writer {
  readonly bytes: Buffer;
  at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  int8(value: number): void {
    this.bytes[this.at++] = value;
  }
  int16(value: number): void {
    this.at = this.bytes.writeInt16BE(value, this.at);
  }
  int32(value: number): void {
    this.at = this.bytes.writeInt32BE(value, this.at);
  }
  int32At(at: number, value: number): void {
    this.bytes.writeInt32BE(value, at);
  }
  /** A whole number of at most 53 bits. */
  int64(value: number): void {
    this.bytes.writeInt32BE(Math.floor(value / TWO_TO_32), this.at);
    this.at = this.bytes.writeUInt32BE(value - Math.floor(value / TWO_TO_32) * TWO_TO_32, this.at + 4);
  }
  bigInt64(value: string | number): void {
    this.at = this.bytes.writeBigInt64BE(BigInt(value), this.at);
  }
  string(text: string | null): void {
    if (text === null || text === undefined) return this.int16(-1);
    const length = Buffer.byteLength(text, 'utf8');
    this.int16(length);
    this.at += this.bytes.write(text, this.at, length, 'utf8');
  }
  varInt(value: number): void {
    const { bytes } = this;
    if (value < HALF_INT32 && value >= -HALF_INT32) {
      let rest = (value << 1) ^ (value >> 31);
      for (; rest > 0x7f; rest >>>= 7) bytes[this.at++] = (rest & 0x7f) | 0x80;
      bytes[this.at++] = rest;
      return;
    }
    let rest = zigzag(value);
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes[this.at++] = (rest % 128) | 0x80;
    bytes[this.at++] = rest;
  }
  varBytes(value: Buffer | null | undefined): void {
    if (value === null || value === undefined) return this.varInt(-1);
    this.varInt(value.length);
    value.copy(this.bytes, this.at);
    this.at += value.length;
  }
}
