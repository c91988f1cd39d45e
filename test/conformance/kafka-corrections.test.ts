import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createRequire } from 'node:module';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import type { Log, LogRecord } from '../../src/log/contract.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/shared.js';
import { keysOf, message, openTestLog, pollUntil, readAll } from './kafka-log.js';
import { API, KafkaProxy } from './kafka-proxy.js';

/**
 * One test for each defect of kafkajs that src/kafka/corrections.ts corrects, on a real broker.
 * With DUOLOG_KAFKAJS_UNCORRECTED=1 they run on the package as it is, and fail: kafka-uncorrected.test.ts sees to that.
 */
vi.mock('../../src/kafka/corrections.js', async (importOriginal) =>
  process.env['DUOLOG_KAFKAJS_UNCORRECTED'] === '1' ? { correctKafkajs: () => undefined } : importOriginal(),
);
vi.mock('../../src/kafka/fast-path.js', async (importOriginal) =>
  process.env['DUOLOG_KAFKAJS_UNCORRECTED'] === '1' ? { replaceHotPaths: () => undefined } : importOriginal(),
);

let kafka: LocalKafka;
let log: Log;
let fetches = 0;

beforeAll(async () => {
  // Compaction as soon as there is anything to compact.
  kafka = await startKafka({ settings: { 'log.cleaner.backoff.ms': 100, 'log.cleaner.min.cleanable.ratio': 0.001 } });
  log = await openTestLog(kafka.brokers, { observer: { fetched: () => fetches++ } });
});

afterAll(async () => {
  await log?.close();
  await kafka?.destroy();
});

describe('aborted transactions are never seen', () => {
  it('although they are listed in the order of their aborts', async () => {
    const topic = await newTopic();
    const [first, second] = [await openTransaction(), await openTransaction()];
    await first.send(topic, 'first-1');
    await second.send(topic, 'second-1');
    await second.abort();
    await first.abort();
    await commit(topic, ['good']);
    expect(keysOf(await read(topic, 1))).toEqual(['good']);
  });

  it('although several were open before the first record that is read', async () => {
    const topic = await newTopic();
    const [first, second] = [await openTransaction(), await openTransaction()];
    await first.send(topic, 'first-1');
    await second.send(topic, 'second-1');
    await second.send(topic, 'second-2');
    await first.send(topic, 'first-2');
    await first.abort();
    await second.abort();
    await commit(topic, ['good']);
    expect(keysOf(await read(topic, 1, 2))).toEqual(['good']);
  });

  it('although a key is four zero bytes, as in an abort marker', async () => {
    const topic = await newTopic();
    const transaction = await openTransaction();
    await transaction.send(topic, '\0\0\0\0');
    await transaction.send(topic, 'after');
    await transaction.abort();
    await commit(topic, ['\0\0\0\0', 'good']);
    expect(keysOf(await read(topic, 2))).toEqual(['\0\0\0\0', 'good']);
  });
});

describe('compacted topics are read to their end', () => {
  it('over a batch that is kept empty for its producer', async () => {
    const topic = await newTopic('compact');
    // Of each producer the last batch is kept, if only its header.
    for (const value of ['1', '2', '3']) await commit(topic, ['same'], value);
    await compacted(topic, 1);
    const records = await read(topic, 2);
    expect(records.map(({ value }) => value?.toString())).toEqual(['3', 'padding']);
  });

  it('over batches of which only the first record is left, in a few fetches', async () => {
    const topic = await newTopic('compact');
    const keys = Array.from({ length: 2_000 }, (_, index) => `key-${index}`);
    await commit(topic, keys, 'old');
    await commit(topic, keys.slice(1), 'new');
    await compacted(topic, keys.length);
    fetches = 0;
    const records = await read(topic, keys.length + 1);
    expect(records.filter(({ value }) => value?.toString() === 'old')).toHaveLength(1);
    expect(fetches).toBeLessThan(50);
  });
});

describe('an offset out of range', () => {
  it("ends the package's consumer instead of making it jump", async () => {
    const topic = await newTopic();
    await commit(topic, ['a', 'b', 'c', 'd']);
    await log.trim(topic, 3);
    const group = uniquePrefix();
    const producer = await log.producer(uniquePrefix());
    await producer.commit({ task: 'stream', sends: [], consumed: { group, offsets: [{ topic, offset: 1 }] } });
    const consumer = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).consumer({
      groupId: group,
      maxWaitTimeInMs: 50,
      retry: { retries: 20, initialRetryTime: 10 },
    });
    const seen: string[] = [];
    const ended = new Promise<boolean>((resolve) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => resolve(payload.restart));
    });
    const read = new Promise<string>((resolve) => {
      void consumer.connect().then(async () => {
        await consumer.subscribe({ topic, fromBeginning: true });
        await consumer.run({
          autoCommit: false,
          eachMessage: async ({ message: { key } }) => {
            seen.push(String(key));
            resolve('read on');
          },
        });
      });
    });
    const what = await Promise.race([ended.then((restart) => (restart ? 'restarted' : 'ended')), read]);
    await consumer.disconnect();
    expect({ what, seen }).toEqual({ what: 'ended', seen: [] });
  });
});

describe('a coordinator that has moved is looked for again', () => {
  const NOT_COORDINATOR = 16;
  it.each(['addPartitions', 'addOffsets', 'txnOffsetCommit', 'endTxn'] as const)('when %s meets it', async (api) => {
    const topic = await newTopic();
    const proxy = new KafkaProxy(kafka.port);
    await proxy.listen();
    const behind = await openTestLog(kafka.brokers, { socketFactory: proxy.socketFactory });
    try {
      const producer = await behind.producer(uniquePrefix());
      let times = 0;
      proxy.fate = (apiKey) => (apiKey === API[api] && times++ < 2 ? { answer: NOT_COORDINATOR } : 'pass');
      for (const key of ['a', 'b']) {
        await producer.commit({
          task: 'stream',
          sends: [{ topic, messages: [message(key)] }],
          consumed: { group: uniquePrefix(), offsets: [{ topic, offset: 0 }] },
        });
      }
      expect(times).toBeGreaterThan(2);
      expect(keysOf(await readAll(log, topic))).toEqual(['a', 'b']);
    } finally {
      await behind.close();
      await proxy.close();
    }
  });
});

it('an idle connection arms no timer', () => {
  const require = createRequire(import.meta.url);
  const RequestQueue = require('kafkajs/src/network/requestQueue') as new (
    options: object,
  ) => {
    checkPendingRequests(): void;
    destroy(): void;
    readonly throttleCheckTimeoutId: unknown;
  };
  const queue = new RequestQueue({ requestTimeout: 1_000, logger: { debug: () => undefined } });
  queue.checkPendingRequests();
  const armed = queue.throttleCheckTimeoutId;
  queue.destroy();
  expect(armed).toBeNull();
});

// ---------------------------------------------------------------- what the tests are made of

async function newTopic(cleanup: 'delete' | 'compact' = 'delete'): Promise<string> {
  const topic = `${uniquePrefix()}.topic`;
  await log.ensureTopics([{ name: topic, cleanup, retentionMs: null }]);
  return topic;
}

/** A transaction by another program, sending one record at a time. */
async function openTransaction() {
  const producer = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).producer({
    transactionalId: uniquePrefix(),
    createPartitioner: () => () => 0,
    retry: { retries: 20, initialRetryTime: 10 },
  });
  await producer.connect();
  const transaction = await producer.transaction();
  return {
    send: (topic: string, key: string) => transaction.send({ topic, messages: [{ key, value: 'of a transaction' }] }),
    abort: async () => {
      await transaction.abort();
      await producer.disconnect();
    },
  };
}

/** A transaction of a producer of its own. */
async function commit(topic: string, keys: readonly string[], value?: string): Promise<void> {
  const producer = await log.producer(uniquePrefix());
  await producer.commit({ task: 'source', sends: [{ topic, messages: keys.map((key) => message(key, value)) }] });
  await producer.close();
}

async function read(topic: string, count: number, offset = 0): Promise<LogRecord[]> {
  const reader = await log.reader([{ topic, offset }]);
  try {
    const records = await pollUntil(reader, count);
    records.push(...(await reader.poll({ maxRecords: 100, maxWaitMs: 300 })));
    return records;
  } finally {
    await reader.close();
  }
}

/** Waits until the cleaner has left this many records besides the last, which is in the segment that is written to. */
async function compacted(topic: string, left: number): Promise<void> {
  const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.alterConfigs({
    validateOnly: false,
    resources: [
      {
        type: 2,
        name: topic,
        configEntries: [
          { name: 'cleanup.policy', value: 'compact' },
          { name: 'segment.ms', value: '50' },
          { name: 'min.cleanable.dirty.ratio', value: '0.001' },
        ],
      },
    ],
  });
  await admin.disconnect();
  await new Promise((resolve) => setTimeout(resolve, 100));
  await commit(topic, ['padding'], 'padding');
  await eventually(async () => (await recordsIn(topic)) === left + 1, { what: 'compaction', intervalMs: 200 });
}

/** Counts what a reader of its own kind finds: uncommitted, from every offset there can be. */
async function recordsIn(topic: string): Promise<number> {
  const found = new Set<number>();
  const { earliest, end } = await log.bounds(topic);
  const reader = await log.reader([{ topic, offset: earliest }]);
  try {
    for (const { offset } of await pollUntil(reader, end, 1_000)) found.add(offset);
    return found.size;
  } finally {
    await reader.close();
  }
}
