import { createRequire } from 'node:module';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { crc32c } from '../../src/kafka/crc32c.js';
import { groupMessagesPerPartition } from '../../src/kafka/fast-path.js';
import { encodeProduceRequest, type ProduceMessage } from '../../src/kafka/produce-request.js';
import { decodeRecordBatch } from '../../src/kafka/record-batch-decoder.js';

/** The modules that replace kafkajs's for speed do what the originals do: the same bytes out, the same records in. */
const require = createRequire(import.meta.url);
const original = {
  crc32c: require('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number,
  group: require('kafkajs/src/producer/groupMessagesPerPartition') as typeof groupMessagesPerPartition,
  request: require('kafkajs/src/protocol/requests/produce/v3/request') as (request: object) => {
    encode(): Promise<{ readonly buffer: Buffer }>;
  },
  decode: require('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<DecodedBatch>,
  Decoder: require('kafkajs/src/protocol/decoder') as new (bytes: Buffer) => object,
  RecordBatch: (
    require('kafkajs/src/protocol/recordBatch/v0') as {
      RecordBatch: (batch: object) => Promise<{ readonly buffer: Buffer }>;
    }
  ).RecordBatch,
  Record: require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => object,
};

interface DecodedBatch {
  readonly records: readonly Record<string, unknown>[];
}

const NOW_MS = 1_763_800_000_000;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_MS, toFake: ['Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const bytesOrNull = fc.option(bytes, { nil: null });
/** Of equal length as text, because the original sorts times as texts. */
const timestamp = fc.integer({ min: 1_000_000_000_000, max: 9_999_999_999_999 }).map(String);

describe('crc32c', () => {
  it('is that of the standard', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(0))).toBe(0);
  });

  it('is that of the original', () => {
    fc.assert(fc.property(bytes, (each) => crc32c(each) === original.crc32c(each)));
  });
});

describe('the produce request', () => {
  const messages = fc.oneof(
    fc.array(fc.record({ key: bytesOrNull, value: bytesOrNull, timestamp }), { minLength: 1, maxLength: 40 }),
    fc.array(fc.record({ key: bytesOrNull, value: bytesOrNull }), { minLength: 1, maxLength: 40 }),
  );
  const topic = fc.record({
    topic: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }),
    partitions: fc.array(fc.record({ partition: fc.nat(100), firstSequence: fc.nat(2 ** 31 - 1), messages }), {
      minLength: 1,
      maxLength: 3,
    }),
  });
  const request = fc.record({
    acks: fc.constantFrom(-1, 0, 1),
    timeout: fc.nat(60_000),
    transactionalId: fc.option(fc.string({ minLength: 1, unit: 'grapheme' }), { nil: null }),
    producerId: fc.oneof(fc.constant('-1'), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String)),
    producerEpoch: fc.integer({ min: -1, max: 2 ** 15 - 1 }),
    topicData: fc.array(topic, { minLength: 1, maxLength: 3 }),
  });

  it('has the bytes of the original', async () => {
    await fc.assert(
      fc.asyncProperty(request, async (each) => {
        const { buffer } = await original.request(each).encode();
        expect(encodeProduceRequest(each, NOW_MS).equals(buffer)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('has the bytes of the original for records of many sizes, where lengths take more bytes', async () => {
    for (const size of [0, 62, 63, 64, 8_190, 8_191, 8_192, 1_048_575, 1_048_576]) {
      const value = Buffer.alloc(size, 7);
      const count = size < 100 ? 20_000 : 3;
      const list: ProduceMessage[] = Array.from({ length: count }, () => ({ key: value, value }));
      const each = {
        acks: -1,
        timeout: 1,
        transactionalId: 'id',
        producerId: '7',
        producerEpoch: 3,
        topicData: [{ topic: 't', partitions: [{ partition: 0, firstSequence: 0, messages: list }] }],
      };
      const { buffer } = await original.request(each).encode();
      expect(encodeProduceRequest(each, NOW_MS).equals(buffer)).toBe(true);
    }
  });

  it('orders times as numbers, not as texts', () => {
    const request = {
      acks: -1,
      timeout: 1,
      transactionalId: null,
      producerId: '-1',
      producerEpoch: -1,
      topicData: [
        {
          topic: 't',
          partitions: [
            {
              partition: 0,
              firstSequence: 0,
              messages: ['9', '1700000000000', '10'].map((time) => ({ key: null, value: null, timestamp: time })),
            },
          ],
        },
      ],
    };
    const encoded = encodeProduceRequest(request, NOW_MS);
    // Transactional id, acks, timeout, topics, topic, partitions, partition, size: then the batch.
    const batch = decodeRecordBatch({ buffer: encoded.subarray(2 + 2 + 4 + 4 + 3 + 4 + 4 + 4), offset: 0 });
    expect(batch).toMatchObject({ firstTimestamp: '9', maxTimestamp: '1700000000000' });
    expect(batch?.records.map((record) => record.timestamp)).toEqual(['9', '1700000000000', '10']);
  });
});

describe('the record batch decoder', () => {
  const header = fc.record({ key: fc.string({ unit: 'grapheme' }), value: bytes });
  const record = fc.record({
    key: bytesOrNull,
    value: bytesOrNull,
    timestampDelta: fc.integer({ min: -(10 ** 10), max: 10 ** 13 }),
    headers: fc.array(header, { maxLength: 4 }),
  });
  const batch = fc.record({
    firstOffset: fc.nat(2 ** 52),
    firstTimestamp: fc.nat(2 ** 42),
    producerId: fc.bigInt({ min: -1n, max: 2n ** 63n - 1n }).map(String),
    producerEpoch: fc.integer({ min: -1, max: 2 ** 15 - 1 }),
    firstSequence: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
    lastOffsetDelta: fc.nat(2 ** 31 - 1),
    transactional: fc.boolean(),
    compression: fc.constant(0),
    records: fc.array(record, { maxLength: 30 }),
  });

  it('reads what the original reads', async () => {
    await fc.assert(
      fc.asyncProperty(batch, fc.nat(20), async (each, before) => {
        const encoded = await encode(each);
        const buffer = Buffer.concat([Buffer.alloc(before), encoded, Buffer.alloc(9)]);
        const theirs = Object.assign(new original.Decoder(buffer), { offset: before });
        const ours = { buffer, offset: before };
        const expected = await original.decode(theirs);
        const decoded = decodeRecordBatch(ours);
        expect({ ...decoded, records: decoded?.records.map(plain) }).toEqual({
          ...expected,
          records: expected.records.map(plain),
        });
        expect(ours.offset).toBe(before + encoded.length);
      }),
      { numRuns: 300 },
    );
  });

  it('leaves to the original what is compressed or cut off', async () => {
    const encoded = await encode({ firstOffset: 5, records: [{ key: Buffer.from('k'), value: null }] });
    expect(decodeRecordBatch({ buffer: encoded.subarray(0, -1), offset: 0 })).toBeNull();
    const compressed = await encode({ compression: 1, records: [{ key: Buffer.from('k'), value: null }] });
    expect(decodeRecordBatch({ buffer: compressed, offset: 0 })).toBeNull();
  });

  async function encode(each: { readonly records: readonly object[] } & Record<string, unknown>): Promise<Buffer> {
    const records = each.records.map((one, offsetDelta) => {
      const { headers = [], ...rest } = one as { headers?: readonly { key: string; value: Buffer }[] };
      const byKey: Record<string, Buffer[]> = {};
      for (const { key, value } of headers) (byKey[`h${key}`] ??= []).push(value);
      return original.Record({ offsetDelta, headers: byKey, ...rest });
    });
    return (await original.RecordBatch({ ...each, records })).buffer;
  }

  function plain(message: unknown): object {
    const { magicByte, attributes, timestamp, offset, key, value, headers, isControlRecord, batchContext } =
      message as Record<string, unknown>;
    return { magicByte, attributes, timestamp, offset, key, value, headers, isControlRecord, batchContext };
  }
});

it('messages are grouped as by the original', () => {
  const message = fc.record({ key: fc.string() });
  fc.assert(
    fc.property(fc.array(message), fc.integer({ min: 1, max: 5 }), (messages, count) => {
      const request = {
        topic: 't',
        partitionMetadata: Array.from({ length: count }, (_, partitionId) => ({ partitionId })),
        messages,
        partitioner: ({ message: each }: { message: { key: string } }) => each.key.length % count,
      };
      expect(groupMessagesPerPartition(request)).toEqual(original.group(request));
    }),
  );
});
