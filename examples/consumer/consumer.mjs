// Follows topics of Duolog and prints a line of JSON a record. npm install kafkajs@2.2.4 @confluentinc/schemaregistry
import { AvroDeserializer, SchemaRegistryClient, SerdeType } from '@confluentinc/schemaregistry';
import { Kafka, logLevel } from 'kafkajs';

const [brokers, registry, groupId, ...topics] = process.argv.slice(2);
if (topics.length === 0) {
  console.error('usage: node consumer.mjs <brokers> <schema registry> <group> <topic> [<topic> …]');
  process.exit(2);
}
const changes = new Set(['insert', 'update', 'delete', 'read']); // of change topics: every other op is not for us
const client = new SchemaRegistryClient({ baseURLs: [registry] });
const options = { subjectNameStrategyType: 'TOPIC' }; // saves a question to the registry that not every one knows
const [keys, values] = [SerdeType.KEY, SerdeType.VALUE].map((part) => new AvroDeserializer(client, part, options));
// Below WARN kafkajs writes its log among our lines.
const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.WARN });
// Committed records only: what an aborted transaction wrote never happened.
const consumer = kafka.consumer({ groupId, readUncommitted: false });
await consumer.connect();
await consumer.subscribe({ topics, fromBeginning: true });
await consumer.run({
  eachMessage: async ({ topic, message }) => {
    const key = message.key && (await keys.deserialize(topic, message.key)).key;
    const record = message.value && (await values.deserialize(topic, message.value)); // null: it is gone
    if (record?.op !== undefined && !changes.has(record.op)) return;
    console.log(JSON.stringify({ topic, offset: message.offset, key, record }));
  },
});
// The group's offset is stored after a record was printed: after a crash the last ones come again. Let what you do with a
// record be harmless the second time; `position` in change topics, the key in canonical topics, tell that it is the same.
// kafkajs 2.2.4: it hands out a record of an aborted transaction now and then (what was committed instead follows); a
// group that was away for longer than `retention.changes` goes on at the oldest record without a word; on a compacted
// topic do not wait for the last offset, it may hold no record.
