import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import pino from 'pino';
import { Client } from '../../src/kafka/client.js';
import type { KafkaLogOptions } from '../../src/kafka/index.js';
import type { Log, Tenure } from '../../src/log/contract.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/shared.js';
import { KafkaChild } from './kafka-child.js';
import { openTestLog } from './kafka-log.js';
import { KafkaProxy } from './kafka-proxy.js';

/** Leases of src/kafka on a real broker: one holder at a time, handed over when it leaves, dies or falls silent. */
/** So long that no pause of a busy machine ends a session that should last. */
const SESSION_MS = 3_000;
let kafka: LocalKafka;
let logs: Log[] = [];
let group: string;

beforeAll(async () => {
  kafka = await startKafka();
});

beforeEach(() => {
  group = uniquePrefix();
});

afterEach(async () => {
  await Promise.all(logs.map((log) => log.close()));
  logs = [];
});

afterAll(async () => {
  await kafka?.destroy();
});

describe('a lease', () => {
  it('goes to one; a second stands by and takes over when the first gives it back', async () => {
    const first = await acquire();
    const second = standBy();
    await delay(SESSION_MS * 2);
    expect(second.held).toBe(false);
    expect(first.lost.aborted).toBe(false);
    await first.release();
    const tenure = await second.tenure;
    expect(first.lost.aborted).toBe(false);
    await tenure.release();
  });

  it('stays where it is while others come and go', async () => {
    const first = await acquire();
    const others = [standBy(), standBy()];
    for (let round = 0; round < 4; round++) {
      const visitor = standBy();
      await delay(SESSION_MS / 2);
      await visitor.giveUp();
    }
    expect(first.lost.aborted).toBe(false);
    expect(others.map(({ held }) => held)).toEqual([false, false]);
    await Promise.all(others.map((other) => other.giveUp()));
    await first.release();
  });

  it('passes through all who stand by, one at a time', async () => {
    const waiting = [standBy(), standBy(), standBy()];
    const order: number[] = [];
    const all = waiting.map(async ({ tenure }, index) => {
      const mine = await tenure;
      order.push(index);
      await delay(300);
      expect(order.at(-1)).toBe(index);
      await mine.release();
    });
    await Promise.all(all);
    expect(new Set(order)).toEqual(new Set([0, 1, 2]));
  });

  it('leaves its group free for the offsets that tools look at', async () => {
    const log = await open();
    const tenure = await log.lease(group).acquire(new AbortController().signal);
    const topic = uniquePrefix();
    await log.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }]);
    const producer = await log.producer(uniquePrefix());
    await producer.commit({ task: 'stream', sends: [], consumed: { group, offsets: [{ topic, offset: 7 }] } });
    const logger = pino({ level: 'silent' });
    const admin = new Client({ brokers: kafka.brokers, clientId: 'tool', logger }).admin();
    await admin.connect();
    const offsets = await eventually(async () => {
      const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      return found?.partitions[0]?.offset === '7' ? found : null;
    });
    await admin.disconnect();
    expect(offsets.topic).toBe(topic);
    expect(tenure.lost.aborted).toBe(false);
    await tenure.release();
  });

  it('can be waited for no longer', async () => {
    const first = await acquire();
    const second = standBy();
    await delay(300);
    const reason = await second.giveUp();
    expect(reason).toMatchObject({ message: 'no longer' });
    await first.release();
    const third = await acquire();
    await third.release();
  });

  it('with a session that the broker does not allow is refused by name', async () => {
    await expect(acquire({ sessionTimeoutMs: 100 })).rejects.toMatchObject({ code: 'KAFKA_SESSION_TIMEOUT_INVALID' });
  });
});

describe('a holder that falls silent', () => {
  const child = () => KafkaChild.start('lease', [kafka.brokers.join(), group, String(SESSION_MS)]);

  it('by kill -9 loses it within a session', async () => {
    const holder = await child();
    await holder.says('holding');
    const second = standBy();
    await delay(SESSION_MS);
    expect(second.held).toBe(false);
    holder.kill('SIGKILL');
    await (await second.tenure).release();
  });

  it('by SIGSTOP loses it, and knows when it wakes up', async () => {
    const holder = await child();
    await holder.says('holding');
    const second = standBy();
    await delay(300);
    holder.kill('SIGSTOP');
    const tenure = await second.tenure;
    holder.kill('SIGCONT');
    await holder.says('lost');
    await delay(SESSION_MS);
    expect(tenure.lost.aborted).toBe(false);
    holder.kill('SIGKILL');
    await tenure.release();
  });

  it('by a blocked event loop loses it, also where nobody else wants it', async () => {
    const holder = await child();
    await holder.says('holding');
    holder.tell(`block ${SESSION_MS * 2}`);
    await holder.says('lost');
    const tenure = await acquire();
    holder.kill('SIGKILL');
    await tenure.release();
  });

  it('by a cut connection gives it up within a session, unasked', async () => {
    const proxy = new KafkaProxy(kafka.port);
    await proxy.listen();
    const tenure = await acquire({ socketFactory: proxy.socketFactory });
    const second = standBy();
    proxy.cutOff();
    await eventually(() => tenure.lost.aborted);
    expect(tenure.lost.reason).toMatchObject({ code: 'KAFKA_FENCED' });
    await (await second.tenure).release();
    await proxy.close();
  });
});

it('a broken connection that is mended at once does not end a lease', async () => {
  const proxy = new KafkaProxy(kafka.port);
  await proxy.listen();
  const tenure = await acquire({ socketFactory: proxy.socketFactory });
  for (let round = 0; round < 5; round++) {
    proxy.breakConnections();
    await delay(SESSION_MS / 2);
  }
  expect(tenure.lost.aborted).toBe(false);
  await tenure.release();
  await proxy.close();
});

// ---------------------------------------------------------------- what the tests are made of

async function open(options: Partial<KafkaLogOptions> = {}): Promise<Log> {
  const log = await openTestLog(kafka.brokers, { sessionTimeoutMs: SESSION_MS, ...options });
  logs.push(log);
  return log;
}

async function acquire(options: Partial<KafkaLogOptions> = {}): Promise<Tenure> {
  return (await open(options)).lease(group).acquire(new AbortController().signal);
}

class StandBy {
  held = false;
  readonly tenure: Promise<Tenure>;
  readonly #signal = new AbortController();

  constructor() {
    this.tenure = open().then((log) => log.lease(group).acquire(this.#signal.signal));
    this.tenure.then(
      () => {
        this.held = true;
      },
      () => undefined,
    );
  }

  async giveUp(): Promise<unknown> {
    this.#signal.abort(new Error('no longer'));
    return this.tenure.then(
      () => null,
      (error: unknown) => error,
    );
  }
}

function standBy(): StandBy {
  return new StandBy();
}
