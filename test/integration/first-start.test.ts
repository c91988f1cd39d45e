import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agree, compare } from '../../examples/northwind/compare.js';
import { loadCrm, loadErp } from '../../examples/northwind/load.js';
import { createLogger } from '../../src/logging/logger.js';
import { startDuolog } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { exampleConfiguration } from '../support/example-configuration.js';
import { type FreshDatabase, freshDatabase, openPool, testedPostgres } from '../support/shared.js';
import { companyPair, duolog, type CompanyPair } from './cli-fixture.js';

describe('a second first start on databases that agree already', () => {
  let databases: FreshDatabase[];
  let erp: pg.Pool;
  let crm: pg.Pool;
  let folder: string;

  beforeAll(async () => {
    databases = await Promise.all([freshDatabase(testedPostgres[0]), freshDatabase(testedPostgres.at(-1))]);
    erp = openPool(databases[0]!.url);
    crm = openPool(databases[1]!.url);
    folder = await mkdtemp(join(tmpdir(), 'duolog-first-start-'));
    await Promise.all([loadErp(databases[0]!.url), loadCrm(databases[1]!.url)]);
  }, 240_000);

  afterAll(async () => {
    await Promise.all([erp?.end(), crm?.end()]);
    await Promise.all((databases ?? []).map((database) => database.drop()));
    await rm(folder, { recursive: true, force: true });
  });

  /** The example's configuration under a new prefix, until everything is decided and both sides are equal. */
  async function bringTogether(): Promise<void> {
    const loaded = await exampleConfiguration(databases[0]!.url, databases[1]!.url, folder);
    const logger = createLogger({ level: 'silent', format: 'json' });
    const running = await startDuolog(loaded, { roles: ['source', 'stream', 'sink'], logger });
    try {
      const decided = () => running.status().rest['trade']?.snapshotsEnded === true;
      await eventually(async () => decided() && agree(await compare(erp, crm)) && decided(), {
        what: 'everything to be decided and equal',
        timeoutMs: 90_000,
      });
      expect(running.status().holds['trade']).toEqual({});
    } finally {
      await running.stop();
    }
  }

  it('doubles nothing: every entity of the example finds its records again', { timeout: 240_000 }, async () => {
    await bringTogether();
    const before = await compare(erp, crm);
    expect(before.find(({ entity }) => entity === 'order_line')).toMatchObject({ inErp: 2155, inCrm: 2155 });
    const written = await writes();
    await bringTogether();
    expect(await compare(erp, crm)).toEqual(before);
    expect(await writes()).toEqual(written);
    const { rows } = await crm.query('SELECT count(*)::int AS lines FROM order_item');
    expect(rows).toEqual([{ lines: 2155 }]);
  });

  /** The transaction that wrote each row last: unchanged if nothing was written. */
  async function writes(): Promise<string> {
    const tables = ['company', 'person', 'product', 'orders', 'order_item'];
    const texts = tables.map(
      (table) => `SELECT '${table}' AS name, xmin::text, count(*)::text FROM ${table} GROUP BY 2`,
    );
    const { rows } = await crm.query(`${texts.join(' UNION ALL ')} ORDER BY 1, 2`);
    return JSON.stringify(rows);
  }
});

describe('an entity without a match rule', () => {
  let pair: CompanyPair;
  beforeAll(async () => {
    pair = await companyPair();
  }, 240_000);
  afterAll(() => pair.close());

  async function counts(): Promise<readonly unknown[]> {
    const statements = [
      pair.crm.query('SELECT count(*)::int FROM company'),
      pair.erp.query('SELECT count(*)::int FROM customer'),
    ];
    return (await Promise.all(statements)).map(({ rows }) => (rows[0] as { readonly count: number }).count);
  }

  it('is warned of by check and not started on tables that have rows', async () => {
    await pair.configure((text) => text.replace('match: [{ on: [vat] }]', 'match: []'));
    const checked = await duolog(pair, 'check');
    expect(checked.text).toMatch(/! no-match: .*duolog\.yaml:\d+:\d+ .*public\.company in crm/);
    expect(checked.code, checked.text).toBe(0);
    for (const words of [['run'], ['run', '--observe']]) {
      const { code, text } = await duolog(pair, ...words);
      expect(text).toContain('TARGET_NOT_EMPTY');
      expect(text).toContain('public.customer in erp (entity company: the entity has no match rule)');
      expect(code).toBe(1);
    }
    expect(await counts()).toEqual([3, 3]);
  });

  it('is not captured: matching cannot work there, which is said', async () => {
    await pair.configure((text) => text.replace('table: public.customer,', 'table: public.customer, capture: false,'));
    const { text } = await duolog(pair, 'run');
    expect(text).toContain('TARGET_NOT_EMPTY');
    expect(text).toContain('the table is not captured');
  });

  it('may say match: none, and then everything is inserted beside what is there', async () => {
    await pair.configure((text) => text.replace('match: [{ on: [vat] }]', 'match: none'));
    const checked = await duolog(pair, 'check');
    expect(checked.text).not.toContain('no-match');
    // The same customer under another VAT number's spelling would break the index.
    await pair.erp.query("UPDATE customer SET vat = 'X' || vat");
    const { code, text } = await duolog(pair, 'run', '--observe', '--json');
    expect(code, text).toBe(0);
    expect(text).toMatch(/"linked": 0,/);
    expect(text.match(/"insert": 3\b/g)).toHaveLength(2);
  });
});
