import { Decoder, type Decoded } from '../avro/codec.js';
import { heartbeatOf, keyOf } from '../avro/progress-codec.js';
import type { LogRecord } from '../log/contract.js';
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

/**
 * Birth id of a sync's state as its stream task last told it; null while that has never run. Asked again, it reads only
 * what has come since.
 */
export class BirthReader {
  private readonly decoder: Decoder;
  private readonly key: string;
  private offset = 0;
  private birth: string | null = null;
  private from: Readonly<Record<string, number>> | null = null;

  constructor(
    private readonly context: Pick<TaskContext, 'log' | 'registry' | 'topics'>,
    sync: string,
  ) {
    this.decoder = new Decoder(context.registry);
    this.key = syncHeartbeatKey(sync);
  }

  async read(signal?: AbortSignal): Promise<string | null> {
    const { log, topics } = this.context;
    const onRecords = async (records: readonly LogRecord[]) => {
      await this.decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
      for (const { key, value } of records) {
        if (key === null || value === null || keyOf(this.decoder.decode(key)) !== this.key) continue;
        const { birth, commandsFrom } = heartbeatOf(this.decoder.decode(value));
        this.birth = birth;
        this.from = commandsFrom;
      }
    };
    this.offset = await log.readToEnd(topics.heartbeat(), this.offset, onRecords, signal);
    return this.birth;
  }

  /** From where on the command topic may hold commands of the birth last read; its very start where that is not known. */
  commandsFrom(topic: string): number {
    return this.from?.[topic] ?? 0;
  }
}
