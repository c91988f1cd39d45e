import type { LogRecord } from '../log/contract.js';
import { Batch } from './kafkajs.js';
import { type BatchMessage, type Broker, READ_COMMITTED } from './kafkajs-types.js';

export interface FetchLimits {
  /** The broker answers as soon as there is anything, at the latest after this. */
  readonly maxWaitMs: number;
  readonly maxBytes: number;
  readonly maxTopicBytes: number;
}

export interface FetchedTopic {
  readonly topic: string;
  readonly records: LogRecord[];
  /** Where the next fetch goes on: behind aborted records, markers and what compaction took, too. */
  readonly nextOffset: number;
  /** Behind everything committed and readable as of this fetch. */
  readonly stableOffset: number;
}

/** One read-committed fetch of some topics' only partitions from their leader. */
export async function fetchFrom(
  broker: Broker,
  wanted: readonly { readonly topic: string; readonly offset: number }[],
  limits: FetchLimits,
): Promise<FetchedTopic[]> {
  const { responses } = await broker.fetch({
    isolationLevel: READ_COMMITTED,
    maxWaitTime: limits.maxWaitMs,
    minBytes: 1,
    maxBytes: limits.maxBytes,
    topics: wanted.map(({ topic, offset }) => ({
      topic,
      partitions: [{ partition: 0, fetchOffset: String(offset), maxBytes: limits.maxTopicBytes }],
    })),
  });
  const offsets = new Map(wanted.map(({ topic, offset }) => [topic, offset]));
  return responses.flatMap(({ topicName, partitions }) =>
    partitions.map((partition) => {
      const offset = offsets.get(topicName) ?? 0;
      const batch = new Batch(topicName, String(offset), partition);
      const nothing = batch.isEmpty() && !batch.isEmptyDueToFiltering();
      return {
        topic: topicName,
        records: batch.messages.map((message) => toRecord(topicName, message)),
        nextOffset: nothing ? offset : Number(batch.lastOffset()) + 1,
        stableOffset: Number(partition.lastStableOffset),
      };
    }),
  );
}

function toRecord(topic: string, message: BatchMessage): LogRecord {
  return {
    topic,
    offset: message.offsetNumber ?? Number(message.offset),
    key: message.key,
    value: message.value,
    timestampMs: message.timestampMs ?? Number(message.timestamp),
  };
}
