import { remedy } from './kafka-errors.js';
import type { Cluster, PackageLogger, PartitionMetadata, ProducedPartition, TopicPartitions } from './kafkajs-types.js';
import { withRetries } from './retry.js';

/**
 * Sends messages of a producer that numbers them, in the place of kafkajs's `producer/sendMessages`: inside a
 * transaction, or without any.
 *
 * kafkajs takes sequence numbers back when a request fails and groups the messages anew for each try: if one of two
 * leaders answered and the other's partitions moved meanwhile, what was already written is written again under new
 * numbers, and both stay. Here a batch is made once, with numbers that are its own for good; it is sent until its leader
 * has acknowledged it, and the broker knows it again by them.
 */
export interface PackageMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp?: string | number;
}

/** Whose messages they are, and what numbers the next ones have. */
export interface NumberedProducer {
  /** How long one step is tried. */
  readonly timeoutMs: number;
  getProducerId(): string;
  getProducerEpoch(): number;
  /** Null for one without transactions. */
  getTransactionalId(): string | null;
  /** The sequence number of the first of `count` messages; it is theirs for good, however often they are sent. */
  takeSequence(topic: string, partition: number, count: number): number;
  addPartitionsToTransaction(topics: readonly TopicPartitions[]): Promise<void>;
  /** What was numbered may not have been written, so that nothing may follow. */
  fail(error: unknown): void;
}

export interface SendOptions {
  readonly logger: Pick<PackageLogger, 'debug'>;
  readonly cluster: Cluster;
  readonly partitioner: unknown;
  readonly eosManager: NumberedProducer;
}

export interface SendRequest {
  readonly acks: number;
  readonly timeout?: number;
  readonly compression?: number;
  readonly topicMessages: readonly { readonly topic: string; readonly messages: readonly PackageMessage[] }[];
}

export interface GroupMessages {
  (request: {
    readonly topic: string;
    readonly partitionMetadata: readonly PartitionMetadata[];
    readonly messages: readonly PackageMessage[];
    readonly partitioner: unknown;
  }): Record<string, readonly PackageMessage[]>;
}

export type SentPartition = ProducedPartition & { readonly topicName: string };

interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly PackageMessage[];
  readonly firstSequence: number;
}

/** What the package calls to send; one for each transaction. */
export function sendNumberedMessages(
  options: SendOptions,
  groupMessages: GroupMessages,
): (request: SendRequest) => Promise<SentPartition[]> {
  const sender = new Sender(options, groupMessages);
  return (request) => sender.send(request);
}

class Sender {
  constructor(
    readonly options: SendOptions,
    readonly groupMessages: GroupMessages,
  ) {}

  async send(request: SendRequest): Promise<SentPartition[]> {
    const { eosManager } = this.options;
    const acknowledged: SentPartition[] = [];
    try {
      const batches = await withRetries(this.#retries('Metadata'), () => this.#makeBatches(request));
      await eosManager.addPartitionsToTransaction(
        batches.map(({ topic, partition }) => ({ topic, partitions: [partition] })),
      );
      const waiting = new Set(batches);
      await withRetries(this.#retries('Produce'), () => this.#sendToLeaders(waiting, acknowledged, request));
      return acknowledged;
    } catch (error) {
      eosManager.fail(error);
      throw error;
    }
  }

  async #makeBatches({ topicMessages }: SendRequest): Promise<PartitionBatch[]> {
    const { cluster, partitioner, eosManager } = this.options;
    await cluster.addMultipleTargetTopics(topicMessages.map(({ topic }) => topic));
    await cluster.refreshMetadataIfNecessary();
    const grouped = topicMessages.map(({ topic, messages }) => {
      const partitionMetadata = cluster.findTopicPartitionMetadata(topic);
      if (partitionMetadata.length === 0) throw missingTopic(topic);
      return { topic, byPartition: this.groupMessages({ topic, partitionMetadata, messages, partitioner }) };
    });
    // Numbers are taken last: nothing fails between taking and sending them.
    return grouped.flatMap(({ topic, byPartition }) =>
      Object.entries(byPartition).map(([partition, messages]) => ({
        topic,
        partition: Number(partition),
        messages,
        firstSequence: eosManager.takeSequence(topic, Number(partition), messages.length),
      })),
    );
  }

  /** Sends what still waits; takes out what its leader acknowledged. */
  async #sendToLeaders(
    waiting: Set<PartitionBatch>,
    acknowledged: SentPartition[],
    request: SendRequest,
  ): Promise<void> {
    const sending = [...byLeader(this.options.cluster, waiting)].map(async ([nodeId, batches]) => {
      const sent = await this.#sendToLeader(nodeId, batches, request);
      for (const batch of batches) waiting.delete(batch);
      acknowledged.push(...sent);
    });
    const results = await Promise.allSettled(sending);
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []));
    // One that cannot be mended decides; the others would only be tried again in vain.
    const worst = failures.find((error) => ['fatal', 'fenced'].includes(remedy(error))) ?? failures[0];
    if (worst !== undefined) throw worst;
  }

  async #sendToLeader(
    nodeId: string,
    batches: readonly PartitionBatch[],
    { acks, timeout, compression }: SendRequest,
  ): Promise<SentPartition[]> {
    const { cluster, eosManager } = this.options;
    const broker = await cluster.findBroker({ nodeId });
    const response = await broker.produce({
      transactionalId: eosManager.getTransactionalId(),
      producerId: eosManager.getProducerId(),
      producerEpoch: eosManager.getProducerEpoch(),
      acks,
      timeout,
      compression,
      topicData: topicData(batches),
    });
    return response.topics.flatMap(({ topicName, partitions }) =>
      partitions.map((partition) => ({ topicName, ...partition })),
    );
  }

  #retries(step: string) {
    const { cluster, logger, eosManager } = this.options;
    return {
      cluster,
      timeoutMs: eosManager.timeoutMs,
      onRetry: (what: string, error: unknown) => logger.debug(`${step} is tried again`, { what, error: String(error) }),
    };
  }
}

function byLeader(cluster: Cluster, batches: Iterable<PartitionBatch>): Map<string, PartitionBatch[]> {
  const leaders = new Map<string, PartitionBatch[]>();
  for (const batch of batches) {
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(batch.topic, [batch.partition]));
    if (nodeId === undefined) throw missingTopic(batch.topic);
    const known = leaders.get(nodeId);
    if (known === undefined) leaders.set(nodeId, [batch]);
    else known.push(batch);
  }
  return leaders;
}

function topicData(batches: readonly PartitionBatch[]) {
  const topics = new Map<string, { topic: string; partitions: Omit<PartitionBatch, 'topic'>[] }>();
  for (const { topic, ...partition } of batches) {
    const known = topics.get(topic);
    if (known === undefined) topics.set(topic, { topic, partitions: [partition] });
    else known.partitions.push(partition);
  }
  return [...topics.values()];
}

/** Looks like the package's own, so that it is tried again: a new topic takes a moment to be known everywhere. */
function missingTopic(topic: string): Error {
  const error = new Error(`No metadata of topic ${topic}`);
  error.name = 'KafkaJSTopicMetadataNotLoaded';
  return error;
}
