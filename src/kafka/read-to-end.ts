import { DuologError } from '../errors/duolog-error.js';
import type { LogRecord } from '../log/contract.js';
import type { Client } from './client.js';
import { type FetchedTopic, type FetchLimits, fetchFrom } from './fetch.js';
import { asDuologError, protocolType } from './kafka-errors.js';
import type { Cluster } from './kafkajs-types.js';
import { boundsOf, outOfRange, outOfRangeError } from './offsets.js';
import { withinPatience } from './patience.js';
import { withRetries } from './retry.js';

const LIMITS: FetchLimits = { maxWaitMs: 100, maxBytes: 8 * 2 ** 20, maxTopicBytes: 8 * 2 ** 20 };
const TIMEOUT_MS = 60_000;
const MISSING_AFTER_MS = 3_000;
/** So often a fetch of one topic alone must bring nothing at all before there is nothing. */
const EMPTY_FETCHES = 3;

/** An open transaction holds readers back until its producer or the coordinator's timeout ends it. */
const STANDSTILL_MS = 90_000;

/**
 * Hands out all records from the offset on that were committed before the call, maybe some later ones, and returns the
 * offset that follows. A transaction may be committed and not readable yet, while the broker writes its markers: so the end is that
 * of all that is written, and what is still open there is waited for.
 * The next fetch is under way while the caller works on the last.
 * @throws DuologError KAFKA_OFFSET_OUT_OF_RANGE, KAFKA_TOPIC_MISSING, KAFKA_UNREACHABLE.
 */
export async function readToEnd(
  client: Client,
  topic: string,
  offset: number,
  onRecords: (records: readonly LogRecord[]) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<number> {
  const doing = `reading ${topic} to its end`;
  const cluster = await client.cluster().catch((error: unknown) => {
    throw asDuologError(error, doing);
  });
  try {
    const { earliest, highWatermark } = await withRetries(
      { cluster, timeoutMs: TIMEOUT_MS, missingAfterMs: MISSING_AFTER_MS },
      () => boundsOf(cluster, topic),
    ).catch((error: unknown) => {
      throw asDuologError(error, doing);
    });
    if (offset < earliest || offset > highWatermark) throw outOfRangeError(topic, offset, { earliest, highWatermark });
    return await readUntil(cluster, { topic, offset, end: highWatermark }, onRecords, signal);
  } finally {
    await withinPatience(cluster.disconnect());
  }
}

async function readUntil(
  cluster: Cluster,
  range: { readonly topic: string; readonly offset: number; readonly end: number },
  onRecords: (records: readonly LogRecord[]) => void | Promise<void>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { topic, end } = range;
  let next = range.offset;
  let emptyFetches = 0;
  let progressMs = performance.now();
  let fetching = next < end ? fetchOne(cluster, topic, next) : null;
  while (fetching !== null) {
    const { records, nextOffset, stableOffset } = await fetching;
    // Nothing is under way here. What is held back may only be let go by whoever breaks this off.
    signal?.throwIfAborted();
    if (nextOffset > next) progressMs = performance.now();
    else if (performance.now() - progressMs > STANDSTILL_MS) throw heldBack(topic, stableOffset, end);
    // Compaction may have taken everything behind the last batch: a lone fetch that stays empty says so, for it always
    // brings at least one batch where there is one that may be read.
    emptyFetches = nextOffset === next && stableOffset >= end ? emptyFetches + 1 : 0;
    next = emptyFetches >= EMPTY_FETCHES ? end : nextOffset;
    fetching = next < end ? fetchOne(cluster, topic, next) : null;
    try {
      if (records.length > 0) await onRecords(records);
    } catch (error) {
      await fetching?.catch(() => undefined);
      throw error;
    }
  }
  return next;
}

function fetchOne(cluster: Cluster, topic: string, offset: number): Promise<FetchedTopic> {
  const fetching = withRetries({ cluster, timeoutMs: TIMEOUT_MS }, async () => {
    await cluster.refreshMetadataIfNecessary();
    const [nodeId = ''] = Object.keys(cluster.findLeaderForPartitions(topic, [0]));
    const broker = await cluster.findBroker({ nodeId });
    const [fetched] = await fetchFrom(broker, [{ topic, offset }], LIMITS);
    // A throttled broker answers without the topic.
    return fetched ?? throttled();
  }).catch(async (error: unknown) => {
    const found = protocolType(error) === 'OFFSET_OUT_OF_RANGE' ? await outOfRange(cluster, topic, offset) : null;
    throw found ?? asDuologError(error, `reading ${topic} to its end`);
  });
  // It is awaited when the records before it have been worked on.
  fetching.catch(() => undefined);
  return fetching;
}

function heldBack(topic: string, stable: number, end: number): DuologError {
  return new DuologError(
    'KAFKA_UNREACHABLE',
    `A transaction that stays open holds back ${topic} at ${stable}, before ${end}; ` +
      'kafka-transactions.sh find-hanging tells whose it is',
  );
}

function throttled(): never {
  throw Object.assign(new Error('The broker throttles'), { type: 'THROTTLING_QUOTA_EXCEEDED' });
}
