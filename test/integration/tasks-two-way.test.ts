import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Duolog } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';

describe('two databases in agreement', () => {
  let pair: Pair;
  let duolog: Duolog;

  beforeAll(async () => {
    pair = await startPair();
    await pair.erp.query(`INSERT INTO customer (id, name, vat, city, credit) VALUES
      ('C1', 'Alfreds', 'DE1', 'Berlin', 10.50), ('C2', 'Berglunds', 'SE2', NULL, NULL)`);
    await pair.crm.query(`INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES
      ('Alfred', 'DE1', 'Old'), ('Only here', 'AT9', 'Old')`);
    await pair.erp.query(
      `INSERT INTO contact (id, customer, name, email) VALUES ('K1', 'C1', 'Maria', 'maria@alfreds')`,
    );
    duolog = await pair.start();
  });
  afterAll(() => pair?.close());

  it('joins what both have and copies what one has', async () => {
    await pair.equal();
    const { rows } = await pair.crm.query('SELECT comp_vat, comp_territory FROM company ORDER BY comp_vat');
    expect(rows).toEqual([
      { comp_vat: 'AT9', comp_territory: 'Old' },
      { comp_vat: 'DE1', comp_territory: 'Old' },
      { comp_vat: 'SE2', comp_territory: 'Worldwide' },
    ]);
  });

  it('carries an update each way, and different fields of one record at once', async () => {
    await pair.equal();
    await Promise.all([
      pair.crm.query(`UPDATE company SET comp_city = 'Vienna' WHERE comp_vat = 'DE1'`),
      pair.erp.query(`UPDATE customer SET credit = 99.99 WHERE vat = 'DE1'`),
    ]);
    await eventually(async () => {
      const { rows } = await pair.erp.query(`SELECT city, credit FROM customer WHERE vat = 'DE1'`);
      return rows[0]?.city === 'Vienna' && rows[0]?.credit === '99.99';
    });
    await pair.equal();
  });

  it('carries new records with their references, both ways', async () => {
    await pair.crm.query(`WITH made AS (
      INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES ('New', 'FR3', 'x') RETURNING comp_id)
      INSERT INTO person (pers_company, pers_name, pers_email) SELECT comp_id, 'Jean', 'jean@new' FROM made`);
    await pair.erp.query(`INSERT INTO contact (customer, name, email) VALUES ('C2', 'Christina', 'c@berglunds')`);
    await eventually(async () => {
      const { rows } = await pair.erp.query(
        `SELECT vat FROM contact JOIN customer ON customer.id = customer WHERE email = 'jean@new'`,
      );
      return rows[0]?.vat === 'FR3';
    });
    await pair.equal();
  });

  it('carries deletions both ways, each as its policy says', async () => {
    await pair.erp.query(`DELETE FROM contact WHERE email = 'maria@alfreds'`);
    await pair.crm.query(`DELETE FROM person WHERE pers_email = 'c@berglunds'`);
    await eventually(async () => {
      const crm = await pair.crm.query(`SELECT 1 FROM person WHERE pers_email = 'maria@alfreds'`);
      const erp = await pair.erp.query(`SELECT 1 FROM contact WHERE email = 'c@berglunds'`);
      return crm.rowCount === 0 && erp.rowCount === 0;
    });
    await pair.erp.query(`DELETE FROM customer WHERE vat = 'SE2'`);
    await eventually(async () => {
      const { rows } = await pair.crm.query(`SELECT comp_deleted FROM company WHERE comp_vat = 'SE2'`);
      return rows[0]?.comp_deleted === 1;
    });
    await pair.equal();
  });

  it('settles a burst on one record from both sides', async () => {
    for (let round = 0; round < 30; round++) {
      await Promise.all([
        pair.crm.query(`UPDATE company SET comp_name = $1 WHERE comp_vat = 'AT9'`, [`crm ${round}`]),
        pair.erp.query(`UPDATE customer SET name = $1 WHERE vat = 'AT9'`, [`erp ${round}`]),
      ]);
    }
    await pair.equal();
  });

  it('carries a row that only just fits, whatever is made of it', async () => {
    const large = 'y'.repeat(950_000);
    await pair.erp.query(`UPDATE customer SET city = $1 WHERE vat = 'AT9'`, [large]);
    const arrived = `SELECT 1 FROM company WHERE comp_vat = 'AT9' AND comp_city = $1`;
    await eventually(async () => (await pair.crm.query(arrived, [large])).rowCount === 1);
    await pair.crm.query(`UPDATE company SET comp_city = 'Linz' WHERE comp_vat = 'AT9'`);
    await pair.equal();
  });

  it('holds a row too large for a message, visibly, while others go on', async () => {
    await pair.erp.query(`UPDATE customer SET city = repeat('x', 2000000) WHERE vat = 'DE1'`);
    await pair.erp.query(`UPDATE customer SET city = 'Graz' WHERE vat = 'AT9'`);
    await eventually(() => duolog.status().holds['customers']?.['company']?.['oversize'] === 1);
    const city = async (vat: string) =>
      (await pair.crm.query<{ comp_city: string }>('SELECT comp_city FROM company WHERE comp_vat = $1', [vat])).rows[0]
        ?.comp_city;
    await eventually(async () => (await city('AT9')) === 'Graz');
    expect(await city('DE1')).toBe('Vienna');
    await pair.erp.query(`UPDATE customer SET city = 'Small' WHERE vat = 'DE1'`);
    await eventually(async () => (await city('DE1')) === 'Small');
    expect(duolog.status().holds['customers']?.['company']?.['oversize'] ?? 0).toBe(0);
  });
});
