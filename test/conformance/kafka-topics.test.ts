import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import pino from 'pino';
import { Client } from '../../src/kafka/client.js';
import type { Admin } from '../../src/kafka/kafkajs.js';
import type { Log } from '../../src/log/contract.js';
import { sharedKafka, uniquePrefix } from '../support/shared.js';
import { openTestLog } from './kafka-log.js';

/** Topics are made so that nothing expires that is still needed, and those that are not are named with the remedy. */
let log: Log;
let admin: Admin;
let brokers: readonly string[];
let topic: string;

beforeAll(async () => {
  brokers = await sharedKafka();
  log = await openTestLog(brokers);
  admin = new Client({ brokers, clientId: 'look', logger: pino({ level: 'silent' }) }).admin();
  await admin.connect();
});

beforeEach(() => {
  topic = `${uniquePrefix()}.topic`;
});

afterAll(async () => {
  await admin?.disconnect();
  await log?.close();
});

it('what is missing is made, with every setting that keeps its records', async () => {
  const specs = [
    { name: `${topic}.kept`, cleanup: 'delete', retentionMs: null },
    { name: `${topic}.compacted`, cleanup: 'compact', retentionMs: null },
    { name: `${topic}.for-a-day`, cleanup: 'delete', retentionMs: 86_400_000 },
  ] as const;
  expect((await log.inspectTopics(specs)).map(({ state }) => state)).toEqual(['missing', 'missing', 'missing']);
  await log.ensureTopics(specs);
  expect((await log.inspectTopics(specs)).map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
  const names = ['cleanup.policy', 'retention.ms', 'retention.bytes', 'min.insync.replicas', 'max.message.bytes'];
  expect(await settingsOf(`${topic}.kept`, names)).toEqual(['delete', '-1', '-1', '1', '1048588']);
  expect(await settingsOf(`${topic}.compacted`, names)).toEqual(['compact', '-1', '-1', '1', '1048588']);
  expect(await settingsOf(`${topic}.for-a-day`, names)).toEqual(['delete', '86400000', '-1', '1', '1048588']);
});

it('several processes may make the same topics at once', async () => {
  const specs = ['a', 'b', 'c'].map((name) => ({
    name: `${topic}.${name}`,
    cleanup: 'delete' as const,
    retentionMs: null,
  }));
  await Promise.all([log.ensureTopics(specs), log.ensureTopics(specs), log.ensureTopics(specs.slice(1))]);
  expect((await log.inspectTopics(specs)).map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
});

it('a setting under which records would be lost stops the start, with the command that mends it', async () => {
  await make({ 'retention.ms': '604800000' });
  await expect(log.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }])).rejects.toMatchObject({
    code: 'TOPIC_SETTINGS_WRONG',
    message:
      `${topic}: retention.ms is 604800000 and should be -1 (run: kafka-configs.sh --bootstrap-server ` +
      `${brokers.join(',')} --alter --entity-type topics --entity-name ${topic} --add-config retention.ms=-1)`,
  });
});

it.each([
  ['a compacted topic that must keep everything', { 'cleanup.policy': 'compact' }, 'cleanup.policy is compact'],
  ['a limit on the size of the topic', { 'retention.bytes': '1000000' }, 'retention.bytes is 1000000'],
  ['a limit on messages below ours', { 'max.message.bytes': '100000' }, 'max.message.bytes is 100000'],
  ['segments that the largest message does not fit into', { 'segment.bytes': '1048576' }, 'segment.bytes is 1048576'],
])('as does %s', async (_what, settings, reason) => {
  await make({ 'retention.ms': '-1', ...settings });
  const wrong = log.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }]);
  await expect(wrong).rejects.toMatchObject({
    code: 'TOPIC_SETTINGS_WRONG',
    message: expect.stringContaining(reason),
  });
});

it('and a topic of several partitions, which have no order between them', async () => {
  await make({ 'retention.ms': '-1' }, 2);
  await expect(log.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }])).rejects.toMatchObject({
    message: expect.stringContaining('partitions is 2 and should be 1 (delete the topic'),
  });
});

it('keeping longer than asked for is no fault', async () => {
  await make({ 'retention.ms': '-1', 'max.message.bytes': '5000000' });
  await log.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: 1_000 }]);
});

it('a topic for large messages takes rows of 8 MB some times over, also in a transaction of many; beyond, its name is told', async () => {
  const large = await openTestLog(brokers, { maxMessageBytes: 10_000_000 });
  try {
    const names = Array.from({ length: 8 }, (_, number) => `${topic}.${number}`);
    await large.ensureTopics([
      { name: topic, cleanup: 'compact', retentionMs: null, large: true },
      ...names.map((name) => ({ name, cleanup: 'delete', retentionMs: null }) as const),
    ]);
    const producer = await large.producer(uniquePrefix());
    const message = (bytes: number) => ({ key: Buffer.from('key'), value: Buffer.alloc(bytes) });
    const sends = [
      { topic, messages: [message(40_000_000), message(1_000)] },
      ...names.map((name) => ({ topic: name, messages: [message(9_900_000)] })),
    ];
    await producer.commit({ task: 'stream', sends });
    const read: (number | undefined)[] = [];
    for (const name of [topic, ...names]) {
      await large.readToEnd(name, 0, (records) => void read.push(...records.map(({ value }) => value?.length)));
    }
    expect(read).toEqual([40_000_000, 1_000, ...names.map(() => 9_900_000)]);
    const beyondAll = producer.commit({ task: 'stream', sends: [{ topic, messages: [message(110_000_000)] }] });
    await expect(beyondAll).rejects.toMatchObject({ code: 'KAFKA_MESSAGE_TOO_LARGE' });
    const beyondOne = producer.commit({
      task: 'stream',
      sends: [
        { topic, messages: [message(1_000)] },
        { topic: names[0]!, messages: [message(12_000_000)] },
      ],
    });
    await expect(beyondOne).rejects.toMatchObject({
      code: 'KAFKA_MESSAGE_TOO_LARGE',
      message: expect.stringMatching(new RegExp(`^${names[0]} does not take a batch of 12000\\d+ bytes$`)),
    });
  } finally {
    await large.close();
  }
});

async function make(settings: Readonly<Record<string, string>>, numPartitions = 1): Promise<void> {
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] });
}

async function settingsOf(name: string, wanted: readonly string[]): Promise<(string | undefined)[]> {
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name }] });
  const entries = resources[0]?.configEntries ?? [];
  return wanted.map((each) => entries.find(({ configName }) => configName === each)?.configValue);
}
