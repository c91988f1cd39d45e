import { remedy, protocolType } from './kafka-errors.js';
import {
  type Broker,
  type Cluster,
  GROUP_COORDINATOR,
  type OffsetsOfTopic,
  type PackageLogger,
  type TopicPartitions,
  TRANSACTION_COORDINATOR,
} from './kafkajs-types.js';
import { findCoordinator } from './coordinator.js';
import { withRetries } from './retry.js';
import type { NumberedProducer } from './send-messages.js';
import { Sequences } from './sequences.js';

/**
 * The transactional producer's side of Kafka's protocol, in the place of kafkajs's `producer/eosManager`:
 *
 *   InitProducerId ─▶ AddPartitionsToTxn ─▶ Produce … ─▶ AddOffsetsToTxn ─▶ TxnOffsetCommit ─▶ EndTxn
 *
 * kafkajs sends AddPartitionsToTxn, AddOffsetsToTxn and EndTxn once: a coordinator that moves, loads or still writes the
 * markers of the last transaction fails them, and a failed EndTxn leaves its state machine stuck for ever. It knows the
 * coordinator's errors by names that its own table does not have, and asks for the coordinators before each request.
 */
export interface ProtocolOptions {
  readonly logger: PackageLogger;
  readonly cluster: Cluster;
  readonly transactionTimeout?: number;
  readonly transactional: boolean;
  readonly transactionalId: string;
}

/** An EndTxn may or may not have taken effect: nobody can tell before the transactional id is initialised again. */
export class CommitOutcomeUnknown extends Error {
  override readonly name = 'CommitOutcomeUnknown';
}

/** This producer must not be used any more; a new one with the same id takes its place. Nothing was committed. */
export class ProducerClosed extends Error {
  override readonly name = 'ProducerClosed';
}

type State = 'uninitialized' | 'ready' | 'in-transaction' | 'closed';

/** An abort only spares readers the wait for the successor or the transaction's timeout. */
const ABORT_TIMEOUT_MS = 3_000;

/**
 * Answers to EndTxn that say that this request changed nothing. The coordinator's own troubles are not among them:
 * it may have written the decision before it lost its place, and its successor carries it out.
 */
const DID_NOTHING: ReadonlySet<string> = new Set([
  'CONCURRENT_TRANSACTIONS',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
]);

/** Named and shaped as the package's producer calls it. */
export class TransactionProtocol implements NumberedProducer {
  readonly #options: ProtocolOptions;
  /** How long one step is tried: after that the coordinator aborts the transaction anyway. */
  readonly timeoutMs: number;
  #state: State = 'uninitialized';
  #producerId: string = '-1';
  #producerEpoch = -1;
  readonly #sequences = new Sequences();
  readonly #partitionsInTransaction = new Set<string>();
  readonly #groupsInTransaction = new Set<string>();
  readonly #coordinators = new Map<string, number>();
  #failure: unknown = null;
  /** An EndTxn was sent a second time: the first may still arrive, and must not find a transaction of this epoch. */
  #endWasRepeated = false;

  constructor(options: ProtocolOptions) {
    this.#options = options;
    this.timeoutMs = options.transactionTimeout ?? 60_000;
  }

  getProducerId(): string {
    return this.#producerId;
  }
  getProducerEpoch(): number {
    return this.#producerEpoch;
  }
  getTransactionalId(): string {
    return this.#options.transactionalId;
  }
  isInitialized(): boolean {
    return this.#state !== 'uninitialized';
  }
  isTransactional(): boolean {
    return true;
  }
  isInTransaction(): boolean {
    return this.#state === 'in-transaction';
  }

  /** Fences earlier producers of the id and waits until the broker has aborted what they left open. */
  async initProducerId(): Promise<void> {
    const { transactionalId, cluster } = this.#options;
    const result = await withRetries(this.#retries('InitProducerId'), async () => {
      await cluster.refreshMetadataIfNecessary();
      const coordinator = await this.#coordinator(TRANSACTION_COORDINATOR, transactionalId);
      return coordinator.initProducerId({ transactionalId, transactionTimeout: this.timeoutMs });
    });
    this.#producerId = result.producerId;
    this.#producerEpoch = result.producerEpoch;
    this.#sequences.clear();
    this.#state = 'ready';
  }

  beginTransaction(): void {
    if (this.#state !== 'ready') throw new ProducerClosed(`No transaction can begin: the producer is ${this.#state}`);
    this.#partitionsInTransaction.clear();
    this.#groupsInTransaction.clear();
    this.#failure = null;
    this.#state = 'in-transaction';
  }

  /** The sequence number of the first of `count` messages; it is theirs for good, however often they are sent. */
  takeSequence(topic: string, partition: number, count: number): number {
    return this.#sequences.take(topic, partition, count);
  }

  async addPartitionsToTransaction(topics: readonly TopicPartitions[]): Promise<void> {
    const missing = topics
      .map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.filter((partition) => !this.#partitionsInTransaction.has(`${topic}/${partition}`)),
      }))
      .filter(({ partitions }) => partitions.length > 0);
    if (missing.length === 0) return;
    // Named before the request is sent: it may take effect although its answer is lost, and then EndTxn is due.
    for (const { topic, partitions } of missing) {
      for (const partition of partitions) this.#partitionsInTransaction.add(`${topic}/${partition}`);
    }
    await this.#inTransaction('AddPartitionsToTxn', async () => {
      const coordinator = await this.#coordinator(TRANSACTION_COORDINATOR, this.#options.transactionalId);
      await coordinator.addPartitionsToTxn({ ...this.#identity(), topics: missing });
    });
  }

  async sendOffsets(offsets: {
    readonly consumerGroupId: string;
    readonly topics: readonly OffsetsOfTopic[];
  }): Promise<void> {
    const { consumerGroupId: groupId, topics } = offsets;
    if (!this.#groupsInTransaction.has(groupId)) {
      this.#groupsInTransaction.add(groupId);
      await this.#inTransaction('AddOffsetsToTxn', async () => {
        const coordinator = await this.#coordinator(TRANSACTION_COORDINATOR, this.#options.transactionalId);
        await coordinator.addOffsetsToTxn({ ...this.#identity(), groupId });
      });
    }
    await this.#inTransaction('TxnOffsetCommit', async () => {
      const coordinator = await this.#coordinator(GROUP_COORDINATOR, groupId);
      await coordinator.txnOffsetCommit({ ...this.#identity(), groupId, topics });
    });
  }

  /** Remembers that a step of this transaction failed, so that it cannot be committed. */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /**
   * @throws CommitOutcomeUnknown; any other error means that nothing was committed.
   *
   * EndTxn may be repeated: a coordinator that has committed answers the same again. But a repeated one could arrive
   * late and end the next transaction of this epoch, so the producer is closed after it.
   */
  async commit(): Promise<void> {
    this.#requireTransaction();
    if (this.#failure !== null) throw new ProducerClosed('A step of the transaction failed', { cause: this.#failure });
    if (!this.#hasContent()) {
      this.#state = 'ready';
      return;
    }
    this.#state = 'closed';
    await this.#end(true, this.timeoutMs);
    if (!this.#endWasRepeated) this.#state = 'ready';
  }

  /** Ends the transaction without effect, as far as the broker can be reached; the producer is closed unless it was empty. */
  async abort(): Promise<void> {
    this.#requireTransaction();
    const hadContent = this.#hasContent();
    this.#state = hadContent || this.#failure !== null ? 'closed' : 'ready';
    if (!hadContent || (this.#failure !== null && remedy(this.#failure) === 'fenced')) return;
    await this.#end(false, Math.min(ABORT_TIMEOUT_MS, this.timeoutMs));
  }

  async #end(commit: boolean, timeoutMs: number): Promise<void> {
    let maybeDone = false;
    try {
      await withRetries(
        {
          ...this.#retries('EndTxn'),
          timeoutMs,
          onRetry: (what) => {
            if (what === 'connection' && maybeDone) this.#endWasRepeated = true;
          },
        },
        async () => {
          const coordinator = await this.#coordinator(TRANSACTION_COORDINATOR, this.#options.transactionalId);
          const before = maybeDone;
          maybeDone = true;
          try {
            await coordinator.endTxn({ ...this.#identity(), transactionResult: commit });
          } catch (error) {
            // What an earlier request did stays open.
            if (DID_NOTHING.has(protocolType(error) ?? '')) maybeDone = before;
            throw this.#forgetCoordinator(error, TRANSACTION_COORDINATOR, this.#options.transactionalId);
          }
        },
      );
    } catch (error) {
      if (!commit || !maybeDone) throw error;
      throw new CommitOutcomeUnknown('The answer to EndTxn was lost', { cause: error });
    }
  }

  /** A step that may be repeated until it succeeds; when it does not, the transaction cannot be committed any more. */
  async #inTransaction(step: string, attempt: () => Promise<void>): Promise<void> {
    this.#requireTransaction();
    try {
      await withRetries(this.#retries(step), attempt);
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  #retries(step: string) {
    const { cluster, logger, transactionalId } = this.#options;
    return {
      cluster,
      timeoutMs: this.timeoutMs,
      onRetry: (what: string, error: unknown) => {
        // Whatever it was, ask again who coordinates, unless the right one said that it is busy.
        if (what !== 'busy') this.#coordinators.clear();
        logger.debug(`${step} is tried again`, { transactionalId, error: String(error) });
      },
    };
  }

  async #coordinator(type: number, name: string): Promise<Broker> {
    const { cluster } = this.#options;
    const key = `${type}/${name}`;
    const known = this.#coordinators.get(key);
    if (known !== undefined) return cluster.findBroker({ nodeId: known });
    const coordinator = await findCoordinator(cluster, type, name);
    this.#coordinators.set(key, coordinator.nodeId);
    return coordinator;
  }

  #forgetCoordinator(error: unknown, type: number, name: string): unknown {
    if (remedy(error) !== 'busy') this.#coordinators.delete(`${type}/${name}`);
    return error;
  }

  #identity() {
    return {
      transactionalId: this.#options.transactionalId,
      producerId: this.#producerId,
      producerEpoch: this.#producerEpoch,
    };
  }

  #hasContent(): boolean {
    return this.#partitionsInTransaction.size > 0 || this.#groupsInTransaction.size > 0;
  }

  #requireTransaction(): void {
    if (this.#state !== 'in-transaction') throw new ProducerClosed(`No transaction is open: ${this.#state}`);
  }
}
