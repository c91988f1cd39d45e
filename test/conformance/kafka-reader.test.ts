import pino from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import { Client } from '../../src/kafka/client.js';
import type { Log, LogReader, LogRecord } from '../../src/log/contract.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/shared.js';
import { keysOf, message, openTestLog, pollUntil, readAll } from './kafka-log.js';

/** Reading from explicit offsets, on a real broker. */
let kafka: LocalKafka;
let log: Log;
let topic: string;

beforeAll(async () => {
  kafka = await startKafka();
  log = await openTestLog(kafka.brokers, { requestTimeoutMs: 2_000 });
});

beforeEach(async () => {
  topic = await newTopic();
});

afterAll(async () => {
  await log?.close();
  await kafka?.destroy();
});

describe('a reader', () => {
  it('goes on from poll to poll, in order, never more than asked for', async () => {
    await commit(topic, numbered(2_500));
    await withReader([{ topic, offset: 0 }], async (reader) => {
      const keys: string[] = [];
      while (keys.length < 2_500) {
        const records = await reader.poll({ maxRecords: 300, maxWaitMs: 5_000 });
        expect(records.length).toBeLessThanOrEqual(300);
        keys.push(...keysOf(records));
      }
      expect(keys).toEqual(numbered(2_500));
    });
  });

  it('begins in the middle of a batch, and at the end', async () => {
    await commit(topic, numbered(10));
    expect(keysOf(await readFrom(4, 6))).toEqual(numbered(10).slice(4));
    const { end } = await boundsWithEnd(11);
    await withReader([{ topic, offset: end }], async (reader) => {
      expect(await reader.poll({ maxRecords: 10, maxWaitMs: 300 })).toEqual([]);
      await commit(topic, ['new']);
      expect(keysOf(await pollUntil(reader, 1))).toEqual(['new']);
      expect(reader.position(topic)).toBe(end + 2);
    });
  });

  it('gives every topic its share', async () => {
    const [loud, quiet] = [topic, await newTopic()];
    await commit(loud, numbered(5_000));
    await commit(quiet, numbered(50));
    const start = [loud, quiet].map((each) => ({ topic: each, offset: 0 }));
    await withReader(start, async (reader) => {
      await eventually(async () => {
        const records = await reader.poll({ maxRecords: 100, maxWaitMs: 1_000 });
        return records.some((record) => record.topic === quiet);
      });
      expect((await reader.poll({ maxRecords: 100, maxWaitMs: 1_000 })).length).toBeGreaterThan(0);
    });
  });

  it('hands out nothing of a paused topic, loses nothing of it, and goes on when it is resumed', async () => {
    const other = await newTopic();
    await commit(topic, numbered(100));
    await commit(other, numbered(10));
    const start = [topic, other].map((each) => ({ topic: each, offset: 0 }));
    await withReader(start, async (reader) => {
      const before = await eventually(async () => {
        const records = await reader.poll({ maxRecords: 20, maxWaitMs: 1_000 });
        return records.some((record) => record.topic === topic) ? records : null;
      });
      reader.pause([topic]);
      await commit(topic, ['later']);
      const during: LogRecord[] = [];
      for (let round = 0; round < 5; round++) {
        during.push(...(await reader.poll({ maxRecords: 1_000, maxWaitMs: 100 })));
      }
      expect(during.every((record) => record.topic === other)).toBe(true);
      reader.resume([topic]);
      const all = [...before, ...during];
      // What is left of the other topic may come in between.
      const ofTopic = () => all.filter((record) => record.topic === topic);
      await eventually(async () => {
        all.push(...(await reader.poll({ maxRecords: 1_000, maxWaitMs: 200 })));
        return ofTopic().length >= 101;
      });
      expect(keysOf(ofTopic())).toEqual([...numbered(100), 'later']);
    });
  });

  it('reads on when the broker has been away, which is still the same cluster', { timeout: 120_000 }, async () => {
    const clusterId = await log.clusterId();
    expect(clusterId).toMatch(/^[\w-]{22}$/);
    await commit(topic, ['before']);
    await withReader([{ topic, offset: 0 }], async (reader) => {
      expect(keysOf(await pollUntil(reader, 1))).toEqual(['before']);
      await kafka.restart();
      await commit(topic, ['after']);
      expect(keysOf(await pollUntil(reader, 1))).toEqual(['after']);
    });
    expect(await log.clusterId()).toBe(clusterId);
  });

  it('waits at an open transaction, and passes it when it is aborted', async () => {
    await withReader([{ topic, offset: 0 }], async (reader) => {
      for (const end of ['commit', 'abort'] as const) {
        const open = await openTransaction(['open']);
        await commit(topic, ['behind']);
        expect(await reader.poll({ maxRecords: 10, maxWaitMs: 500 })).toEqual([]);
        await open[end]();
        expect(keysOf(await pollUntil(reader, end === 'commit' ? 2 : 1))).toEqual(
          end === 'commit' ? ['open', 'behind'] : ['behind'],
        );
      }
    });
  });
});

describe('an offset that is not there', () => {
  it('is an error, before the first record and behind the last, naming what there is', async () => {
    await commit(topic, numbered(10));
    await boundsWithEnd(11);
    await log.trim(topic, 5);
    expect(await log.bounds(topic)).toEqual({ earliest: 5, end: 11 });
    for (const offset of [4, 12]) {
      const expected = {
        code: 'KAFKA_OFFSET_OUT_OF_RANGE',
        message: `${topic} was to be read from offset ${offset}, but holds 5 to 11`,
      };
      await expect(readFrom(offset, 1)).rejects.toMatchObject(expected);
      await expect(readAll(log, topic, offset)).rejects.toMatchObject(expected);
    }
    expect(keysOf(await readFrom(5, 5))).toEqual(numbered(10).slice(5));
    expect(await readAll(log, topic, 11)).toEqual([]);
  });

  it('also when the records go while they are waited for', async () => {
    await commit(topic, numbered(10));
    await withReader([{ topic, offset: 0 }], async (reader) => {
      reader.pause([topic]);
      await reader.poll({ maxRecords: 1, maxWaitMs: 100 });
      await boundsWithEnd(11);
      await log.trim(topic, 8);
      reader.resume([topic]);
      await expect(pollUntil(reader, 1)).rejects.toMatchObject({ code: 'KAFKA_OFFSET_OUT_OF_RANGE' });
    });
  });

  it('a missing topic is called that', async () => {
    const missing = uniquePrefix();
    await expect(log.reader([{ topic: missing, offset: 0 }])).rejects.toMatchObject({ code: 'KAFKA_TOPIC_MISSING' });
    await expect(readAll(log, missing)).rejects.toMatchObject({ code: 'KAFKA_TOPIC_MISSING' });
  });
});

describe('reading to the end', () => {
  it('ends where the topic ended, also when nothing or only a marker is left', async () => {
    expect(await log.readToEnd(topic, 0, () => undefined)).toBe(0);
    await commit(topic, numbered(3));
    expect(await log.readToEnd(topic, 0, () => undefined)).toBe(4);
    expect(await log.readToEnd(topic, 3, () => undefined)).toBe(4);
    expect(await log.readToEnd(topic, 4, () => undefined)).toBe(4);
  });

  it('does not go on when the caller fails, and hands on the error', async () => {
    await commit(topic, numbered(3));
    const failure = new Error('of the caller');
    const failing = log.readToEnd(topic, 0, () => {
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
  });

  it('sees what was committed just now, although its markers may not be written yet', async () => {
    for (let round = 1; round <= 20; round++) {
      await commit(topic, [`${round}`]);
      expect(await readAll(log, topic)).toHaveLength(round);
    }
  });
});

it('trimming spares what is asked to stay and forgives what is gone already', async () => {
  await commit(topic, numbered(10));
  await boundsWithEnd(11);
  await log.trim(topic, 3);
  await log.trim(topic, 2);
  await log.trim(topic, 0);
  expect(await log.bounds(topic)).toEqual({ earliest: 3, end: 11 });
  await log.trim(topic, 1_000);
  expect(await log.bounds(topic)).toEqual({ earliest: 11, end: 11 });
});

// ---------------------------------------------------------------- what the tests are made of

async function newTopic(): Promise<string> {
  const name = `${uniquePrefix()}.topic`;
  await log.ensureTopics([{ name, cleanup: 'delete', retentionMs: null }]);
  return name;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `key-${index}`);
}

async function commit(to: string, keys: readonly string[], id = uniquePrefix()): Promise<void> {
  const producer = await log.producer(id);
  await producer.commit({ task: 'source', sends: [{ topic: to, messages: keys.map((key) => message(key)) }] });
  await producer.close();
}

/** A transaction by another program that stays open for a while. */
async function openTransaction(keys: readonly string[]) {
  const client = new Client({ brokers: kafka.brokers, clientId: 'other', logger: pino({ level: 'silent' }) });
  const producer = client.producer(uniquePrefix());
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: keys.map((key) => ({ key, value: key })) });
  const ended = (end: () => Promise<void>) => async () => {
    await end();
    await producer.disconnect();
  };
  return { commit: ended(() => transaction.commit()), abort: ended(() => transaction.abort()) };
}

async function withReader(
  start: readonly { readonly topic: string; readonly offset: number }[],
  work: (reader: LogReader) => Promise<void>,
): Promise<void> {
  const reader = await log.reader(start);
  try {
    await work(reader);
  } finally {
    await reader.close();
  }
}

async function readFrom(offset: number, count: number): Promise<LogRecord[]> {
  let records: LogRecord[] = [];
  await withReader([{ topic, offset }], async (reader) => {
    records = await pollUntil(reader, count);
  });
  return records;
}

/** A commit can be read a moment after it is acknowledged. */
async function boundsWithEnd(end: number) {
  return eventually(async () => {
    const bounds = await log.bounds(topic);
    return bounds.end === end ? bounds : null;
  });
}
