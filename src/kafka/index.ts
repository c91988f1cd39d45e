import type {
  Lease,
  Log,
  LogAppender,
  LogProducer,
  LogReader,
  LogRecord,
  TopicFinding,
  TopicSpec,
} from '../log/contract.js';
import { openAppender } from './appender.js';
import { Client, type KafkaLogOptions } from './client.js';
import { asDuologError } from './kafka-errors.js';
import type { Admin } from './kafkajs.js';
import type { Cluster } from './kafkajs-types.js';
import { leaseOf } from './lease.js';
import { boundsOf, offsetAt } from './offsets.js';
import { openProducer } from './producer.js';
import { readToEnd } from './read-to-end.js';
import { openReader } from './reader.js';
import { withinPatience } from './patience.js';
import { withRetries } from './retry.js';
import { ensureTopics, inspectTopics } from './topics.js';

export type { KafkaLogOptions, SaslOptions } from './client.js';
export type { LogObserver } from './observer.js';

const TIMEOUT_MS = 30_000;
const MISSING_AFTER_MS = 3_000;

/** Connects to Kafka. @throws DuologError KAFKA_UNREACHABLE, KAFKA_NOT_ALLOWED, KAFKA_CLIENT_VERSION. */
export async function openLog(options: KafkaLogOptions): Promise<Log> {
  const client = new Client(options);
  const admin = client.admin();
  let cluster: Cluster | null = null;
  try {
    cluster = await client.cluster();
    await admin.connect();
    return new KafkaLog(client, cluster, admin);
  } catch (error) {
    await withinPatience(Promise.allSettled([cluster?.disconnect(), admin.disconnect()]));
    throw asDuologError(error, `connecting to ${options.brokers.join(', ')}`);
  }
}

class KafkaLog implements Log {
  /** What was opened and must be closed with this; whoever closes it earlier takes it out. */
  readonly #open = new Set<{ close(): Promise<void> }>();

  constructor(
    readonly client: Client,
    readonly cluster: Cluster,
    readonly admin: Admin,
  ) {}

  async producer(transactionalId: string): Promise<LogProducer> {
    return this.#keep(await openProducer(this.client, transactionalId));
  }

  async appender(): Promise<LogAppender> {
    return this.#keep(await openAppender(this.client));
  }

  lease(group: string): Lease {
    const lease = leaseOf(this.client, group);
    return {
      acquire: async (signal) => {
        const tenure = await lease.acquire(signal);
        const held = this.#keep({ close: () => tenure.release() });
        return { lost: tenure.lost, release: () => held.close() };
      },
    };
  }

  async reader(start: readonly { readonly topic: string; readonly offset: number }[]): Promise<LogReader> {
    return this.#keep(await openReader(this.client, start));
  }

  readToEnd(
    topic: string,
    offset: number,
    onRecords: (records: readonly LogRecord[]) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<number> {
    return readToEnd(this.client, topic, offset, onRecords, signal);
  }

  async bounds(topic: string): Promise<{ readonly earliest: number; readonly end: number }> {
    const { earliest, end } = await this.#ask(`asking for the offsets of ${topic}`, () =>
      boundsOf(this.cluster, topic),
    );
    return { earliest, end };
  }

  offsetAt(topic: string, timestampMs: number): Promise<number | null> {
    return this.#ask(`asking for the offsets of ${topic}`, () => offsetAt(this.cluster, topic, timestampMs));
  }

  async trim(topic: string, offset: number): Promise<void> {
    await this.#ask(`deleting records of ${topic}`, async () => {
      const { earliest, end } = await boundsOf(this.cluster, topic);
      const before = Math.min(offset, end);
      if (before <= earliest) return;
      const [nodeId = ''] = Object.keys(this.cluster.findLeaderForPartitions(topic, [0]));
      const broker = await this.cluster.findBroker({ nodeId });
      await broker.deleteRecords({ topics: [{ topic, partitions: [{ partition: 0, offset: String(before) }] }] });
    });
  }

  async clusterId(): Promise<string> {
    return this.#ask('asking for the cluster', async () => (await this.admin.describeCluster()).clusterId);
  }

  ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    return ensureTopics(this.client, this.admin, topics);
  }

  inspectTopics(topics: readonly TopicSpec[]): Promise<readonly TopicFinding[]> {
    return inspectTopics(this.client, this.admin, topics);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open].map((each) => each.close()));
    await withinPatience(Promise.allSettled([this.admin.disconnect(), this.cluster.disconnect()]));
  }

  async #ask<T>(doing: string, question: () => Promise<T>): Promise<T> {
    try {
      return await withRetries(
        { cluster: this.cluster, timeoutMs: TIMEOUT_MS, missingAfterMs: MISSING_AFTER_MS },
        question,
      );
    } catch (error) {
      throw asDuologError(error, doing);
    }
  }

  #keep<T extends { close(): Promise<void> }>(opened: T): T {
    const close = opened.close.bind(opened);
    this.#open.add(opened);
    opened.close = async () => {
      this.#open.delete(opened);
      await close();
    };
    return opened;
  }
}
