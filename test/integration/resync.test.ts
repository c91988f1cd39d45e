import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slotName } from '../../connectors/postgres/names.js';
import { spawnDuolog } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { doubles, startDamagedPair, stopped, type DamagedPair } from './resync-fixture.js';

/** Companies V1 to V40 and people P1 to P40 on both sides. */
async function fill(pair: DamagedPair): Promise<void> {
  await pair.erp.query(
    `INSERT INTO customer (name, vat, city) SELECT 'Company ' || n, 'V' || n, 'Here' FROM generate_series(1, 40) n`,
  );
  await pair.erp.query(
    `INSERT INTO contact (name, email) SELECT 'Person ' || n, 'P' || n FROM generate_series(1, 40) n`,
  );
}

async function expectNoDoubles(pair: DamagedPair): Promise<void> {
  expect(await doubles(pair.crm, 'company', 'comp_vat', 'comp_deleted = 0')).toEqual([]);
  expect(await doubles(pair.crm, 'person', 'pers_email')).toEqual([]);
  expect(await doubles(pair.erp, 'customer', 'vat')).toEqual([]);
  expect(await doubles(pair.erp, 'contact', 'email')).toEqual([]);
}

/** The company as each side shows it. */
async function company(pair: DamagedPair, vat: string): Promise<readonly unknown[]> {
  const [crm, erp] = await Promise.all([
    pair.crm.query<Record<string, unknown>>(
      `SELECT comp_name AS name, comp_city AS city FROM company WHERE comp_vat = $1 AND comp_deleted = 0`,
      [vat],
    ),
    pair.erp.query<Record<string, unknown>>(`SELECT name, city FROM customer WHERE vat = $1`, [vat]),
  ]);
  return [crm.rows, erp.rows];
}

const both = (row: Record<string, unknown>) => [[row], [row]];
const neither = [[], []];

describe('a slot that was lost while both sides were edited', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await fill(pair);
  });
  afterAll(() => pair?.close());

  it('stops, names the command, and after it everything is equal and nothing doubled', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    await commandsWithLostOutcomes(pair);
    await editsThatNobodySees(pair);
    await pair.loseSlot('crm');
    await pair.crm.query(`UPDATE company SET comp_city = 'After' WHERE comp_vat = 'V20'`);

    const duolog = await pair.start();
    const error = await stopped(duolog, 'source crm', 'SLOT_LOST');
    expect(error.hint).toBe('Run: duolog resync crm');
    expect(await duolog.requests()).toEqual([]);
    const asked = await pair.ask('crm');
    expect(asked).toMatchObject({ system: 'crm', entities: null });
    await eventually(async () => (await duolog.requests())?.[0]?.system === 'crm');
    await duolog.stop();
    const again = await pair.start();
    await eventually(async () => (await again.requests())?.length === 0);
    await pair.equal(60_000);
    await expectNoDoubles(pair);
    await expectWhatWasEdited(pair);
  });
});

/** Commands to the crm: some carried out, their outcomes never read; some still to come. */
async function commandsWithLostOutcomes(pair: DamagedPair): Promise<void> {
  await pair.erp.query(`UPDATE customer SET city = 'Ours' WHERE vat IN ('V1', 'V2', 'V3', 'V4')`);
  await pair.erp.query(
    `INSERT INTO customer (name, vat, city) SELECT 'New ' || n, 'N' || n, 'New' FROM generate_series(1, 6) n`,
  );
  await pair.erp.query(`DELETE FROM customer WHERE vat IN ('V5', 'V6')`);
  await pair.erp.query(`DELETE FROM contact WHERE email IN ('P1', 'P2')`);
  const deciding = await pair.start({ roles: ['source', 'stream'] });
  const commands = pair.names.command('customers', 'crm');
  await eventually(
    async () => (await pair.read(commands)).filter(({ value }) => value?.['operation'] === 'delete').length >= 2,
  );
  await eventually(async () =>
    (await pair.read(commands)).some(({ value }) => JSON.stringify(value?.['set']).includes('N6')),
  );
  await deciding.stop();
  const blocker = await pair.crm.connect();
  await blocker.query('BEGIN');
  await blocker.query(`SELECT FROM company WHERE comp_vat IN ('V3', 'V4') FOR UPDATE`);
  const writing = await pair.start({ roles: ['sink'] });
  const written = async () => {
    const { rows } = await pair.crm.query(`SELECT FROM company WHERE comp_city = 'Ours' OR comp_vat ~ '^N'`);
    const { rows: people } = await pair.crm.query(`SELECT FROM person WHERE pers_email IN ('P1', 'P2')`);
    return rows.length === 8 && people.length === 0;
  };
  await eventually(written, { what: 'the commands to be carried out' });
  await writing.stop();
  await blocker.query('ROLLBACK');
  blocker.release();
}

async function editsThatNobodySees(pair: DamagedPair): Promise<void> {
  const { crm, erp } = pair;
  // Of rows that our commands wrote, and of rows that they are still to write.
  await crm.query(`UPDATE company SET comp_name = 'Edited in the crm' WHERE comp_vat IN ('V1', 'V3', 'N1')`);
  await crm.query(`UPDATE company SET comp_city = 'Moved on' WHERE comp_vat = 'V2'`);
  // Plain ones.
  await crm.query(`UPDATE company SET comp_city = 'Seen by nobody' WHERE comp_vat = 'V10'`);
  await crm.query(`UPDATE company SET comp_deleted = 1 WHERE comp_vat = 'V11'`);
  await crm.query(`INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES ('Crm only', 'C1', 'x')`);
  await crm.query(`DELETE FROM person WHERE pers_email = 'P10'`);
  await erp.query(`UPDATE customer SET name = 'Edited in the erp' WHERE vat IN ('V12', 'V2', 'N3')`);
  await erp.query(`DELETE FROM customer WHERE vat = 'V13'`);
  await erp.query(`INSERT INTO customer (name, vat) VALUES ('Erp only', 'E1')`);
  // The same thing on both sides.
  await crm.query(`INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES ('Both', 'B1', 'x')`);
  await erp.query(`INSERT INTO customer (name, vat) VALUES ('Both', 'B1')`);
  // Both edit the same field.
  await crm.query(`UPDATE company SET comp_name = 'From the crm' WHERE comp_vat = 'V14'`);
  await erp.query(`UPDATE customer SET name = 'From the erp' WHERE vat = 'V14'`);
}

async function expectWhatWasEdited(pair: DamagedPair): Promise<void> {
  expect(await company(pair, 'V1')).toEqual(both({ name: 'Edited in the crm', city: 'Ours' }));
  expect(await company(pair, 'V2')).toEqual(both({ name: 'Edited in the erp', city: 'Ours' }));
  expect(await company(pair, 'V3')).toEqual(both({ name: 'Edited in the crm', city: 'Ours' }));
  expect(await company(pair, 'V4')).toEqual(both({ name: 'Company 4', city: 'Ours' }));
  expect(await company(pair, 'V5')).toEqual(neither);
  expect(await company(pair, 'N1')).toEqual(both({ name: 'Edited in the crm', city: 'New' }));
  expect(await company(pair, 'N3')).toEqual(both({ name: 'Edited in the erp', city: 'New' }));
  expect(await company(pair, 'N4')).toEqual(both({ name: 'New 4', city: 'New' }));
  expect(await company(pair, 'V10')).toEqual(both({ name: 'Company 10', city: 'Seen by nobody' }));
  expect(await company(pair, 'V11')).toEqual(neither);
  expect(await company(pair, 'V12')).toEqual(both({ name: 'Edited in the erp', city: 'Here' }));
  expect(await company(pair, 'V13')).toEqual(neither);
  expect(await company(pair, 'V20')).toEqual(both({ name: 'Company 20', city: 'After' }));
  expect(await company(pair, 'C1')).toEqual(both({ name: 'Crm only', city: null }));
  expect(await company(pair, 'E1')).toEqual(both({ name: 'Erp only', city: null }));
  expect(await company(pair, 'B1')).toEqual(both({ name: 'Both', city: null }));
  const told = await pair.read(pair.names.decision('company'));
  const texts = told.map(({ value }) => JSON.stringify(value));
  // Nobody can tell whether that edit had seen ours: it gives way, and is told.
  expect(texts.some((text) => text.includes('Moved on') && text.includes('Ours'))).toBe(true);
  expect(texts.some((text) => text.includes('From the crm') && text.includes('From the erp'))).toBe(true);
}

describe('a slot that somebody else has read from', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await fill(pair);
  });
  afterAll(() => pair?.close());

  it('is found out, and after the resync everything is equal', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    await pair.crm.query(`UPDATE company SET comp_city = 'Read by another' WHERE comp_vat < 'V2'`);
    await pair.crm.query(`DELETE FROM person WHERE pers_email < 'P2'`);
    await pair.erp.query(`UPDATE customer SET name = 'Meanwhile' WHERE vat = 'V30'`);
    const advance = async () => {
      await pair.crm.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [
        slotName(pair.prefix, 'crm'),
      ]);
      return true;
    };
    await eventually(advance);
    const duolog = await pair.start();
    expect(await stopped(duolog, 'source crm', 'SLOT_LOST')).toMatchObject({
      hint: 'Run: duolog resync crm',
      message: expect.stringContaining('somebody else has read from it') as string,
    });
    await pair.ask('crm', 'company');
    await duolog.stop();
    // Only the companies were asked for, but the people are lost as well.
    await pair.start();
    await pair.equal(60_000);
    await expectNoDoubles(pair);
  });
});

describe('a resync that is killed', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await fill(pair);
  });
  afterAll(() => pair?.close());

  it('is refused under a name that the configuration does not have', async () => {
    const wrongs = [
      [['resync', 'crn', '--json'], 'Did you mean \\"crm\\"?'],
      [['resync', 'crm', '--json', '--entity', 'compani'], 'Did you mean \\"company\\"?'],
      [['resync'], "missing required argument 'system'"],
    ] as const;
    for (const [words, answer] of wrongs) {
      const refused = await spawnDuolog(pair.file, words);
      expect((await refused.exited).code).toBe(2);
      expect(refused.output()).toContain(answer);
    }
  });

  it('goes on at every step, and everything is equal', { timeout: 240_000 }, async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    const points = [
      'source.open.after-system=kill',
      'source.commit.after-end=kill',
      'source.snapshot.after-chunk=kill',
      'stream.commit.before-end=kill@2',
    ];
    for (const [round, point] of points.entries()) {
      await pair.erp.query(`UPDATE customer SET city = $1 WHERE vat < 'V2'`, [point]);
      await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ($1, $1)`, [`E${round}`]);
      await pair.crm.query(`UPDATE company SET comp_name = $1 WHERE comp_vat > 'V3'`, [point]);
      await pair.crm.query(`DELETE FROM person WHERE pers_email = (SELECT min(pers_email) FROM person)`);
      if (round % 3 === 0) {
        await pair.loseSlot('crm');
        await pair.ask('crm');
      }
      const killed = await spawnDuolog(pair.file, ['run'], { DUOLOG_FAIL_POINTS: point });
      expect((await killed.exited).signal).toBe('SIGKILL');
    }
    await pair.start();
    await pair.equal(90_000);
    await expectNoDoubles(pair);
  });
});

describe('a state that is gone, in Kafka and beside the process', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await fill(pair);
  });
  afterAll(() => pair?.close());

  it('begins anew from the rows of all systems, linked again by match values', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    for (const system of ['crm', 'erp']) {
      for (const entity of ['company', 'person']) await pair.empty(pair.names.change(system, entity));
    }
    await pair.loseState();
    await pair.crm.query(`UPDATE company SET comp_city = 'Later' WHERE comp_vat = 'V1'`);
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('Late', 'L1')`);
    const duolog = await pair.start();
    const error = await stopped(duolog, 'stream customers', 'HISTORY_MISSING');
    expect(error.hint.split('; ').sort()).toEqual(['Run: duolog resync crm', 'duolog resync erp']);
    await pair.ask('crm');
    await pair.ask('erp');
    await duolog.stop();
    await pair.start();
    await pair.equal(60_000);
    await expectNoDoubles(pair);
    const live = async () => {
      const byLink = new Map((await pair.read(pair.names.canonical('company'))).map(({ key, value }) => [key, value]));
      return [...byLink.values()].filter((value) => value !== null).length;
    };
    const { rows } = await pair.erp.query('SELECT FROM customer');
    await eventually(async () => (await live()) === rows.length);
  });
});
