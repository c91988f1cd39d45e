import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exampleFolder } from '../../examples/northwind/northwind-data.js';
import { createLogger } from '../../src/logging/logger.js';
import { startDuolog, type Duolog } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { exampleConfiguration } from '../support/example-configuration.js';
import { type FreshDatabase, freshDatabase, openPool, testedPostgres } from '../support/shared.js';
import { ALL_ROLES } from './tasks-fixture.js';

/** The example's tables and configuration, with a customer, an order and two products instead of Northwind. */
describe('an order line whose order has not arrived', () => {
  let databases: readonly FreshDatabase[];
  let erp: pg.Pool;
  let crm: pg.Pool;
  let folder: string;
  let duolog: Duolog;

  beforeAll(async () => {
    databases = await Promise.all([freshDatabase(testedPostgres[0]), freshDatabase(testedPostgres.at(-1))]);
    [erp, crm] = databases.map(({ url }) => openPool(url)) as [pg.Pool, pg.Pool];
    folder = await mkdtemp(join(tmpdir(), 'duolog-waiting-'));
    const schema = (name: string) => readFile(join(exampleFolder, name), 'utf8');
    await Promise.all([erp.query(await schema('erp.sql')), crm.query(await schema('crm.sql'))]);
    // So that a line can be there before its order, as in many an old database.
    await erp.query('ALTER TABLE order_line DROP CONSTRAINT order_line_order_id_fkey');
    await erp.query(`
      INSERT INTO customer (customer_id, company_name, vat_number, country) VALUES ('C1', 'Alfreds', 'DE1', 'Germany');
      INSERT INTO product (product_id, product_name, unit_price) VALUES ('A1', 'Chai', 18), ('A2', 'Chang', 19);
      INSERT INTO sales_order (order_id, customer_id, order_date) VALUES ('O1', 'C1', '2020-01-01');
      INSERT INTO order_line (line_id, order_id, product_id, unit_price, quantity) VALUES ('L1', 'O1', 'A1', 18, 1)`);
    duolog = await started();
    await arrived('L1');
  });

  afterAll(async () => {
    await duolog?.stop();
    await Promise.all([erp?.end(), crm?.end()]);
    await Promise.all((databases ?? []).map((database) => database.drop()));
    await rm(folder, { recursive: true, force: true });
  });

  async function started(): Promise<Duolog> {
    const loaded = await exampleConfiguration(databases[0]!.url, databases[1]!.url, folder);
    const logger = createLogger({ level: 'silent', format: 'json' });
    return startDuolog(loaded, { roles: ALL_ROLES, logger });
  }

  const linesInCrm = async (line: string) =>
    (
      await crm.query<{ order: string; product: string }>(
        `SELECT orde_reference AS order, prod_code AS product FROM order_item
           JOIN orders ON orde_orderid = orit_orderid JOIN product ON prod_productid = orit_productid
          WHERE orit_reference = $1`,
        [line],
      )
    ).rows;
  const arrived = (line: string) =>
    eventually(async () => (await linesInCrm(line)).length === 1, {
      what: () => `${line} to arrive; held: ${JSON.stringify(duolog.status().holds)}`,
      timeoutMs: 120_000,
    });
  const waiting = () => duolog.status().holds['trade']?.['order_line']?.['parent-missing'] ?? 0;
  const heldBack = (count: number) =>
    eventually(() => waiting() === count, { what: `${count} held as parent-missing`, timeoutMs: 120_000 });

  it('is held while the order is committed later, and goes by itself when it comes', async () => {
    await erp.query(`INSERT INTO order_line (line_id, order_id, product_id, unit_price, quantity)
      VALUES ('L2', 'O2', 'A1', 18, 2), ('L3', 'O2', 'A2', 19, 3)`);
    await heldBack(2);
    // A line whose order is there does not wait for one whose order is not.
    await erp.query(`INSERT INTO order_line (line_id, order_id, product_id, unit_price, quantity)
      VALUES ('L4', 'O1', 'A2', 19, 4)`);
    await arrived('L4');
    expect([...(await linesInCrm('L2')), ...(await linesInCrm('L3'))]).toEqual([]);
    expect(waiting()).toBe(2);
    await erp.query(`INSERT INTO sales_order (order_id, customer_id, order_date) VALUES ('O2', 'C1', '2020-01-02')`);
    await arrived('L2');
    await arrived('L3');
    expect(await linesInCrm('L3')).toEqual([{ order: 'O2', product: 'A2' }]);
    await heldBack(0);
  });

  it('is held while the insert of the order waits for the transaction of a user of the target', async () => {
    const user = await crm.connect();
    try {
      await user.query(`BEGIN; INSERT INTO orders (orde_reference, orde_companyid, orde_opened, orde_freight)
        SELECT 'O5', comp_companyid, '2020-01-05', 0 FROM company`);
      await erp.query(`BEGIN; INSERT INTO sales_order (order_id, customer_id, order_date) VALUES ('O5', 'C1', '2020-01-05');
        INSERT INTO order_line (line_id, order_id, product_id, unit_price, quantity) VALUES ('L5', 'O5', 'A1', 18, 5);
        COMMIT`);
      await heldBack(1);
      const deferred = async () =>
        (await duolog.metrics.registry.metrics()).match(/^duolog_commands_deferred\{.*crm.*\} 1$/m);
      await eventually(deferred, { what: 'the insert of the order to be deferred', timeoutMs: 120_000 });
      expect(await linesInCrm('L5')).toEqual([]);
      await user.query('ROLLBACK');
    } finally {
      user.release(true);
    }
    await arrived('L5');
    expect(await linesInCrm('L5')).toEqual([{ order: 'O5', product: 'A1' }]);
    await heldBack(0);
  });
});
