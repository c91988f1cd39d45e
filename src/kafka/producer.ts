import { DuologError } from '../errors/duolog-error.js';
import { failPoint } from '../failpoints.js';
import type { LogProducer, LogTransaction } from '../log/contract.js';
import { ACKNOWLEDGE_TIMEOUT_MS, batchRounds, errorOfRound, type Round, sizeOf } from './batch-rounds.js';
import type { Client } from './client.js';
import { asDuologError } from './kafka-errors.js';
import { withinPatience } from './patience.js';
import { CommitOutcomeUnknown } from './transaction-protocol.js';

type PackageProducer = ReturnType<Client['producer']>;
type PackageTransaction = Awaited<ReturnType<PackageProducer['transaction']>>;

/** Fences every earlier producer of the id, waits until what it left open is aborted, and commits from then on. */
export async function openProducer(client: Client, transactionalId: string): Promise<LogProducer> {
  const producer = client.producer(transactionalId);
  try {
    await producer.connect();
    // The first transaction takes the id (InitProducerId); an empty one leaves nothing behind.
    const empty = await producer.transaction();
    await empty.abort();
  } catch (error) {
    await withinPatience(producer.disconnect());
    throw asDuologError(error, `taking over the transactional id ${transactionalId}`);
  }
  return new TransactionalProducer(client, producer, transactionalId);
}

class TransactionalProducer implements LogProducer {
  #busy = false;
  #closedBy: DuologError | null = null;

  constructor(
    readonly client: Client,
    readonly producer: PackageProducer,
    readonly transactionalId: string,
  ) {}

  async commit(transaction: LogTransaction): Promise<{ readonly offsets: ReadonlyMap<string, number> }> {
    if (this.#busy) throw new DuologError('INTERNAL', `Two commits at once under ${this.transactionalId}`);
    this.#requireOpen();
    const rounds = [...batchRounds(transaction.sends, this.client.settings.maxMessageBytes)];
    const { observer } = this.client.settings;
    const startMs = performance.now();
    this.#busy = true;
    try {
      const offsets = await this.#run(transaction, rounds);
      const { messages, bytes } = sizeOf(rounds);
      observer.transactionCommitted?.({
        task: transaction.task,
        messages,
        bytes,
        durationMs: performance.now() - startMs,
      });
      failPoint(`${transaction.task}.commit.after-end`);
      return { offsets };
    } catch (error) {
      if (error instanceof DuologError) observer.transactionFailed?.({ task: transaction.task, code: error.code });
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  async close(): Promise<void> {
    await withinPatience(this.producer.disconnect());
  }

  /**
   * A producer that failed is not used again: its successor, opened under a new assignment, aborts what it left.
   * This one must not take the id anew by itself, or a zombie that wakes up would fence its successor.
   */
  async #run(transaction: LogTransaction, rounds: readonly Round[]): Promise<Map<string, number>> {
    const point = `${transaction.task}.commit` as const;
    failPoint(`${point}.before-begin`);
    let open: PackageTransaction | null = null;
    let ending = false;
    try {
      open = await this.producer.transaction();
      failPoint(`${point}.after-begin`);
      const offsets = await this.#send(open, rounds);
      failPoint(`${point}.after-send`);
      if (transaction.consumed !== undefined) await sendOffsets(open, transaction.consumed);
      failPoint(`${point}.after-offsets`);
      failPoint(`${point}.before-end`);
      ending = true;
      await open.commit();
      return offsets;
    } catch (error) {
      this.#closedBy = this.#explain(error, ending);
      if (!ending) await open?.abort().catch(() => undefined);
      throw this.#closedBy;
    }
  }

  async #send(open: PackageTransaction, rounds: readonly Round[]): Promise<Map<string, number>> {
    const offsets = new Map<string, number>();
    for (const topicMessages of rounds) {
      const request = { acks: -1, timeout: ACKNOWLEDGE_TIMEOUT_MS, topicMessages };
      const results = await open.sendBatch(request).catch((error: unknown) => {
        throw errorOfRound(topicMessages, error);
      });
      for (const { topic, messages } of topicMessages) {
        const result = results.find(({ topicName }) => topicName === topic);
        if (result?.baseOffset !== undefined) offsets.set(topic, Number(result.baseOffset) + messages.length);
      }
    }
    return offsets;
  }

  #explain(error: unknown, ending: boolean): DuologError {
    if (error instanceof DuologError) return error;
    const doing = `the transaction of ${this.transactionalId}`;
    const explained = asDuologError(error, doing);
    const unknown = error instanceof CommitOutcomeUnknown;
    if (!unknown && !(ending && isWithoutAnswer(error))) return explained;
    return new DuologError('KAFKA_COMMIT_UNKNOWN', `It is not known whether Kafka committed ${doing}`, {
      cause: error,
    });
  }

  #requireOpen(): void {
    if (this.#closedBy === null) return;
    const { code } = this.#closedBy;
    throw new DuologError(
      code === 'KAFKA_FENCED' ? code : 'KAFKA_UNREACHABLE',
      `The producer ${this.transactionalId} is closed since ${code}`,
      { cause: this.#closedBy },
    );
  }
}

/** kafkajs's own errors for an answer that never came. */
function isWithoutAnswer(error: unknown): boolean {
  return error instanceof Error && /^KafkaJS(Connection|RequestTimeout)/.test(error.name);
}

async function sendOffsets(open: PackageTransaction, consumed: NonNullable<LogTransaction['consumed']>): Promise<void> {
  if (consumed.offsets.length === 0) return;
  await open.sendOffsets({
    consumerGroupId: consumed.group,
    topics: consumed.offsets.map(({ topic, offset }) => ({
      topic,
      partitions: [{ partition: 0, offset: String(offset) }],
    })),
  });
}
