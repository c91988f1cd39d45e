import { DuologError } from '../errors/duolog-error.js';
import { failPoint } from '../failpoints.js';
import type { LogMessage, LogProducer, LogTransaction, TopicMessages } from '../log/contract.js';
import type { Client } from './client.js';
import { asDuologError } from './kafka-errors.js';
import { withinPatience } from './patience.js';
import { BATCH_HEADER_BYTES } from './produce-request.js';
import { largestMessage } from './topics.js';
import { CommitOutcomeUnknown } from './transaction-protocol.js';

/** Of a record besides its key and value: lengths, deltas, attributes, each at its longest. */
const RECORD_OVERHEAD_BYTES = 32;
/** One batch is checked, written and acknowledged as a whole; beyond this it only makes both sides wait. */
const MAX_BATCH_MESSAGES = 5_000;
/** The broker waits so long for the copies of a batch before it says that they are too few. */
const ACKNOWLEDGE_TIMEOUT_MS = 10_000;

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
        throw isTooLarge(error) ? tooLarge(topicMessages, error) : error;
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

function isTooLarge(error: unknown): boolean {
  return asDuologError(error, '').code === 'KAFKA_MESSAGE_TOO_LARGE';
}

/** The broker does not say which; the largest is among them. */
function tooLarge(round: Round, cause: unknown): DuologError {
  const sizes = round.map(({ topic, messages }) => {
    const bytes = messages.reduce((sum, message) => sum + sizeOfMessage(message), BATCH_HEADER_BYTES);
    return { topic, bytes };
  });
  const [largest] = sizes.sort((one, other) => other.bytes - one.bytes);
  return new DuologError(
    'KAFKA_MESSAGE_TOO_LARGE',
    `${largest!.topic} does not take a batch of ${largest!.bytes} bytes`,
    { cause },
  );
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

interface PackageMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: string;
}

/** What one produce request carries: of each topic at most one batch. */
type Round = { topic: string; messages: PackageMessage[] }[];

/** A request of several batches takes no more of them beyond this; it is one allocation here and one at the broker. */
const REQUEST_BYTES = 16 * 2 ** 20;

/**
 * Cuts what is to be sent into requests of at most one batch a topic, none larger than a topic accepts but for single
 * large messages. @throws DuologError KAFKA_MESSAGE_TOO_LARGE for what no topic accepts; then nothing has been sent.
 */
function* batchRounds(sends: readonly TopicMessages[], maxMessageBytes: number): Generator<Round> {
  const now = String(Date.now());
  const queues = [...byTopic(sends)].map(([topic, messages]) => ({ topic, messages, at: 0 }));
  for (;;) {
    const round: Round = [];
    let bytes = 0;
    for (const queue of queues) {
      if (bytes > 0 && bytes + nextBatchBytes(queue, maxMessageBytes) > REQUEST_BYTES) continue;
      const messages = takeBatch(queue, maxMessageBytes, now);
      if (messages.length === 0) continue;
      round.push({ topic: queue.topic, messages });
      for (const message of messages) bytes += sizeOfMessage(message);
    }
    if (round.length === 0) return;
    yield round;
  }
}

function byTopic(sends: readonly TopicMessages[]): Map<string, readonly LogMessage[]> {
  const topics = new Map<string, readonly LogMessage[]>();
  for (const { topic, messages } of sends) {
    const before = topics.get(topic);
    topics.set(topic, before === undefined ? messages : [...before, ...messages]);
  }
  return topics;
}

interface TopicQueue {
  readonly topic: string;
  readonly messages: readonly LogMessage[];
  /** The next one to be sent. */
  at: number;
}

/** Its next batch has no more bytes: that of a large message alone, else what a batch may have. */
function nextBatchBytes({ messages, at }: TopicQueue, maxMessageBytes: number): number {
  const next = messages[at];
  return next === undefined ? 0 : Math.max(maxMessageBytes, sizeOfMessage(next));
}

function sizeOfMessage({ key, value }: Pick<LogMessage, 'key' | 'value'>): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES;
}

function takeBatch(queue: TopicQueue, maxMessageBytes: number, now: string): PackageMessage[] {
  const batch: PackageMessage[] = [];
  let bytes = BATCH_HEADER_BYTES;
  while (queue.at < queue.messages.length && batch.length < MAX_BATCH_MESSAGES) {
    const { key, value, timestampMs } = queue.messages[queue.at]!;
    const size = sizeOfMessage({ key, value });
    const limit = largestMessage(maxMessageBytes);
    if (BATCH_HEADER_BYTES + size > limit) {
      const message = `A message for ${queue.topic} has ${size} bytes; no topic takes more than ${limit}`;
      throw new DuologError('KAFKA_MESSAGE_TOO_LARGE', message);
    }
    // A message larger than a batch goes alone: its topic says whether it takes it.
    if (bytes + size > maxMessageBytes && batch.length > 0) break;
    bytes += size;
    batch.push({ key, value, timestamp: timestampMs === undefined ? now : String(timestampMs) });
    queue.at++;
  }
  return batch;
}

function sizeOf(rounds: readonly Round[]): { readonly messages: number; readonly bytes: number } {
  let messages = 0;
  let bytes = 0;
  for (const round of rounds) {
    for (const topic of round) {
      messages += topic.messages.length;
      for (const { key, value } of topic.messages) bytes += (key?.length ?? 0) + (value?.length ?? 0);
    }
  }
  return { messages, bytes };
}
