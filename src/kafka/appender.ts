import { DuologError } from '../errors/duolog-error.js';
import type { LogAppender, TopicMessages } from '../log/contract.js';
import { ACKNOWLEDGE_TIMEOUT_MS, batchRounds, errorOfRound, type Round } from './batch-rounds.js';
import type { Client } from './client.js';
import { asDuologError } from './kafka-errors.js';
import type { Cluster } from './kafkajs-types.js';
import { withinPatience } from './patience.js';
import { withRetries } from './retry.js';
import { type NumberedProducer, sendNumberedMessages } from './send-messages.js';
import { Sequences } from './sequences.js';

/**
 * Writes without transactions, in one request a round (`enable.idempotence`, `acks=all`): the broker gives a producer id,
 * and knows a batch again by its numbers when it is sent twice. One that failed is not used again, for what it numbered
 * may be there or not, and the next numbers would leave a gap.
 * @throws DuologError KAFKA_UNREACHABLE, KAFKA_NOT_ALLOWED.
 */
export async function openAppender(client: Client): Promise<LogAppender> {
  let cluster: Cluster | null = null;
  try {
    cluster = await client.cluster();
    const producer = await numberedProducer(cluster, client.settings.transactionTimeoutMs);
    return new NumberedAppender(client, cluster, producer);
  } catch (error) {
    if (cluster !== null) await withinPatience(cluster.disconnect());
    throw asDuologError(error, 'asking for a producer id');
  }
}

/** InitProducerId without a transactional id, which fences nobody; any broker gives one. */
async function numberedProducer(cluster: Cluster, timeoutMs: number): Promise<NumberedProducer> {
  const { producerId, producerEpoch } = await withRetries({ cluster, timeoutMs }, async () => {
    await cluster.refreshMetadataIfNecessary();
    const broker = await cluster.findControllerBroker();
    return broker.initProducerId({ transactionalId: null, transactionTimeout: timeoutMs });
  });
  const sequences = new Sequences();
  return {
    timeoutMs,
    getProducerId: () => producerId,
    getProducerEpoch: () => producerEpoch,
    getTransactionalId: () => null,
    takeSequence: (topic, partition, count) => sequences.take(topic, partition, count),
    addPartitionsToTransaction: async () => undefined,
    fail: () => undefined,
  };
}

class NumberedAppender implements LogAppender {
  readonly #send: ReturnType<typeof sendNumberedMessages>;
  #busy = false;
  #closedBy: DuologError | null = null;

  constructor(
    readonly client: Client,
    readonly cluster: Cluster,
    producer: NumberedProducer,
  ) {
    const { logger } = client.settings;
    this.#send = sendNumberedMessages(
      {
        cluster,
        eosManager: producer,
        partitioner: null,
        logger: { debug: (message, extra) => logger.debug(extra, message) },
      },
      // Every topic of Duolog has one partition.
      ({ partitionMetadata, messages }) => (partitionMetadata.length === 0 ? {} : { 0: messages }),
    );
  }

  async append(sends: readonly TopicMessages[]): Promise<void> {
    if (this.#busy) throw new DuologError('INTERNAL', 'Two appends at once');
    if (this.#closedBy !== null) {
      const { code } = this.#closedBy;
      throw new DuologError('KAFKA_UNREACHABLE', `The appender is closed since ${code}`, { cause: this.#closedBy });
    }
    const rounds = [...batchRounds(sends, this.client.settings.maxMessageBytes)];
    this.#busy = true;
    try {
      for (const round of rounds) await this.#sendRound(round);
    } finally {
      this.#busy = false;
    }
  }

  async close(): Promise<void> {
    await withinPatience(this.cluster.disconnect());
  }

  async #sendRound(topicMessages: Round): Promise<void> {
    try {
      await this.#send({ acks: -1, timeout: ACKNOWLEDGE_TIMEOUT_MS, topicMessages });
    } catch (error) {
      const topics = topicMessages.map(({ topic }) => topic).join(', ');
      this.#closedBy = asDuologError(errorOfRound(topicMessages, error), `writing to ${topics}`);
      throw this.#closedBy;
    }
  }
}
