import { Decoder, type Decoded } from '../avro/codec.js';
import { heartbeatOf, keyOf } from '../avro/progress-codec.js';
import type { TaskContext } from './task.js';

/** What the last message of a compacted topic under this key says, or null where there is none. */
export async function readLast<T>(
  context: Pick<TaskContext, 'log' | 'registry'>,
  topic: string,
  wanted: string,
  read: (decoded: Decoded) => T,
): Promise<T | null> {
  const decoder = new Decoder(context.registry);
  let last: T | null = null;
  await context.log.readToEnd(topic, 0, async (records) => {
    await decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
    for (const { key, value } of records) {
      if (key === null || value === null || keyOf(decoder.decode(key)) !== wanted) continue;
      last = read(decoder.decode(value));
    }
  });
  return last;
}

/** Under this key of the heartbeat topic a sync's stream task tells its birth id. */
export function syncHeartbeatKey(sync: string): string {
  return `sync/${sync}`;
}

/** Birth id of a sync's state, or null where its stream task has never run. */
export function readBirth(context: TaskContext, sync: string): Promise<string | null> {
  return readLast(context, context.topics.heartbeat(), syncHeartbeatKey(sync), (value) => heartbeatOf(value).birth);
}
