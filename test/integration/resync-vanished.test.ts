import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { resynced, startDamagedPair, stopped, type DamagedPair } from './resync-fixture.js';

/** A comparison with a database that lost its rows: nobody deletes them elsewhere by mistake. */
describe('a system whose records are gone', () => {
  let pair: DamagedPair;

  async function count(table: string): Promise<number> {
    const pool = table === 'company' ? pair.crm : pair.erp;
    const { rows } = await pool.query<{ count: string }>(`SELECT count(*) FROM ${table}`);
    return Number(rows[0]!.count);
  }

  /** A backup that is empty is put back: neither rows nor slot. */
  async function restoreEmpty(): Promise<void> {
    await pair.loseSlot('crm');
    await pair.crm.query('DELETE FROM company');
  }

  beforeAll(async () => {
    pair = await startDamagedPair();
    await pair.erp.query(
      `INSERT INTO customer (name, vat, city) SELECT 'Company ' || n, 'V' || n, 'Here' FROM generate_series(1, 40) n`,
    );
    const duolog = await pair.start();
    await pair.equal();
    await duolog.stop();
    await pair.crm.query('CREATE TABLE backup AS TABLE company');
  });
  afterAll(() => pair?.close());

  it('is asked about before anything is deleted; with its rows back, a further resync deletes nothing', async () => {
    await restoreEmpty();
    const commands = pair.names.command('customers', 'erp');
    const { end } = await pair.log.bounds(commands);
    await pair.ask('crm');
    const duolog = await pair.start();
    const error = await stopped(duolog, 'stream customers', 'RECORDS_VANISHED');
    expect(error.message).toContain('40 of 40 linked records of company');
    expect(error.hint).toContain('duolog resync crm --allow-deletes');
    // A restart does not help it.
    await duolog.stop();
    const again = await pair.start();
    await stopped(again, 'stream customers', 'RECORDS_VANISHED');
    expect((await pair.log.bounds(commands)).end).toBe(end);
    expect(await count('customer')).toBe(40);

    await pair.crm.query('INSERT INTO company OVERRIDING SYSTEM VALUE TABLE backup');
    await pair.ask('crm');
    await again.stop();
    const mended = await pair.start();
    await resynced(mended, 'crm');
    // What comes behind the rows has been decided: so have they.
    await pair.crm.query(`UPDATE company SET comp_city = 'Later' WHERE comp_vat = 'V1'`);
    await pair.equal();
    expect(await count('customer')).toBe(40);
    await mended.stop();
  });

  it('loses them elsewhere where that is said, once', async () => {
    await restoreEmpty();
    await pair.ask('crm');
    const duolog = await pair.start();
    await stopped(duolog, 'stream customers', 'RECORDS_VANISHED');
    // Of another entity: no answer to this question.
    await pair.ask('crm', 'person');
    expect(await pair.askAllowingDeletes('crm')).toMatchObject({ system: 'crm', allowDeletes: true });
    await duolog.stop();
    const allowed = await pair.start();
    await eventually(async () => (await count('customer')) === 0, { timeoutMs: 60_000 });
    await pair.equal();

    // The next one is looked at again.
    await pair.erp.query(`INSERT INTO customer (name, vat) SELECT 'New ' || n, 'N' || n FROM generate_series(1, 30) n`);
    await pair.equal();
    expect(await count('company')).toBe(30);
    await allowed.stop();
    await restoreEmpty();
    await pair.ask('crm');
    const last = await pair.start();
    await stopped(last, 'stream customers', 'RECORDS_VANISHED');
    expect(await count('customer')).toBe(30);
  });
});
