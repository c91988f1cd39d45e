import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import type { Log, LogProducer } from '../../src/log/contract.js';
import { uniquePrefix } from '../support/shared.js';
import { KafkaChild } from './kafka-child.js';
import { keysOf, message, openTestLog, readAll } from './kafka-log.js';
import { API, type Fate, KafkaProxy } from './kafka-proxy.js';

/** Transactions of src/kafka on a real broker: all or nothing, once, also when processes, brokers and answers are lost. */
let kafka: LocalKafka;
let log: Log;
let topic: string;

beforeAll(async () => {
  kafka = await startKafka();
  log = await openTestLog(kafka.brokers);
});

beforeEach(async () => {
  topic = await newTopic();
});

afterAll(async () => {
  await log?.close();
  await kafka?.destroy();
});

describe('a transaction', () => {
  it('writes all topics, in order, and says which offset follows in each', async () => {
    const other = await newTopic();
    const producer = await log.producer(uniquePrefix());
    const first = await producer.commit({
      task: 'stream',
      sends: [
        { topic, messages: [message('a'), message('b')] },
        { topic: other, messages: [message('x', null)] },
        { topic, messages: [message('c')] },
      ],
    });
    expect(Object.fromEntries(first.offsets)).toEqual({ [topic]: 3, [other]: 1 });
    const second = await producer.commit({ task: 'stream', sends: [{ topic, messages: [message('d')] }] });
    // The marker of the first transaction takes an offset as well.
    expect(second.offsets.get(topic)).toBe(5);
    expect(keysOf(await readAll(log, topic))).toEqual(['a', 'b', 'c', 'd']);
    const [deleted] = await readAll(log, other);
    expect(deleted).toMatchObject({ key: Buffer.from('x'), value: null, offset: 0 });
  });

  it('keeps bytes, nulls and times as they were', async () => {
    const producer = await log.producer(uniquePrefix());
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const messages = [
      { key: null, value: bytes, timestampMs: 1_700_000_000_123 },
      { key: bytes, value: Buffer.alloc(0), timestampMs: 5 },
      { key: Buffer.alloc(0), value: null, timestampMs: 1_700_000_000_124 },
    ];
    await producer.commit({ task: 'source', sends: [{ topic, messages }] });
    const records = await readAll(log, topic);
    expect(records).toEqual(messages.map((each, offset) => ({ topic, offset, ...each })));
  });

  it('is cut by bytes and by number, and stays one: 300,000 messages', { timeout: 120_000 }, async () => {
    const producer = await log.producer(uniquePrefix());
    const messages = Array.from({ length: 300_000 }, (_, index) => message(`key-${index}`, `value-${index}`));
    const { offsets } = await producer.commit({ task: 'source', sends: [{ topic, messages }] });
    expect(offsets.get(topic)).toBe(300_000);
    const keys = keysOf(await readAll(log, topic));
    expect(keys).toHaveLength(300_000);
    expect(keys.every((key, index) => key === `key-${index}`)).toBe(true);
  });

  it.each([64 * 1024, 512 * 1024, 1_000_000])('takes messages of %d bytes', async (size) => {
    const producer = await log.producer(uniquePrefix());
    const messages = Array.from({ length: 5 }, (_, index) => message(`key-${index}`, Buffer.alloc(size, index)));
    await producer.commit({ task: 'source', sends: [{ topic, messages }] });
    const records = await readAll(log, topic);
    expect(records.map(({ value }) => value?.length)).toEqual(messages.map(() => size));
    expect(records.every(({ value }, index) => value?.equals(Buffer.alloc(size, index)))).toBe(true);
  });

  it('with a message that is too large sends nothing, and the producer goes on', async () => {
    const producer = await log.producer(uniquePrefix());
    const messages = [message('small'), message('large', Buffer.alloc(17_000_000))];
    const commit = producer.commit({ task: 'source', sends: [{ topic, messages }] });
    await expect(commit).rejects.toMatchObject({ code: 'KAFKA_MESSAGE_TOO_LARGE' });
    await producer.commit({ task: 'source', sends: [{ topic, messages: [message('next')] }] });
    expect(keysOf(await readAll(log, topic))).toEqual(['next']);
  });

  it('follows another at once, two hundred times', async () => {
    const producer = await log.producer(uniquePrefix());
    const group = uniquePrefix();
    for (let number = 0; number < 200; number++) {
      const consumed = { group, offsets: [{ topic, offset: number }] };
      await producer.commit({ task: 'stream', sends: [{ topic, messages: [message(`${number}`)] }], consumed });
    }
    expect(keysOf(await readAll(log, topic))).toEqual(Array.from({ length: 200 }, (_, number) => `${number}`));
  });
});

describe('one transactional id has one producer', () => {
  it('the one before is fenced and can write nothing more', async () => {
    const id = uniquePrefix();
    const before = await log.producer(id);
    await before.commit({ task: 'source', sends: [{ topic, messages: [message('before')] }] });
    const after = await log.producer(id);
    await expect(
      before.commit({ task: 'source', sends: [{ topic, messages: [message('zombie')] }] }),
    ).rejects.toMatchObject({ code: 'KAFKA_FENCED' });
    await after.commit({ task: 'source', sends: [{ topic, messages: [message('after')] }] });
    await expect(before.commit({ task: 'source', sends: [{ topic, messages: [message('z')] }] })).rejects.toMatchObject(
      {
        code: 'KAFKA_FENCED',
      },
    );
    expect(keysOf(await readAll(log, topic))).toEqual(['before', 'after']);
  });

  it.each(['source.commit.after-begin', 'source.commit.after-send', 'source.commit.before-end'])(
    'a process frozen at %s wakes up as a zombie that commits nothing',
    async (point) => {
      const id = uniquePrefix();
      const child = await KafkaChild.start('commit', [kafka.brokers.join(), id, topic, '3'], `${point}=stop@2`);
      await child.frozen();
      const successor = await log.producer(id);
      await successor.commit({ task: 'source', sends: [{ topic, messages: [message('successor')] }] });
      child.kill('SIGCONT');
      await child.exited;
      expect(child.lines).toEqual(['open', 'committed 1', 'failed KAFKA_FENCED']);
      await successor.commit({ task: 'source', sends: [{ topic, messages: [message('still here')] }] });
      expect(keysOf(await readAll(log, topic))).toEqual(['child-1', 'successor', 'still here']);
    },
  );

  it.each([
    ['before-begin', 1],
    ['after-begin', 1],
    ['after-send', 1],
    ['after-offsets', 1],
    ['before-end', 1],
    ['after-end', 2],
  ])(
    'a process killed at %s leaves %d whole transactions, and its successor sees them at once',
    async (step, count) => {
      const id = uniquePrefix();
      const child = await KafkaChild.start(
        'commit',
        [kafka.brokers.join(), id, topic, '3'],
        `source.commit.${step}=kill@2`,
      );
      await child.exited;
      const successor = await log.producer(id);
      expect(keysOf(await readAll(log, topic))).toEqual(['child-1', 'child-2'].slice(0, count));
      await successor.close();
    },
  );
});

describe('what is lost on the way', () => {
  let proxy: KafkaProxy;
  let behind: Log;
  let id: string;
  let producer: LogProducer;

  beforeEach(async () => {
    proxy = new KafkaProxy(kafka.port);
    await proxy.listen();
    behind = await openTestLog(kafka.brokers, {
      socketFactory: proxy.socketFactory,
      transactionTimeoutMs: 4_000,
      requestTimeoutMs: 1_000,
    });
    id = uniquePrefix();
    producer = await behind.producer(id);
    await producer.commit({ task: 'source', sends: [{ topic, messages: [message('first')] }] });
  });

  afterEach(async () => {
    await behind.close();
    await proxy.close();
  });

  const commit = (key: string) => producer.commit({ task: 'source', sends: [{ topic, messages: [message(key)] }] });

  it.each(['lose-request', 'lose-answer'] as const)('EndTxn (%s) is sent again: committed once', async (fate) => {
    once(API.endTxn, fate);
    await commit('second');
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second']);
    // The EndTxn that was lost might still come, and would end whatever is open then.
    await expect(commit('third')).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
    producer = await behind.producer(id);
    await commit('third');
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second', 'third']);
  });

  it('EndTxn that was carried out, and then nobody answers: unknown, and committed', async () => {
    whenEnding('lose-answer');
    await expect(commit('second')).rejects.toMatchObject({ code: 'KAFKA_COMMIT_UNKNOWN' });
    await expect(commit('third')).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
    await (await log.producer(id)).close();
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second']);
  });

  it('EndTxn that never arrived, and then nobody answers: unknown, and aborted by the successor', async () => {
    whenEnding('lose-request');
    await expect(commit('second')).rejects.toMatchObject({ code: 'KAFKA_COMMIT_UNKNOWN' });
    const successor = await log.producer(id);
    expect(keysOf(await readAll(log, topic))).toEqual(['first']);
    await successor.close();
  });

  it('the answer to an EndTxn that was carried out, until a successor came: unknown, not "fenced"', async () => {
    let ends = 0;
    proxy.fate = async (apiKey) => {
      if (apiKey !== API.endTxn) return 'pass';
      if (++ends === 1) return 'lose-answer';
      // The second try is held up until another producer has the id: it is told that it is fenced.
      await (await log.producer(id)).close();
      return 'pass';
    };
    await expect(commit('second')).rejects.toMatchObject({ code: 'KAFKA_COMMIT_UNKNOWN' });
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second']);
  });

  it.each(['lose-request', 'lose-answer'] as const)('Produce (%s) is sent again: written once', async (fate) => {
    once(API.produce, fate);
    await commit('second');
    await commit('third');
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second', 'third']);
  });

  it('the broker before anything was ended: nothing is committed', async () => {
    proxy.fate = (apiKey) => {
      if (apiKey === API.produce) proxy.cutOff();
      return 'pass';
    };
    await expect(commit('second')).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
    const successor = await log.producer(id);
    expect(keysOf(await readAll(log, topic))).toEqual(['first']);
    await successor.close();
  });

  it.each([API.produce, API.addPartitions, API.endTxn])(
    'the broker, killed when request %d comes, and back a moment later: committed once',
    { timeout: 120_000 },
    async (wanted) => {
      const patient = await openTestLog(kafka.brokers, {
        socketFactory: proxy.socketFactory,
        transactionTimeoutMs: 60_000,
      });
      producer = await patient.producer(uniquePrefix());
      await commit('before');
      let restarted = false;
      proxy.fate = async (apiKey) => {
        if (apiKey !== wanted || restarted) return 'pass';
        restarted = true;
        await kafka.kill('SIGKILL');
        await kafka.start();
        return 'lose-request';
      };
      await commit('during');
      expect(restarted).toBe(true);
      expect(keysOf(await readAll(log, topic))).toEqual(['first', 'before', 'during']);
      await patient.close();
    },
  );

  function once(wanted: number, fate: Fate): void {
    let done = false;
    proxy.fate = (apiKey) => {
      if (apiKey !== wanted || done) return 'pass';
      done = true;
      return fate;
    };
  }

  /** The first EndTxn has this fate; from then on the broker cannot be reached. */
  function whenEnding(fate: Fate): void {
    proxy.fate = (apiKey) => {
      if (apiKey !== API.endTxn) return 'pass';
      proxy.refuse();
      return fate;
    };
  }
});

async function newTopic(): Promise<string> {
  const name = `${uniquePrefix()}.topic`;
  await log.ensureTopics([{ name, cleanup: 'delete', retentionMs: null }]);
  return name;
}
