import { setTimeout as delay } from 'node:timers/promises';
import { DuologError } from '../errors/duolog-error.js';
import type { TopicFinding, TopicSpec } from '../log/contract.js';
import type { Client } from './client.js';
import { asDuologError, isMissingTopic } from './kafka-errors.js';
import { type Admin, ConfigResourceTypes } from './kafkajs.js';

type Configuration = Readonly<Record<string, string>>;

/** A setting that is not what it has to be. Without the fatal ones data would be lost or be out of order. */
interface Difference {
  readonly setting: string;
  readonly is: string;
  readonly wanted: string;
  readonly fatal: boolean;
  /** The command that mends it, or null where only making the topic anew does. */
  readonly command: string | null;
}

interface Inspected {
  readonly spec: TopicSpec;
  readonly state: TopicFinding['state'];
  readonly differences: readonly Difference[];
}

const CREATE_TIMEOUT_MS = 15_000;
const KNOWN_PAUSE_MS = 50;

/** Creates what is missing. @throws DuologError TOPIC_SETTINGS_WRONG when one that is there would lose data. */
export async function ensureTopics(client: Client, admin: Admin, specs: readonly TopicSpec[]): Promise<void> {
  try {
    const missing = (await inspect(client, admin, specs)).filter(({ state }) => state === 'missing');
    if (missing.length > 0) {
      await create(
        client,
        admin,
        missing.map(({ spec }) => spec),
      );
    }
    const wrong = (await inspectWhenKnown(client, admin, specs)).flatMap(({ spec, differences }) => {
      const fatal = differences.filter((difference) => difference.fatal);
      return fatal.length > 0 ? [describe(spec.name, fatal)] : [];
    });
    if (wrong.length > 0) throw new DuologError('TOPIC_SETTINGS_WRONG', wrong.join('; '));
  } catch (error) {
    throw asDuologError(error, 'creating topics');
  }
}

export async function inspectTopics(
  client: Client,
  admin: Admin,
  specs: readonly TopicSpec[],
): Promise<readonly TopicFinding[]> {
  try {
    return (await inspect(client, admin, specs)).map(({ spec, state, differences }) => ({
      topic: spec.name,
      state,
      message:
        state === 'missing'
          ? `${spec.name} is missing; Duolog creates it when it starts`
          : state === 'ok'
            ? `${spec.name} is as it has to be`
            : describe(spec.name, differences),
    }));
  } catch (error) {
    throw asDuologError(error, 'looking at the topics');
  }
}

/** Not every broker knows a new topic at once, and any of them may be asked. */
async function inspectWhenKnown(client: Client, admin: Admin, specs: readonly TopicSpec[]): Promise<Inspected[]> {
  const deadline = performance.now() + CREATE_TIMEOUT_MS;
  for (;;) {
    const last = performance.now() > deadline;
    const inspected = await inspect(client, admin, specs).catch((error: unknown) => {
      if (last || !isMissingTopic(error)) throw error;
      return null;
    });
    if (inspected !== null && (last || inspected.every(({ state }) => state !== 'missing'))) return inspected;
    await delay(KNOWN_PAUSE_MS);
  }
}

async function inspect(client: Client, admin: Admin, specs: readonly TopicSpec[]): Promise<Inspected[]> {
  const there = new Set(await admin.listTopics());
  const present = specs.filter(({ name }) => there.has(name));
  const brokers = (await admin.describeCluster()).brokers.length;
  const configurations = await configurationsOf(admin, present);
  const layouts = await layoutsOf(admin, present);
  return specs.map((spec) => {
    if (!there.has(spec.name)) return { spec, state: 'missing', differences: [] };
    const differences = [
      ...compareLayout(client, spec, layouts.get(spec.name) ?? { partitions: 0, copies: 0 }, brokers),
      ...compareSettings(client, spec, configurations.get(spec.name) ?? {}, brokers),
    ];
    return { spec, state: differences.length === 0 ? 'ok' : 'different', differences };
  });
}

async function configurationsOf(admin: Admin, specs: readonly TopicSpec[]): Promise<Map<string, Configuration>> {
  if (specs.length === 0) return new Map();
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: specs.map(({ name }) => ({ type: ConfigResourceTypes.TOPIC, name })),
  });
  return new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      Object.fromEntries(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  );
}

interface Layout {
  readonly partitions: number;
  readonly copies: number;
}

async function layoutsOf(admin: Admin, specs: readonly TopicSpec[]): Promise<Map<string, Layout>> {
  if (specs.length === 0) return new Map();
  const { topics } = await admin.fetchTopicMetadata({ topics: specs.map(({ name }) => name) });
  return new Map(
    topics.map(({ name, partitions }) => [
      name,
      { partitions: partitions.length, copies: partitions[0]?.replicas.length ?? 0 },
    ]),
  );
}

function compareLayout(client: Client, spec: TopicSpec, layout: Layout, brokers: number): Difference[] {
  const differences: Difference[] = [];
  if (layout.partitions !== 1) {
    // Order is only within a partition.
    differences.push({
      setting: 'partitions',
      is: String(layout.partitions),
      wanted: '1',
      fatal: true,
      command: null,
    });
  }
  const { copies } = replicationFor(client, brokers);
  if (layout.copies < copies) {
    differences.push({
      setting: 'replication factor',
      is: String(layout.copies),
      wanted: String(copies),
      fatal: false,
      command: `kafka-reassign-partitions.sh --bootstrap-server ${client.settings.brokers.join(',')} --reassignment-json-file FILE --execute, where FILE gives partition 0 of ${spec.name} ${copies} replicas`,
    });
  }
  return differences;
}

function compareSettings(client: Client, spec: TopicSpec, configuration: Configuration, brokers: number): Difference[] {
  return Object.entries(settingsFor(client, spec, brokers)).flatMap(([setting, wanted]) => {
    const is = configuration[setting];
    if (is === undefined || suffices(setting, is, wanted)) return [];
    const servers = client.settings.brokers.join(',');
    return [
      {
        setting,
        is,
        wanted,
        fatal: setting !== 'min.insync.replicas',
        command: `kafka-configs.sh --bootstrap-server ${servers} --alter --entity-type topics --entity-name ${spec.name} --add-config ${setting}=${wanted}`,
      },
    ];
  });
}

/** Keeping more or accepting more than asked for does no harm. */
function suffices(setting: string, is: string, wanted: string): boolean {
  if (setting === 'cleanup.policy') return is === wanted;
  const [isNumber, wantedNumber] = [Number(is), Number(wanted)];
  if (setting.startsWith('retention.')) return isNumber === -1 || (wantedNumber !== -1 && isNumber >= wantedNumber);
  return isNumber >= wantedNumber;
}

/** What a topic has to be so that nothing expires that is still needed. */
function settingsFor(client: Client, spec: TopicSpec, brokers: number): Configuration {
  const { maxMessageBytes } = client.settings;
  const messageBytes = spec.large === true ? largestMessage(maxMessageBytes) : maxMessageBytes;
  return {
    'cleanup.policy': spec.cleanup,
    'retention.ms': String(spec.retentionMs ?? -1),
    'retention.bytes': '-1',
    'min.insync.replicas': String(replicationFor(client, brokers).inSync),
    'max.message.bytes': String(messageBytes),
    // No batch is larger than a segment, whatever else the topic allows.
    'segment.bytes': String(messageBytes),
  };
}

/** So many rows of the largest size may stand in one message of a topic that takes large ones. */
const LARGE_MESSAGES = 16;

/** No request is larger, as brokers come (`socket.request.max.bytes`, 100 MB): they close the connection without a word. */
const LARGEST_REQUEST_BYTES = 99 * 2 ** 20;

/** What fits into a message of a topic that takes large ones. */
export function largestMessage(maxMessageBytes: number): number {
  return Math.max(maxMessageBytes, Math.min(maxMessageBytes * LARGE_MESSAGES, LARGEST_REQUEST_BYTES));
}

/** Only closed segments are compacted: small ones keep short what a task reads from its start. */
const COMPACTED_SEGMENT_BYTES = 16 * 1024 * 1024;

/** What a topic is made with; a person may choose otherwise later. */
function settingsAtFirst(client: Client, spec: TopicSpec, brokers: number): Configuration {
  const settings = settingsFor(client, spec, brokers);
  const { 'segment.bytes': least, ...others } = settings;
  if (Number(least) > COMPACTED_SEGMENT_BYTES) return settings;
  return spec.cleanup === 'compact' ? { ...others, 'segment.bytes': String(COMPACTED_SEGMENT_BYTES) } : others;
}

/** Three copies of which two must have a record, where there are brokers for it. */
function replicationFor(client: Client, brokers: number): { readonly copies: number; readonly inSync: number } {
  const { replicationFactor = 3, minInsyncReplicas = 2 } = client.settings;
  const copies = Math.max(1, Math.min(replicationFactor, brokers));
  return { copies, inSync: Math.max(1, Math.min(minInsyncReplicas, copies - 1)) };
}

async function create(client: Client, admin: Admin, specs: readonly TopicSpec[]): Promise<void> {
  const brokers = (await admin.describeCluster()).brokers.length;
  try {
    await admin.createTopics({
      timeout: CREATE_TIMEOUT_MS,
      // kafkajs gives up where a broker does not know the new topic yet; it is waited for afterwards.
      waitForLeaders: false,
      topics: specs.map((spec) => ({
        topic: spec.name,
        numPartitions: 1,
        replicationFactor: replicationFor(client, brokers).copies,
        configEntries: Object.entries(settingsAtFirst(client, spec, brokers)).map(([name, value]) => ({ name, value })),
      })),
    });
  } catch (error) {
    // Another process may have made some of them at the same time; what is there is inspected afterwards.
    const errors: readonly unknown[] = (error as { errors?: readonly unknown[] }).errors ?? [error];
    const serious = errors.filter((each) => (each as { type?: string }).type !== 'TOPIC_ALREADY_EXISTS');
    if (serious.length > 0) throw serious[0];
  }
}

function describe(topic: string, differences: readonly Difference[]): string {
  const details = differences.map(({ setting, is, wanted, command }) => {
    const remedy = command === null ? 'delete the topic and let Duolog create it' : `run: ${command}`;
    return `${setting} is ${is} and should be ${wanted} (${remedy})`;
  });
  return `${topic}: ${details.join(', ')}`;
}
