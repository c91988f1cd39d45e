import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kafkaLogOptions } from '../../src/config/kafka-connection.js';
import { openLog } from '../../src/kafka/index.js';
import type { Log } from '../../src/log/contract.js';
import { TopicNames } from '../../src/log/topics.js';
import type { Duolog } from '../../src/runtime.js';
import { createLogger } from '../../src/logging/logger.js';
import { topicSpecs } from '../../src/tasks/topic-specs.js';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';
import { topicRecords, type TopicRecord } from './topic-records.js';

const logger = createLogger({ level: 'silent', format: 'json' });

/** What a read-committed subscriber finds in a topic. */
const read = (log: Log, pair: Pair, topic: string) => topicRecords(log, pair.registry, topic);

/** The last message of each key: what compaction leaves. */
function last(messages: readonly TopicRecord[]): TopicRecord['value'][] {
  return [...new Map(messages.map(({ key, value }) => [key, value])).values()].filter((value) => value !== null);
}

describe('topics for subscribers', () => {
  let pair: Pair;
  let log: Log;
  let names: TopicNames;

  beforeAll(async () => {
    pair = await startPair();
    log = await openLog(kafkaLogOptions(pair.loaded.configuration.kafka, logger));
    names = new TopicNames(pair.prefix);
    await pair.erp.query(`INSERT INTO customer (name, vat, city, credit) VALUES ('Alfreds', 'DE1', 'Berlin', 12.5)`);
  });
  afterAll(async () => {
    await log?.close();
    await pair?.close();
  });

  it('name the winner and the loser of a conflict, with every value', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    await pair.crm.query(`UPDATE company SET comp_city = 'Wien' WHERE comp_vat = 'DE1'`);
    await pair.erp.query(`UPDATE customer SET city = 'Bern' WHERE vat = 'DE1'`);
    const second = await pair.start();
    await eventually(async () => {
      const { rows } = await pair.crm.query<{ comp_city: string }>(
        `SELECT comp_city FROM company WHERE comp_vat = 'DE1'`,
      );
      return rows[0]?.comp_city === 'Bern';
    });
    await pair.equal();
    await second.stop();
    const conflicts = (await read(log, pair, names.decision('company'))).filter(
      ({ value }) => value?.['decision'] === 'conflict',
    );
    expect(conflicts).toHaveLength(1);
    expect(conflicts[0]!.value).toMatchObject({
      entity: 'company',
      winner: 'erp',
      fields: [{ field: 'city', agreed: 'Berlin' }],
    });
    const sides = (conflicts[0]!.value!['fields'] as { sides: { system: string; value: unknown }[] }[])[0]!.sides;
    expect(Object.fromEntries(sides.map(({ system, value }) => [system, value]))).toEqual({ crm: 'Wien', erp: 'Bern' });
  });

  it('hold the agreed record typed, and nothing once it is deleted', async () => {
    const [company] = last(await read(log, pair, names.canonical('company')));
    expect(company).toMatchObject({
      fields: { name: 'Alfreds', vat: 'DE1', city: 'Bern', credit: '12.50' },
      keys: { crm: expect.any(String), erp: expect.any(String) },
      set: { city: { system: 'erp' } },
    });
    const duolog = await pair.start();
    await pair.erp.query(`DELETE FROM customer WHERE vat = 'DE1'`);
    await eventually(async () => last(await read(log, pair, names.canonical('company'))).length === 0);
    await duolog.stop();
  });

  it('tell every change once, in order, with our own writes marked', async () => {
    const messages = (await read(log, pair, names.change('crm', 'company'))).map(({ value }) => value!);
    const positions = messages.map(({ position }) => position as string);
    expect(positions).toEqual([...new Set(positions)].sort());
    const inserts = messages.filter(({ op }) => op === 'insert');
    expect(inserts).toHaveLength(1);
    expect(inserts[0]).toMatchObject({ origin: { sync: 'customers' }, after: { comp_territory: 'Worldwide' } });
  });
});

describe('at rest', () => {
  let pair: Pair;
  let duolog: Duolog;
  let log: Log;
  beforeAll(async () => {
    pair = await startPair();
    log = await openLog(kafkaLogOptions(pair.loaded.configuration.kafka, logger));
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('Alfreds', 'DE1')`);
    duolog = await pair.start();
    await pair.equal();
  });
  afterAll(async () => {
    await log?.close();
    await pair?.close();
  });

  it('every topic but that of the heartbeats is silent, and a heartbeat costs no commit', async () => {
    const heartbeats = async () => (await log.bounds(new TopicNames(pair.prefix).heartbeat())).end;
    const grow = async () => {
      const before = await heartbeats();
      await eventually(async () => (await heartbeats()) >= before + 4);
    };
    const topics = topicSpecs(duolog.plans, 0).map(({ name }) => name);
    const ends = async () => {
      const entries = topics
        .filter((name) => !name.endsWith('.heartbeat'))
        .map(async (name) => [name, (await log.bounds(name)).end]);
      return Object.fromEntries(await Promise.all(entries)) as Record<string, number>;
    };
    await grow();
    const before = await ends();
    await grow();
    expect(await ends()).toEqual(before);
  });

  it('no task is behind, and every one has told what it did', async () => {
    const shown = async (name: string) => {
      const lines = (await duolog.metrics.registry.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));
      const entries = lines.map((line) => [
        /stage="(\w*)",sync="(\w*)",system="(\w*)"/.exec(line)?.slice(1).join(' ').trim(),
        Number(line.split(' ').at(-1)),
      ]);
      return Object.fromEntries(entries) as Record<string, number>;
    };
    const caughtUp = { 'source  crm': 0, 'source  erp': 0, 'sink customers crm': 0, 'sink customers erp': 0 };
    await pair.erp.query(`UPDATE customer SET city = 'Ulm'`);
    await pair.equal();
    await eventually(async () => {
      const lag = await shown('duolog_lag_seconds');
      expect(lag).toMatchObject(caughtUp);
      expect(lag).toEqual(Object.fromEntries(Object.keys(lag).map((task) => [task, 0])));
      return Object.keys(lag).some((task) => task.startsWith('stream customers'));
    });
    for (const task of ['source  erp', 'stream customers', 'sink customers crm'])
      expect((await shown('duolog_records_total'))[task]).toBeGreaterThan(0);
  });
});

describe('what nobody reads any more', () => {
  let pair: Pair;
  let log: Log;
  beforeAll(async () => {
    pair = await startPair();
    log = await openLog(kafkaLogOptions(pair.loaded.configuration.kafka, logger));
  });
  afterAll(async () => {
    await log?.close();
    await pair?.close();
  });

  it('is trimmed: commands once answered, changes after their time; and the state is found again', async () => {
    const text = (of: string) => `${of}\nretention: { changes: 1s }\nlimits: { trimEvery: 1s }\n`;
    const loaded = pair.changed(text);
    const names = new TopicNames(pair.prefix);
    const first = await pair.start({ loaded });
    const trimmed = async (topic: string) => {
      await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('x', gen_random_uuid()::text)`);
      return (await log.bounds(topic)).earliest > 0;
    };
    await eventually(() => trimmed(names.command('customers', 'crm')), { intervalMs: 300 });
    await eventually(() => trimmed(names.change('erp', 'company')), { intervalMs: 300 });
    await first.stop();
    await rm(loaded.configuration.state.folder, { recursive: true });
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('after', 'after')`);
    await pair.start({ loaded });
    await pair.equal();
    const { rows } = await pair.crm.query<{ count: string }>('SELECT count(*) FROM company');
    const { rows: others } = await pair.erp.query<{ count: string }>('SELECT count(*) FROM customer');
    expect(rows).toEqual(others);
  });
});
