import { boundsOf } from '../../src/kafka/offsets.js';
import { Client } from '../../src/kafka/client.js';
import { Batch } from '../../src/kafka/kafkajs.js';
import { type Broker, type Cluster, type FetchedPartition, READ_COMMITTED } from '../../src/kafka/kafkajs-types.js';
import { createLogger } from '../../src/logging/logger.js';

/** What is left of transactions that were not committed, of these topics. */
export interface UncommittedTransactions {
  /** Topics in which one is open still: readers wait behind it. */
  readonly open: readonly string[];
  /** Topics in which one was aborted that had written. */
  readonly aborted: readonly string[];
}

/** Asks the topics' leaders. For topics of one partition. */
export async function uncommittedTransactions(
  brokers: readonly string[],
  topics: readonly string[],
): Promise<UncommittedTransactions> {
  const logger = createLogger({ level: 'silent', format: 'json' });
  const cluster = await new Client({ brokers, clientId: 'transactions', logger }).cluster();
  const open: string[] = [];
  const aborted: string[] = [];
  try {
    for (const topic of topics) {
      const { earliest, end, highWatermark } = await boundsOf(cluster, topic);
      if (end < highWatermark) open.push(topic);
      if (await hasAborted(cluster, topic, earliest, end)) aborted.push(topic);
    }
  } finally {
    await cluster.disconnect();
  }
  return { open, aborted };
}

async function hasAborted(cluster: Cluster, topic: string, earliest: number, end: number): Promise<boolean> {
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [0]));
  const broker = await cluster.findBroker({ nodeId: nodeId! });
  for (let offset = earliest; offset < end; ) {
    const partition = await fetchPartition(broker, topic, offset);
    if ((partition.abortedTransactions ?? []).length > 0) return true;
    offset = Number(new Batch(topic, String(offset), partition).lastOffset()) + 1;
  }
  return false;
}

async function fetchPartition(
  broker: Broker,
  topic: string,
  offset: number,
): Promise<FetchedPartition & { readonly abortedTransactions?: readonly unknown[] | null }> {
  const maxBytes = 8 << 20;
  const { responses } = await broker.fetch({
    isolationLevel: READ_COMMITTED,
    maxWaitTime: 1_000,
    minBytes: 1,
    maxBytes,
    topics: [{ topic, partitions: [{ partition: 0, fetchOffset: String(offset), maxBytes }] }],
  });
  return responses[0]!.partitions[0]!;
}
