import { DuologError } from '../errors/duolog-error.js';
import { type Cluster, READ_COMMITTED } from './kafkajs-types.js';

const EARLIEST = -2;
const LATEST = -1;
const READ_UNCOMMITTED = 0;

export interface TopicBounds {
  /** The first offset that is still there. */
  readonly earliest: number;
  /** Behind everything that is committed and readable: the last stable offset. */
  readonly end: number;
  /** Behind everything written, open transactions included. */
  readonly highWatermark: number;
}

type Ask = (timestamp: number, isolationLevel: number) => Promise<number>;

export async function boundsOf(cluster: Cluster, topic: string): Promise<TopicBounds> {
  const ask = await asking(cluster, topic);
  const [earliest, end, highWatermark] = await Promise.all([
    ask(EARLIEST, READ_COMMITTED),
    ask(LATEST, READ_COMMITTED),
    ask(LATEST, READ_UNCOMMITTED),
  ]);
  return { earliest, end, highWatermark };
}

/** The first offset of a record at least as young as the time; null where all are older. */
export async function offsetAt(cluster: Cluster, topic: string, timestampMs: number): Promise<number | null> {
  const ask = await asking(cluster, topic);
  const offset = await ask(timestampMs, READ_COMMITTED);
  return offset < 0 ? null : offset;
}

/** Questions to the leader of the topic's one partition. */
async function asking(cluster: Cluster, topic: string): Promise<Ask> {
  await cluster.addMultipleTargetTopics([topic]);
  await cluster.refreshMetadataIfNecessary();
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [0]));
  if (nodeId === undefined) throw new DuologError('KAFKA_TOPIC_MISSING', `The topic ${topic} is missing`);
  const broker = await cluster.findBroker({ nodeId });
  return async (timestamp, isolationLevel) => {
    const { responses } = await broker.listOffsets({
      isolationLevel,
      topics: [{ topic, partitions: [{ partition: 0, timestamp }] }],
    });
    return Number(responses[0]?.partitions[0]?.offset ?? -1);
  };
}

/** Null when the offset can be read from, or is the end; else the error that says what is there. */
export async function outOfRange(cluster: Cluster, topic: string, offset: number): Promise<DuologError | null> {
  const { earliest, highWatermark } = await boundsOf(cluster, topic);
  if (offset >= earliest && offset <= highWatermark) return null;
  return outOfRangeError(topic, offset, { earliest, highWatermark });
}

export function outOfRangeError(
  topic: string,
  offset: number,
  { earliest, highWatermark }: Pick<TopicBounds, 'earliest' | 'highWatermark'>,
): DuologError {
  return new DuologError(
    'KAFKA_OFFSET_OUT_OF_RANGE',
    `${topic} was to be read from offset ${offset}, but holds ${earliest} to ${highWatermark}`,
  );
}
