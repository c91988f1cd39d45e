import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type LocalPostgres } from '../../deploy/dev/stack.js';
import { armFailPoints, FAIL_POINTS, type FailPoint } from '../../src/failpoints.js';
import type { Duolog } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { openPool } from '../support/shared.js';
import { startPair, type Pair } from './tasks-fixture.js';

/** Edits on both sides, so that every task has something to commit. */
async function edit(pair: Pair, round: string): Promise<void> {
  await Promise.all([
    pair.crm.query(`UPDATE company SET comp_city = $1 WHERE comp_vat LIKE 'V%'`, [`crm ${round}`]),
    pair.erp.query(`UPDATE customer SET name = name || $1 WHERE vat LIKE 'V%'`, [`, ${round}`]),
    pair.erp.query(`INSERT INTO customer (name, vat) VALUES ($1, $1) ON CONFLICT DO NOTHING`, [`new ${round}`]),
  ]);
}

async function fill(pair: Pair): Promise<void> {
  await pair.erp.query(
    `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 50) n`,
  );
}

function restarts(duolog: Duolog): number {
  return duolog.status().tasks.reduce((sum, task) => sum + task.restarts, 0);
}

describe('a task that breaks off', () => {
  let pair: Pair;
  let duolog: Duolog;

  beforeAll(async () => {
    pair = await startPair();
    await fill(pair);
    duolog = await pair.start();
    await pair.equal();
  });
  afterAll(async () => {
    armFailPoints('');
    await pair?.close();
  });

  // Points that this configuration never passes: a snapshot is over, all is captured, nothing is trimmed so soon.
  const passed = FAIL_POINTS.filter(
    (point) =>
      !/snapshot|open|trim|^sink\.publish|source\.commit\.after-offsets|stream\.commit\.after-offsets/.test(point),
  );

  it.each(passed)('at %s goes on, and both sides are equal', async (point: FailPoint) => {
    const before = restarts(duolog);
    armFailPoints(`${point}=throw`);
    // More than once: the local store is only written every so many transactions.
    const edited = async () => {
      await edit(pair, point);
      return restarts(duolog) > before;
    };
    await eventually(edited, { what: `a restart by ${point}`, intervalMs: 200 });
    await pair.equal();
    const { rows } = await pair.crm.query<{ count: string }>(
      `SELECT count(*) FROM company WHERE comp_vat = $1 AND comp_deleted = 0`,
      [`new ${point}`],
    );
    expect(rows[0]!.count).toBe('1');
  });
});

describe('a process that stops and another that starts', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await startPair();
    await fill(pair);
  });
  afterAll(() => pair?.close());

  it('goes on where the other was, with a standby or without', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    await edit(pair, 'while nobody runs');
    const second = await pair.start();
    await pair.equal();
    const third = await pair.start();
    await eventually(() => third.status().tasks.every(({ phase }) => phase === 'waiting'));
    await edit(pair, 'with a standby');
    await second.stop();
    await edit(pair, 'after the standby took over');
    await pair.equal();
    expect(third.status().tasks.map(({ phase }) => phase)).toEqual(Array(5).fill('running'));
  });
});

describe('a target that goes away', () => {
  let pair: Pair;
  let server: LocalPostgres;
  let crm: pg.Pool;

  beforeAll(async () => {
    pair = await startPair();
    server = await startPostgres({ version: 18 });
    crm = openPool(server.url('postgres'), 2);
    await crm.query(`CREATE TABLE company (comp_id bigserial PRIMARY KEY, comp_name text NOT NULL, comp_vat text UNIQUE,
      comp_city text, comp_credit numeric(12,2), comp_territory text NOT NULL, comp_deleted int NOT NULL DEFAULT 0);
      ALTER TABLE company REPLICA IDENTITY FULL;
      CREATE TABLE person (pers_id bigserial PRIMARY KEY, pers_company bigint, pers_name text NOT NULL, pers_email text);
      ALTER TABLE person REPLICA IDENTITY FULL;
      CREATE TABLE written (number bigserial PRIMARY KEY, vat text, city text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO written (vat, city) VALUES (NEW.comp_vat, NEW.comp_city); RETURN NULL; END $$;
      CREATE TRIGGER note AFTER INSERT OR UPDATE ON company FOR EACH ROW EXECUTE FUNCTION note()`);
  });
  afterAll(async () => {
    await pair?.close();
    await crm?.end();
    await server?.destroy();
  });

  it('is waited for: nothing is lost and the order is kept', async () => {
    const loaded = pair.changed((text) => text.replace(pair.crmDatabase.url, server.url('postgres')));
    await fill(pair);
    const duolog = await pair.start({ loaded });
    const cities = async () => (await crm.query(`SELECT comp_name, comp_city FROM company ORDER BY comp_vat`)).rows;
    await eventually(async () => (await cities()).length === 50);
    await server.stop('immediate');
    for (let round = 0; round < 5; round++) {
      await pair.erp.query(`UPDATE customer SET city = $1`, [`round ${round}`]);
    }
    await pair.erp.query(`UPDATE customer SET name = 'Last' WHERE vat = 'V7'`);
    await eventually(() => restarts(duolog) > 0);
    await server.start();
    await eventually(
      async () => {
        const rows = await cities();
        return (
          rows.every(({ comp_city }) => comp_city === 'round 4') && rows.some(({ comp_name }) => comp_name === 'Last')
        );
      },
      { timeoutMs: 60_000 },
    );
    // Values between may be left out, since the last one stands; none comes after a later one, and none comes twice.
    const { rows: written } = await crm.query<{ cities: string[] }>(
      `SELECT array_agg(city ORDER BY number) AS cities FROM written WHERE city LIKE 'round%' AND vat <> 'V7' GROUP BY vat`,
    );
    expect(written).toHaveLength(49);
    for (const { cities: inOrder } of written) expect(inOrder).toEqual([...new Set(inOrder)].sort());
  });
});
