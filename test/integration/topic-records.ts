import { Decoder } from '../../src/avro/codec.js';
import { keyOf } from '../../src/avro/progress-codec.js';
import { HttpSchemaRegistry } from '../../src/avro/registry.js';
import type { Log } from '../../src/log/contract.js';

export interface TopicRecord {
  readonly key: string | null;
  readonly value: Record<string, unknown> | null;
}

/** What a read-committed subscriber finds in a topic. */
export async function topicRecords(log: Log, registry: string, topic: string): Promise<TopicRecord[]> {
  const decoder = new Decoder(new HttpSchemaRegistry({ url: registry }));
  const found: TopicRecord[] = [];
  await log.readToEnd(topic, (await log.bounds(topic)).earliest, async (records) => {
    await decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
    for (const { key, value } of records) {
      found.push({
        key: key === null ? null : keyOf(decoder.decode(key)),
        value: value === null ? null : (decoder.decode(value).value as Record<string, unknown>),
      });
    }
  });
  return found;
}
