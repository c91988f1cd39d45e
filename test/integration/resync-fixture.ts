import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type pg from 'pg';
import { slotName } from '../../connectors/postgres/names.js';
import { Decoder } from '../../src/avro/codec.js';
import { keyOf } from '../../src/avro/progress-codec.js';
import { HttpSchemaRegistry } from '../../src/avro/registry.js';
import { createOutput } from '../../src/cli/output.js';
import { resync, type ResyncOptions } from '../../src/cli/resync.js';
import { kafkaLogOptions } from '../../src/config/kafka-connection.js';
import type { DuologError } from '../../src/errors/duolog-error.js';
import { openLog } from '../../src/kafka/index.js';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import type { Log } from '../../src/log/contract.js';
import { TopicNames } from '../../src/log/topics.js';
import { createLogger } from '../../src/logging/logger.js';
import type { Duolog } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';

export interface Message {
  readonly offset: number;
  readonly key: string | null;
  readonly value: Record<string, unknown> | null;
}

/** A pair whose topics and slots a test can damage. */
export interface DamagedPair extends Pair {
  readonly log: Log;
  readonly names: TopicNames;
  /** The configuration, for processes of their own. */
  readonly file: string;
  /** `duolog resync SYSTEM --json`, and what it printed. */
  ask(system: string, ...entities: readonly string[]): Promise<Record<string, unknown>>;
  /** The same with --allow-deletes. */
  askAllowingDeletes(system: string): Promise<Record<string, unknown>>;
  /** Drops the system's slot, once nobody reads it. */
  loseSlot(system: 'crm' | 'erp'): Promise<void>;
  /** All that a topic still holds. */
  read(topic: string): Promise<readonly Message[]>;
  /** Deletes the state of the sync, in Kafka and beside the process, as if it had never been. */
  loseState(): Promise<void>;
  deleteTopic(topic: string): Promise<void>;
  /** Deletes everything that a topic holds now. */
  empty(topic: string): Promise<void>;
}

export async function startDamagedPair(change: (text: string) => string = (text) => text): Promise<DamagedPair> {
  const pair = await startPair();
  const folder = await mkdtemp(join(tmpdir(), 'duolog-resync-'));
  const file = join(folder, 'duolog.yaml');
  let text = '';
  const loaded = pair.changed((original) => (text = change(original)));
  await writeFile(file, text);
  const log = await openLog(
    kafkaLogOptions(loaded.configuration.kafka, createLogger({ level: 'silent', format: 'json' })),
  );
  const names = new TopicNames(pair.prefix);
  return {
    ...pair,
    loaded,
    start: (options) => pair.start({ loaded, ...options }),
    log,
    names,
    file,
    ask: (system, ...entities) => ask(system, { config: file, entity: entities }),
    askAllowingDeletes: (system) => ask(system, { config: file, allowDeletes: true }),
    loseSlot: (system) => dropSlot(system === 'crm' ? pair.crm : pair.erp, slotName(pair.prefix, system)),
    read: (topic) => readTopic(log, pair.registry, topic),
    loseState: async () => {
      await rm(loaded.configuration.state.folder, { recursive: true, force: true });
      await deleteTopic(pair.brokers, names.state('customers'));
    },
    deleteTopic: (topic) => deleteTopic(pair.brokers, topic),
    empty: async (topic) => {
      // What was committed last may not be behind the readable end yet: nothing of it could be trimmed.
      const { earliest } = await log.bounds(topic);
      await log.trim(topic, await log.readToEnd(topic, earliest, () => undefined));
    },
    close: async () => {
      await log.close();
      await pair.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function ask(system: string, options: ResyncOptions): Promise<Record<string, unknown>> {
  let printed = '';
  const out = new Writable({ write: (chunk, _encoding, done) => ((printed += String(chunk)), done()) });
  await resync(system, options, createOutput(true, { out, error: out }));
  return JSON.parse(printed) as Record<string, unknown>;
}

async function dropSlot(pool: pg.Pool, slot: string): Promise<void> {
  const drop = async () => {
    await pool.query('SELECT pg_drop_replication_slot($1)', [slot]);
    return true;
  };
  await eventually(drop, { what: `the slot ${slot} to be let go of` });
}

async function deleteTopic(brokers: readonly string[], topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topic] });
  await eventually(async () => !(await admin.listTopics()).includes(topic));
  await admin.disconnect();
}

async function readTopic(log: Log, registry: string, topic: string): Promise<Message[]> {
  const decoder = new Decoder(new HttpSchemaRegistry({ url: registry }));
  const found: Message[] = [];
  await log.readToEnd(topic, (await log.bounds(topic)).earliest, async (records) => {
    await decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
    for (const { offset, key, value } of records) {
      found.push({
        offset,
        key: key === null ? null : keyOf(decoder.decode(key)),
        value: value === null ? null : (decoder.decode(value).value as Record<string, unknown>),
      });
    }
  });
  return found;
}

/** Waits until a task has stopped with this code, and gives its error. */
export function stopped(duolog: Duolog, task: string, code: string): Promise<DuologError> {
  return eventually(
    () => {
      const status = duolog.status().tasks.find(({ name }) => name === task);
      if (status?.error?.code === code) return status.error;
      throw new Error(`${task}: ${status?.phase} ${status?.error?.code} ${status?.error?.message}`);
    },
    { what: `${task} to stop with ${code}` },
  );
}

/** Everything that the sources have told so far is decided, first rows included: nothing more comes of it. */
export async function decided(duolog: Duolog, log: Log): Promise<void> {
  const isRead = () =>
    Object.values(duolog.status().sources).every(
      ({ phase, snapshot }) => phase === 'streaming' && Object.values(snapshot).every(({ done }) => done),
    );
  await eventually(isRead, { what: 'the rows of all tables to be read' });
  const topics = duolog.plans.flatMap(({ prefix, entities }) =>
    entities.flatMap(({ name, systems }) =>
      Object.values(systems).flatMap(({ captured, system }) =>
        captured ? [new TopicNames(prefix).change(system, name)] : [],
      ),
    ),
  );
  const ends = await Promise.all(
    topics.map(async (topic) => ({
      topic,
      end: await log.readToEnd(topic, (await log.bounds(topic)).earliest, () => undefined),
    })),
  );
  await eventually(
    () => {
      const rests = Object.values(duolog.status().rest);
      return (
        rests.every((rest) => rest?.snapshotsEnded === true) &&
        ends.every(({ topic, end }) => rests.some((rest) => (rest?.decidedTo[topic] ?? -1) >= end))
      );
    },
    { what: 'everything to be decided' },
  );
}

/** How many rows show each value of a column, where more than one do. */
export async function doubles(
  pool: pg.Pool,
  table: string,
  column: string,
  where = 'true',
): Promise<readonly unknown[]> {
  const { rows } = await pool.query<Record<string, unknown>>(
    `SELECT ${column}, count(*) FROM ${table} WHERE ${where} GROUP BY 1 HAVING count(*) > 1`,
  );
  return rows;
}

/** Every captured table of the system has been read again. */
export async function resynced(duolog: Duolog, system: string): Promise<void> {
  await eventually(async () => (await duolog.requests())?.length === 0, { what: 'the request to be taken up' });
  await eventually(() => {
    const { snapshot } = duolog.status().sources[system]!;
    const tables = Object.values(snapshot);
    return tables.length > 0 && tables.every(({ done }) => done);
  });
}
