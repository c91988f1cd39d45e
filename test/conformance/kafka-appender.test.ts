import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import type { Log, LogAppender } from '../../src/log/contract.js';
import { uniquePrefix } from '../support/shared.js';
import { keysOf, message, openTestLog, pollUntil, readAll } from './kafka-log.js';
import { API, type Fate, KafkaProxy } from './kafka-proxy.js';

/** Records outside of transactions on a real broker: in order and once, also when brokers and answers are lost. */
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

describe('an append', () => {
  it('is in order, at consecutive offsets, and read at once by who reads what is committed', async () => {
    const reader = await log.reader([{ topic, offset: 0 }]);
    const appender = await log.appender();
    const other = await newTopic();
    await appender.append([
      { topic, messages: [message('a'), message('b')] },
      { topic: other, messages: [message('x', null)] },
      { topic, messages: [message('c')] },
    ]);
    await appender.append([{ topic, messages: [message('d')] }]);
    const records = await pollUntil(reader, 4);
    expect(keysOf(records)).toEqual(['a', 'b', 'c', 'd']);
    expect(records.map(({ offset }) => offset)).toEqual([0, 1, 2, 3]);
    expect(await log.bounds(topic)).toEqual({ earliest: 0, end: 4 });
    expect(keysOf(await readAll(log, other))).toEqual(['x']);
    await reader.close();
    await appender.close();
  });

  it('keeps bytes, nulls and times as they were', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const messages = [
      { key: null, value: bytes, timestampMs: 1_700_000_000_123 },
      { key: Buffer.alloc(0), value: null, timestampMs: 5 },
    ];
    await (await log.appender()).append([{ topic, messages }]);
    expect(await readAll(log, topic)).toEqual(messages.map((each, offset) => ({ topic, offset, ...each })));
  });

  it('goes in several requests where it is large', { timeout: 120_000 }, async () => {
    const appender = await log.appender();
    const messages = Array.from({ length: 20_000 }, (_, index) => message(`key-${index}`, Buffer.alloc(500)));
    await appender.append([{ topic, messages }]);
    await appender.append([{ topic, messages: [message('last')] }]);
    const keys = keysOf(await readAll(log, topic));
    expect(keys).toEqual([...messages.map((_, index) => `key-${index}`), 'last']);
  });

  it('with a message that no topic takes sends nothing, and the next goes through', async () => {
    const appender = await log.appender();
    const messages = [message('small'), message('large', Buffer.alloc(17_000_000))];
    await expect(appender.append([{ topic, messages }])).rejects.toMatchObject({ code: 'KAFKA_MESSAGE_TOO_LARGE' });
    await appender.append([{ topic, messages: [message('next')] }]);
    expect(keysOf(await readAll(log, topic))).toEqual(['next']);
  });

  it('that failed is the last: what it had numbered may be missing', async () => {
    const appender = await log.appender();
    const messages = [message('large', Buffer.alloc(2_000_000))];
    await expect(appender.append([{ topic, messages }])).rejects.toMatchObject({
      code: 'KAFKA_MESSAGE_TOO_LARGE',
      message: expect.stringContaining(topic),
    });
    await expect(appender.append([{ topic, messages: [message('next')] }])).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
    });
    await (await log.appender()).append([{ topic, messages: [message('of another')] }]);
    expect(keysOf(await readAll(log, topic))).toEqual(['of another']);
  });

  it('fences nobody: two take turns', async () => {
    const [one, two] = [await log.appender(), await log.appender()];
    for (const key of ['a', 'b']) {
      await one.append([{ topic, messages: [message(`one ${key}`)] }]);
      await two.append([{ topic, messages: [message(`two ${key}`)] }]);
    }
    expect(keysOf(await readAll(log, topic))).toEqual(['one a', 'two a', 'one b', 'two b']);
  });

  it('goes on where all that it wrote before was trimmed away', async () => {
    const appender = await log.appender();
    await appender.append([{ topic, messages: [message('a'), message('b')] }]);
    await log.trim(topic, 2);
    await appender.append([{ topic, messages: [message('c')] }]);
    expect(keysOf(await readAll(log, topic, 2))).toEqual(['c']);
  });
});

describe('what is lost on the way', () => {
  let proxy: KafkaProxy;
  let behind: Log;
  let appender: LogAppender;

  beforeEach(async () => {
    proxy = new KafkaProxy(kafka.port);
    await proxy.listen();
    behind = await openTestLog(kafka.brokers, {
      socketFactory: proxy.socketFactory,
      transactionTimeoutMs: 4_000,
      requestTimeoutMs: 1_000,
    });
    appender = await behind.appender();
    await append('first');
  });

  afterEach(async () => {
    await behind.close();
    await proxy.close();
  });

  const append = (key: string) => appender.append([{ topic, messages: [message(key)] }]);

  it.each(['lose-request', 'lose-answer'] as const)('Produce (%s) is sent again: written once', async (fate) => {
    twice(API.produce, fate);
    await append('second');
    await append('third');
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second', 'third']);
  });

  it('InitProducerId is sent again', async () => {
    twice(API.initProducerId, 'lose-answer');
    appender = await behind.appender();
    await append('second');
    expect(keysOf(await readAll(log, topic))).toEqual(['first', 'second']);
  });

  it('the broker for good: said in the end, and the appender is of no more use', async () => {
    proxy.fate = (apiKey) => {
      if (apiKey === API.produce) proxy.cutOff();
      return 'pass';
    };
    await expect(append('second')).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
    await expect(append('third')).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
      message: expect.stringContaining('closed'),
    });
    await expect(behind.appender()).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' });
  });

  it.each(['lose-request', 'lose-answer'] as const)(
    'the broker, killed when a batch comes (%s), and back a moment later: written once',
    { timeout: 120_000 },
    async (fate) => {
      const patient = await openTestLog(kafka.brokers, {
        socketFactory: proxy.socketFactory,
        transactionTimeoutMs: 60_000,
      });
      appender = await patient.appender();
      await append('before');
      let requests = 0;
      proxy.fate = async (apiKey) => {
        if (apiKey !== API.produce) return 'pass';
        requests++;
        // The broker has the first one before it dies, or never gets it; the second goes to the one that came after it.
        if (requests === 1 && fate === 'lose-answer') return fate;
        if (requests > 2 || (requests > 1 && fate === 'lose-request')) return 'pass';
        await kafka.kill('SIGKILL');
        await kafka.start();
        return 'lose-request';
      };
      await append('during');
      await append('after');
      expect(requests).toBeGreaterThan(2);
      expect(keysOf(await readAll(log, topic))).toEqual(['first', 'before', 'during', 'after']);
      await patient.close();
    },
  );

  function twice(wanted: number, fate: Fate): void {
    let left = 2;
    proxy.fate = (apiKey) => (apiKey === wanted && left-- > 0 ? fate : 'pass');
  }
});

async function newTopic(): Promise<string> {
  const name = `${uniquePrefix()}.topic`;
  await log.ensureTopics([{ name, cleanup: 'delete', retentionMs: null }]);
  return name;
}
