import { DuologError } from '../errors/duolog-error.js';
import type { LogMessage, TopicMessages } from '../log/contract.js';
import { asDuologError } from './kafka-errors.js';
import { BATCH_HEADER_BYTES } from './produce-request.js';
import { largestMessage } from './topics.js';

/** Of a record besides its key and value: lengths, deltas, attributes, each at its longest. */
const RECORD_OVERHEAD_BYTES = 32;
/** One batch is checked, written and acknowledged as a whole; beyond this it only makes both sides wait. */
const MAX_BATCH_MESSAGES = 5_000;
/** The broker waits so long for the copies of a batch before it says that they are too few. */
export const ACKNOWLEDGE_TIMEOUT_MS = 10_000;

interface PackageMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: string;
}

/** What one produce request carries: of each topic at most one batch. */
export type Round = { topic: string; messages: PackageMessage[] }[];

/** A request of several batches takes no more of them beyond this; it is one allocation here and one at the broker. */
const REQUEST_BYTES = 16 * 2 ** 20;

/**
 * Cuts what is to be sent into requests of at most one batch a topic, none larger than a topic accepts but for single
 * large messages. @throws DuologError KAFKA_MESSAGE_TOO_LARGE for what no topic accepts; then nothing has been sent.
 */
export function* batchRounds(sends: readonly TopicMessages[], maxMessageBytes: number): Generator<Round> {
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

export function sizeOf(rounds: readonly Round[]): { readonly messages: number; readonly bytes: number } {
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

/** The error of sending a round, which for one that is too large names it: the broker does not say which, the largest is among them. */
export function errorOfRound(round: Round, cause: unknown): unknown {
  if (asDuologError(cause, '').code !== 'KAFKA_MESSAGE_TOO_LARGE') return cause;
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
