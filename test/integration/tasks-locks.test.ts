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
