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

/** Asks the leader of the topic's one partition. */
export async function boundsOf(cluster: Cluster, topic: string): Promise<TopicBounds> {
  await cluster.addMultipleTargetTopics([topic]);
  await cluster.refreshMetadataIfNecessary();
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [0]));
  if (nodeId === undefined) throw new DuologError('KAFKA_TOPIC_MISSING', `The topic ${topic} is missing`);
  const broker = await cluster.findBroker({ nodeId });
  const ask = async (timestamp: number, isolationLevel: number): Promise<number> => {
    const { responses } = await broker.listOffsets({
      isolationLevel,
      topics: [{ topic, partitions: [{ partition: 0, timestamp }] }],
    });
    return Number(responses[0]?.partitions[0]?.offset ?? -1);
  };
  const [earliest, end, highWatermark] = await Promise.all([
    ask(EARLIEST, READ_COMMITTED),
    ask(LATEST, READ_COMMITTED),
    ask(LATEST, READ_UNCOMMITTED),
  ]);
  return { earliest, end, highWatermark };
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
