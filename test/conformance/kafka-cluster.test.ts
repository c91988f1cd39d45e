import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { Log, LogProducer, LogReader } from '../../src/log/contract.js';
import { uniquePrefix } from '../support/shared.js';
import { type KafkaCluster, startCluster } from './kafka-cluster.js';
import { message, openTestLog, readAll } from './kafka-log.js';

/** Three brokers that are killed one after the other while a task commits and another reads: each number once, in order. */
let cluster: KafkaCluster;
let log: Log;

beforeAll(async () => {
  cluster = await startCluster();
  log = await openTestLog(cluster.brokers, { requestTimeoutMs: 5_000, sessionTimeoutMs: 6_000 });
}, 400_000);

afterAll(async () => {
  await log?.close();
  await cluster?.destroy();
});

it('topics have three copies of which two must have a record, and those with less are named', async () => {
  const [safe, unsafe] = ['safe', 'unsafe'].map((name) => {
    return { name: `${uniquePrefix()}.${name}`, cleanup: 'delete', retentionMs: null } as const;
  });
  if (safe === undefined || unsafe === undefined) throw new Error('two topics');
  await log.ensureTopics([safe]);
  const careless = await openTestLog(cluster.brokers, { replicationFactor: 1 });
  await careless.ensureTopics([unsafe]);
  await careless.close();
  const findings = await log.inspectTopics([safe, unsafe]);
  expect(findings).toMatchObject([{ state: 'ok' }, { state: 'different' }]);
  expect(findings[1]?.message).toContain('replication factor is 1 and should be 3');
  expect(findings[1]?.message).toContain('min.insync.replicas is 1 and should be 2');
  // It can be used all the same: that is for the one who runs the cluster to decide.
  await log.ensureTopics([unsafe]);
});

it('leaders and coordinators move, nothing is lost or doubled', { timeout: 600_000 }, async () => {
  const topics = [0, 1, 2].map(() => `${uniquePrefix()}.topic`);
  await log.ensureTopics(topics.map((name) => ({ name, cleanup: 'delete', retentionMs: null })));
  const committer = new Committer(topics, uniquePrefix());
  const reader = await log.reader(topics.map((topic) => ({ topic, offset: 0 })));
  const seen = new Map(topics.map((topic) => [topic, [] as number[]]));
  const stop = new AbortController();
  const committing = committer.run(stop.signal);
  const reading = readNumbers(reader, seen, () => committer.total);
  for (const [node, signal] of [
    [1, 'SIGKILL'],
    [2, 'SIGTERM'],
    [3, 'SIGKILL'],
  ] as const) {
    await delay(1_000);
    await cluster.bounce(node, signal);
    await committer.commitsFurther(20);
  }
  stop.abort();
  const total = await committing;
  await reading;
  await reader.close();
  const numbers = Array.from({ length: total }, (_, number) => number);
  for (const topic of topics) {
    expect((await readAll(log, topic)).map(({ key }) => Number(key))).toEqual(numbers);
    expect(seen.get(topic)).toEqual(numbers);
  }
});

/** Commits 0, 1, 2, … to all topics; after an error it opens again and finds out how far it got, as a task does. */
class Committer {
  #next = 0;
  total: number | null = null;

  constructor(
    readonly topics: readonly string[],
    readonly id: string,
  ) {}

  async run(stop: AbortSignal): Promise<number> {
    let producer: LogProducer | null = null;
    while (!stop.aborted) {
      try {
        producer ??= await this.#open();
        const sends = this.topics.map((topic) => ({ topic, messages: [message(String(this.#next))] }));
        const consumed = { group: this.id, offsets: [{ topic: this.topics[0] ?? '', offset: this.#next }] };
        await producer.commit({ task: 'stream', sends, consumed });
        this.#next++;
      } catch (error) {
        if (!(error instanceof DuologError) || !EXPECTED.has(error.code)) throw error;
        await producer?.close();
        producer = null;
      }
    }
    producer ??= await this.#open();
    this.total = this.#next;
    return this.#next;
  }

  async commitsFurther(count: number): Promise<void> {
    const goal = this.#next + count;
    while (this.#next < goal) await delay(50);
  }

  async #open(): Promise<LogProducer> {
    const producer = await log.producer(this.id);
    const committed = await readAll(log, this.topics[0] ?? '');
    this.#next = committed.length;
    return producer;
  }
}

const EXPECTED: ReadonlySet<string> = new Set(['KAFKA_UNREACHABLE', 'KAFKA_COMMIT_UNKNOWN', 'KAFKA_FENCED']);

async function readNumbers(
  reader: LogReader,
  seen: ReadonlyMap<string, number[]>,
  total: () => number | null,
): Promise<void> {
  const complete = () => total() !== null && [...seen.values()].every((numbers) => numbers.length >= (total() ?? 0));
  while (!complete()) {
    for (const { topic, key } of await reader.poll({ maxRecords: 500, maxWaitMs: 200 })) {
      seen.get(topic)?.push(Number(key));
    }
  }
}
