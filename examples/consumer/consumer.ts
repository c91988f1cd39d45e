/**
 * Follows topics of Duolog as a subscriber: `node consumer.js localhost:9092 http://localhost:8081/apis/ccompat/v7
 * duolog.canonical.company duolog.change.crm.company`. Starts at the beginning and prints one line of JSON a record.
 */
import { Decoder } from '../../src/avro/codec.js';
import { HttpSchemaRegistry } from '../../src/avro/registry.js';
import { openLog } from '../../src/kafka/index.js';
import { createLogger } from '../../src/logging/logger.js';

const [brokers = '', registry = '', ...topics] = process.argv.slice(2);
const logger = createLogger({ level: 'warn', format: 'auto' });
const log = await openLog({ brokers: brokers.split(','), clientId: 'example-consumer', logger });
const decoder = new Decoder(new HttpSchemaRegistry({ url: registry }));
const start = topics.map(async (topic) => ({ topic, offset: (await log.bounds(topic)).earliest }));
// Reads committed records only: what an aborted transaction wrote never happened.
const reader = await log.reader(await Promise.all(start));
for (;;) {
  const records = await reader.poll({ maxRecords: 500, maxWaitMs: 1000 });
  await decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
  for (const { topic, offset, key, value } of records) {
    const id = key === null ? null : (decoder.decode(key).value as { readonly key: string }).key;
    const record = value === null ? null : (decoder.decode(value).value as { readonly op?: string });
    // Change topics carry outcomes and ends as well, for Duolog itself.
    if (record?.op === 'outcome' || record?.op === 'end') continue;
    const text = JSON.stringify({ topic, offset, id, record }, (_key, part: unknown) =>
      typeof part === 'bigint' ? String(part) : part,
    );
    process.stdout.write(`${text}\n`);
  }
}
