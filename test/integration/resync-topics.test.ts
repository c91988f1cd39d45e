import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpSchemaRegistry } from '../../src/avro/registry.js';
import { RequestReader } from '../../src/tasks/resync/requests.js';
import { eventually } from '../support/eventually.js';
import { decided, doubles, resynced, startDamagedPair, stopped, type DamagedPair } from './resync-fixture.js';

async function fill(pair: DamagedPair): Promise<void> {
  await pair.erp.query(
    `INSERT INTO customer (name, vat, city) SELECT 'Company ' || n, 'V' || n, 'Here' FROM generate_series(1, 30) n`,
  );
  await pair.crm.query(
    `INSERT INTO person (pers_name, pers_email) SELECT 'Person ' || n, 'P' || n FROM generate_series(1, 30) n`,
  );
}

async function edit(pair: DamagedPair, round: string): Promise<void> {
  const { crm, erp } = pair;
  await crm.query(`UPDATE company SET comp_city = $1 WHERE comp_vat IN ('V1', 'V2', 'V3')`, [`crm ${round}`]);
  await crm.query(`INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES ($1, $1, 'x')`, [`crm ${round}`]);
  await crm.query(`DELETE FROM person WHERE pers_email = (SELECT min(pers_email) FROM person)`);
  await erp.query(`UPDATE customer SET name = $1 WHERE vat IN ('V3', 'V4', 'V5')`, [`erp ${round}`]);
  await erp.query(`INSERT INTO customer (name, vat) VALUES ($1, $1)`, [`erp ${round}`]);
  await erp.query(`DELETE FROM customer WHERE vat = (SELECT max(vat) FROM customer WHERE vat LIKE 'V%')`);
}

async function expectNoDoubles({ crm, erp }: DamagedPair): Promise<void> {
  expect(await doubles(crm, 'company', 'comp_vat', 'comp_deleted = 0')).toEqual([]);
  expect(await doubles(crm, 'person', 'pers_email')).toEqual([]);
  expect(await doubles(erp, 'customer', 'vat')).toEqual([]);
  expect(await doubles(erp, 'contact', 'email')).toEqual([]);
}

/** Starts after a resync was asked for: both sides become equal, and stay so once the system has been read again. */
async function expectEqualAfterResync(pair: DamagedPair, asked: string): Promise<void> {
  const duolog = await pair.start();
  await pair.equal();
  await resynced(duolog, asked);
  await pair.equal();
  await expectNoDoubles(pair);
  await duolog.stop();
}

describe('topics that lose what was not read yet', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await fill(pair);
    const duolog = await pair.start();
    await pair.equal();
    await duolog.stop();
  });
  afterAll(() => pair?.close());

  it('a change topic, before the stream task: a stop that names the resync, and after it equal', async () => {
    await edit(pair, 'one');
    const topics = [pair.names.change('crm', 'company'), pair.names.change('crm', 'person')];
    const before = await Promise.all(topics.map((topic) => pair.log.bounds(topic)));
    const reading = await pair.start({ roles: ['source'] });
    const grown = async () => {
      const now = await Promise.all(topics.map((topic) => pair.log.bounds(topic)));
      return now.every(({ end }, at) => end > before[at]!.end);
    };
    await eventually(grown);
    await reading.stop();
    for (const topic of topics) await pair.empty(topic);

    const duolog = await pair.start();
    const error = await stopped(duolog, 'stream customers', 'HISTORY_MISSING');
    expect(error.hint).toBe('Run: duolog resync crm');
    expect(error.message).toContain(topics[0]);
    // Not enough: the people are missing, too.
    await pair.ask('crm', 'company');
    await duolog.stop();
    const partly = await pair.start();
    await stopped(partly, 'stream customers', 'HISTORY_MISSING');
    await partly.stop();
    await pair.ask('crm');
    await expectEqualAfterResync(pair, 'crm');
  });

  it('a command topic, before the sink: a stop that names the resync, and after it equal', async () => {
    await edit(pair, 'two');
    const topic = pair.names.command('customers', 'crm');
    const deciding = await pair.start({ roles: ['source', 'stream'] });
    const inserted = async () =>
      (await pair.read(topic)).some(({ value }) => JSON.stringify(value?.['set']).includes('erp two'));
    await eventually(inserted);
    const deleted = async () => (await pair.read(topic)).some(({ value }) => value?.['operation'] === 'update');
    await eventually(deleted);
    await deciding.stop();
    await pair.empty(topic);

    const duolog = await pair.start();
    const error = await stopped(duolog, 'sink customers crm', 'HISTORY_MISSING');
    expect(error.hint).toBe('Run: duolog resync crm');
    await pair.ask('crm');
    await duolog.stop();
    const again = await pair.start();
    await pair.equal();
    await expectNoDoubles(pair);
    await again.stop();
  });

  it('a command topic, where the target is of a time before the state began: likewise', async () => {
    const { crm, erp } = pair;
    const topic = pair.names.command('customers', 'crm');
    await crm.query(`CREATE TABLE backup AS SELECT comp_id, comp_city FROM company`);
    const working = await pair.start();
    await erp.query(`UPDATE customer SET city = 'Told since' WHERE vat IN ('V3', 'V4')`);
    await erp.query(`INSERT INTO customer (name, vat) VALUES ('Told since', 'S1')`);
    await pair.equal();
    await working.stop();
    await pair.empty(topic);
    // The backup is put back: its slot is not in it.
    await pair.loseSlot('crm');
    await crm.query(`DELETE FROM company WHERE comp_id NOT IN (SELECT comp_id FROM backup)`);
    await crm.query(`UPDATE company SET comp_city = b.comp_city FROM backup b WHERE b.comp_id = company.comp_id`);
    await crm.query(`UPDATE duolog.sink SET birth = 'before', lowest = 3, answered = '{}' WHERE system = 'crm'`);

    const duolog = await pair.start();
    const error = await stopped(duolog, 'sink customers crm', 'HISTORY_MISSING');
    expect(error.message).toContain(topic);
    expect(error.hint).toBe('Run: duolog resync crm');
    await pair.ask('crm');
    await duolog.stop();
    await expectEqualAfterResync(pair, 'crm');
  });

  it('nothing at all, where the target is of a time before the state began: a target like any other', async () => {
    const topic = pair.names.command('customers', 'crm');
    await pair.loseState();
    await pair.empty(topic);
    const { earliest } = await pair.log.bounds(topic);
    expect(earliest).toBeGreaterThan(0);
    const duolog = await pair.start();
    await pair.erp.query(`UPDATE customer SET city = 'By the new state' WHERE vat = 'V4'`);
    await pair.equal();
    await duolog.stop();
  });

  it('nothing: a resync of what is right changes nothing and sends no command', async () => {
    const duolog = await pair.start();
    await pair.equal();
    // Equal tables say nothing of what was read and not decided yet.
    await decided(duolog, pair.log);
    const topics = ['company', 'person'].flatMap((entity) => [
      pair.names.canonical(entity),
      pair.names.decision(entity),
      pair.names.hold(entity),
    ]);
    topics.push(pair.names.command('customers', 'crm'), pair.names.command('customers', 'erp'));
    const ends = () =>
      Promise.all(
        topics.map(async (topic) =>
          pair.log.readToEnd(topic, (await pair.log.bounds(topic)).earliest, () => undefined),
        ),
      );
    const before = await ends();
    await pair.ask('crm');
    await pair.ask('erp', 'person');
    await resynced(duolog, 'crm');
    await resynced(duolog, 'erp');
    // What comes behind the rows has been decided: so have they.
    await pair.crm.query(`UPDATE company SET comp_city = 'Later' WHERE comp_vat = 'V1'`);
    await pair.equal();
    const told = await pair.read(pair.names.change('crm', 'company'));
    expect(told.filter(({ value }) => value?.['end'] === 'gap').length).toBeGreaterThan(0);
    const after = await ends();
    const grown = topics.filter((_, at) => after[at]! > before[at]!);
    expect(grown.sort()).toEqual([pair.names.canonical('company'), pair.names.command('customers', 'erp')].sort());
    await duolog.stop();
  });
});

describe('topics that are deleted and made again', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await fill(pair);
    const duolog = await pair.start();
    await pair.equal();
    // What was asked for before they were deleted does not count.
    await pair.ask('crm');
    await resynced(duolog, 'crm');
    await edit(pair, 'one');
    await pair.equal();
    await duolog.stop();
  });
  afterAll(() => pair?.close());

  it('stop their readers until a resync is asked for, and after it everything is equal', async () => {
    await edit(pair, 'two');
    const deciding = await pair.start({ roles: ['source', 'stream'] });
    const commands = pair.names.command('customers', 'crm');
    await eventually(async () =>
      (await pair.read(commands)).some(({ value }) => JSON.stringify(value?.['set']).includes('erp two')),
    );
    await deciding.stop();
    await pair.deleteTopic(commands);
    await pair.deleteTopic(pair.names.change('crm', 'person'));

    const duolog = await pair.start();
    expect((await stopped(duolog, 'stream customers', 'HISTORY_MISSING')).hint).toBe('Run: duolog resync crm');
    expect((await stopped(duolog, 'sink customers crm', 'HISTORY_MISSING')).hint).toBe('Run: duolog resync crm');
    await pair.ask('crm');
    await duolog.stop();
    const again = await pair.start();
    await pair.equal();
    await expectNoDoubles(pair);
    await again.stop();
  });

  it('are read from their start where they are the requests themselves', async () => {
    const { log, names, registry } = pair;
    const reader = new RequestReader({ log, topics: names, registry: new HttpSchemaRegistry({ url: registry }) });
    const told = (wanted: readonly (readonly [system: string, id: unknown])[]) =>
      eventually(async () => {
        expect((await reader.pending()).map(({ system, id }) => [system, id])).toEqual(wanted);
        return true;
      });
    const { request: former } = await pair.ask('crm');
    await told([['crm', former]]);
    await pair.deleteTopic(names.request());
    const { request } = await pair.ask('erp');
    await told([['erp', request]]);
    expect(await reader.last('crm')).toBeNull();
    const duolog = await pair.start();
    await resynced(duolog, 'erp');
  });
});

describe('a target that is not captured', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair((text) =>
      text.replaceAll(/(table: public\.(company|person)\n)/g, '$1            capture: false\n'),
    );
    await pair.erp.query(
      `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 20) n`,
    );
    const duolog = await pair.start();
    await pair.equal();
    await duolog.stop();
  });
  afterAll(() => pair?.close());

  it('is asked again what became of commands that were deleted', async () => {
    await pair.erp.query(`UPDATE customer SET city = 'New' WHERE vat IN ('V1', 'V2')`);
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('Late', 'L1')`);
    await pair.erp.query(`DELETE FROM customer WHERE vat = 'V20'`);
    const topic = pair.names.command('customers', 'crm');
    const { end } = await pair.log.bounds(topic);
    const deciding = await pair.start({ roles: ['source', 'stream'] });
    await eventually(async () => (await pair.read(topic)).filter(({ offset }) => offset >= end).length >= 4);
    await deciding.stop();
    await pair.empty(topic);
    const duolog = await pair.start();
    await stopped(duolog, 'sink customers crm', 'HISTORY_MISSING');
    await pair.ask('crm');
    await duolog.stop();
    await pair.start();
    await pair.equal();
    expect(await doubles(pair.crm, 'company', 'comp_vat', 'comp_deleted = 0')).toEqual([]);
  });
});
