import { createRequire } from 'node:module';
import { connect } from 'node:net';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import { Client } from '../../src/kafka/client.js';
import { fetchFrom } from '../../src/kafka/fetch.js';
import { type Admin, Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import type { Cluster } from '../../src/kafka/kafkajs-types.js';
import { boundsOf } from '../../src/kafka/offsets.js';
import type { Log, LogRecord } from '../../src/log/contract.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/shared.js';
import { keysOf, message, openTestLog, pollUntil, readAll } from './kafka-log.js';
import { API, KafkaProxy } from './kafka-proxy.js';

/**
 * One test for each defect of kafkajs that src/kafka/corrections.ts corrects, on a real broker.
 * On the package as it is they fail: kafka-uncorrected.test.ts sees to that.
 */

let kafka: LocalKafka;
let log: Log;
let fetches = 0;
const settings = new Map<string, Readonly<Record<string, string>>>();
const silent = pino({ level: 'silent' });

beforeAll(async () => {
  // Compaction as soon as there is anything to compact.
  kafka = await startKafka({
    settings: { 'log.cleaner.backoff.ms': 100, 'log.cleaner.min.cleanable.ratio': 0.00000001 },
  });
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
    // The markers are written a moment later; the order of the list is theirs.
    await written(topic, 3);
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
  it('over a batch at the end of a segment that is kept empty for its producer', async () => {
    const topic = await newTopic('compact');
    await twoSegments(topic, async (half) => write(topic, [{ key: 'same', value: `value-${half}` }]));
    await compacted(topic, 5);
    const records = await read(topic, 6);
    expect(records.map(({ key }) => key?.toString())).toContain('padding');
    expect(records.filter(({ value }) => value?.toString().startsWith('value-'))).toHaveLength(1);
  });

  it('over a batch at the end of a segment of which only the first record is left, in a few fetches', async () => {
    const topic = await newTopic('compact');
    const keys = Array.from({ length: 2_000 }, (_, index) => `key-${index}`);
    await twoSegments(topic, async (half) =>
      write(
        topic,
        keys.slice(half).map((key) => ({ key, value: `value-${half}` })),
      ),
    );
    await compacted(topic, keys.length + 4);
    fetches = 0;
    const records = await read(topic, keys.length + 5);
    expect(records.filter(({ value }) => value?.toString() === 'value-0')).toHaveLength(1);
    expect(records).toHaveLength(keys.length + 5);
    expect(fetches).toBeLessThan(100);
  });
});

describe('an offset out of range', () => {
  it("ends the package's consumer instead of making it jump", async () => {
    const topic = await newTopic();
    await commit(topic, ['a', 'b', 'c', 'd']);
    // The commit's marker is written a moment after its answer; nothing before it can be trimmed away.
    await eventually(async () => (await log.bounds(topic)).end >= 4, { what: 'the end of the transaction' });
    await log.trim(topic, 3);
    expect((await log.bounds(topic)).earliest).toBe(3);
    const group = uniquePrefix();
    const producer = await log.producer(uniquePrefix());
    await producer.commit({ task: 'stream', sends: [], consumed: { group, offsets: [{ topic, offset: 1 }] } });
    const consumer = packageClient().consumer({
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

it('requests that meet at a closed connection open it once', async () => {
  const ConnectionPool = createRequire(import.meta.url)('kafkajs/src/network/connectionPool') as new (
    options: object,
  ) => { getConnection(): Promise<unknown>; destroy(): Promise<void> };
  let opened = 0;
  const logger = { namespace: () => logger, debug: () => undefined, error: () => undefined };
  const pool = new ConnectionPool({
    host: '127.0.0.1',
    port: kafka.port,
    logger,
    connectionTimeout: 1_000,
    requestTimeout: 1_000,
    socketFactory: ({ host, port, onConnect }: { host: string; port: number; onConnect: () => void }) => {
      opened++;
      return connect({ host, port }, onConnect);
    },
  });
  await Promise.all([pool.getConnection(), pool.getConnection(), pool.getConnection()]);
  await pool.destroy();
  expect(opened).toBe(1);
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
  const producer = packageClient().producer({
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

/** Records outside of transactions, by a producer of its own. */
async function write(
  topic: string,
  messages: { readonly key: string; readonly value: string | Buffer }[],
): Promise<void> {
  const producer = packageClient().producer({ idempotent: true, createPartitioner: () => () => 0 });
  await producer.connect();
  await producer.send({ topic, messages });
  await producer.disconnect();
}

/** Waits until the topic has so many records, markers and open transactions included. */
async function written(topic: string, count: number): Promise<void> {
  await withCluster((cluster) =>
    eventually(async () => (await boundsOf(cluster, topic)).highWatermark >= count, {
      what: `${count} records in ${topic}`,
    }),
  );
}

/** Two segments, each ending with what `last` writes and together too large to be made one. */
async function twoSegments(topic: string, last: (half: number) => Promise<void>): Promise<void> {
  for (const half of [0, 1]) {
    const large = Buffer.alloc(450_000, half);
    for (const part of [1, 2]) await write(topic, [{ key: `large-${half}-${part}`, value: large }]);
    await last(half);
    await rollSegment(topic);
  }
}

/** Lets the next record begin a new segment. */
async function rollSegment(topic: string): Promise<void> {
  await setting(topic, 'segment.ms', '20');
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Waits until the cleaner has left so many records, besides one in the segment that is written to. */
async function compacted(topic: string, left: number): Promise<void> {
  await rollSegment(topic);
  await write(topic, [{ key: 'padding', value: 'padding' }]);
  await setting(topic, 'min.cleanable.dirty.ratio', '0.00000001');
  await eventually(async () => (await recordsIn(topic)) === left + 1, { what: 'compaction', intervalMs: 200 });
}

/** Counts by single fetches, from the next offset where one does not get further. */
function recordsIn(topic: string): Promise<number> {
  return withCluster(async (cluster) => {
    const offsets = new Set<number>();
    const { end } = await boundsOf(cluster, topic);
    const broker = await cluster.findBroker({ nodeId: 1 });
    const limits = { maxWaitMs: 1, maxBytes: 8_000_000, maxTopicBytes: 8_000_000 };
    for (let offset = 0; offset < end; ) {
      const [fetched] = await fetchFrom(broker, [{ topic, offset }], limits);
      for (const record of fetched?.records ?? []) offsets.add(record.offset);
      offset = Math.max(offset + 1, fetched?.nextOffset ?? 0);
    }
    return offsets.size;
  });
}

async function withCluster<T>(work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await new Client({ brokers: kafka.brokers, clientId: 'look', logger: silent }).cluster();
  try {
    return await work(cluster);
  } finally {
    await cluster.disconnect();
  }
}

function setting(topic: string, name: string, value: string): Promise<void> {
  return withAdmin(async (admin) => {
    // What is not named falls back to its default.
    const kept = {
      'cleanup.policy': 'compact',
      'segment.bytes': String(2 ** 20),
      ...settings.get(topic),
      [name]: value,
    };
    settings.set(topic, kept);
    const configEntries = Object.entries(kept).map(([key, each]) => ({ name: key, value: each }));
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries }] });
  });
}

async function withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = packageClient().admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

function packageClient() {
  return new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING });
}
