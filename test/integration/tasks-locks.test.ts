import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';

/** Long enough for a locked command to be tried, and its topic to be trimmed, several times. */
const SEVERAL_TRIES_MS = 2_000;

let pair: Pair;
beforeEach(async () => {
  pair = await startPair();
});
afterEach(() => pair.close());

it('a command whose row a user has locked survives trimming and an orderly restart', async () => {
  const loaded = pair.changed((text) => `${text}limits: { trimEvery: 100ms }\n`);
  await pair.erp.query(
    `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 5) n`,
  );
  const first = await pair.start({ loaded });
  await pair.equal();
  const user = await pair.crm.connect();
  try {
    await user.query(`BEGIN; SELECT FROM company WHERE comp_vat = 'V3' FOR UPDATE`);
    await pair.erp.query(`UPDATE customer SET city = 'Bergen' WHERE vat = 'V3'`);
    const deferred = async () =>
      (await first.metrics.registry.metrics()).match(/^duolog_commands_deferred\{.*crm.*\} 1$/m);
    await eventually(deferred, { what: 'the command to be deferred' });
    await delay(SEVERAL_TRIES_MS);
    await first.stop();
    await user.query('ROLLBACK');
  } finally {
    user.release();
  }
  await pair.start({ loaded });
  await pair.equal();
  const { rows } = await pair.crm.query(`SELECT comp_city FROM company WHERE comp_vat = 'V3'`);
  expect(rows).toEqual([{ comp_city: 'Bergen' }]);
});

it('at its bound a sink waits for the command whose row a user has locked, and goes on when the lock goes', async () => {
  const loaded = pair.changed((text) => `${text}limits: { answeredAhead: 10, batchRecords: 5 }\n`);
  await pair.erp.query(
    `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 60) n`,
  );
  const duolog = await pair.start({ loaded });
  await pair.equal();
  const metric = async (name: string, ...labels: readonly string[]): Promise<number> => {
    const lines = (await duolog.metrics.registry.metrics()).split('\n');
    const isMeant = (line: string) => ['crm', ...labels].every((label) => line.includes(`"${label}"`));
    const line = lines.find((one) => one.startsWith(`${name}{`) && isMeant(one));
    return Number(line?.split(' ').at(-1));
  };
  /** In one look: commands that the target counts as answered above the lowest unanswered one, and rows written. */
  const look = async () =>
    (
      await pair.crm.query<{ ahead: number; written: number }>(
        `SELECT cardinality(answered) AS ahead, written FROM duolog.sink,
           (SELECT count(*)::int AS written FROM company WHERE comp_city = 'Bergen') AS company`,
      )
    ).rows[0]!;
  const waits = async () =>
    (await metric('duolog_commands_deferred')) === 1 && (await metric('duolog_commands_in_flight')) === 1;
  const user = await pair.crm.connect();
  try {
    await user.query(`BEGIN; SELECT FROM company WHERE comp_vat = 'V1' FOR UPDATE`);
    await pair.erp.query(`UPDATE customer SET city = 'Bergen' WHERE vat = 'V1'`);
    await eventually(waits, { what: 'the command to be deferred' });
    await pair.erp.query(`UPDATE customer SET city = 'Bergen' WHERE vat <> 'V1'`);
    // Full: nine answered and the one that waits; what was read while there was room is answered too.
    await eventually(async () => (await look()).ahead >= 9 && (await waits()), { what: 'the bound' });
    await delay(SEVERAL_TRIES_MS);
    const stopped = await look();
    expect(stopped.ahead).toBeLessThan(10 + 5);
    expect(stopped.written).toBe(stopped.ahead);
    expect(await waits()).toBe(true);
    expect(await metric('duolog_lag_seconds', 'sink')).toBeGreaterThan(0);
    await user.query('ROLLBACK');
  } finally {
    user.release(true);
  }
  await pair.equal(120_000);
  await eventually(async () => (await look()).ahead === 0, { what: 'nothing to be answered ahead' });
  expect((await look()).written).toBe(60);
});
