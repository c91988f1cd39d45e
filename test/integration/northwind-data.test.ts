import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agree, compare } from '../../examples/northwind/compare.js';
import { loadCrm, loadErp } from '../../examples/northwind/load.js';
import { exampleFolder } from '../../examples/northwind/northwind-data.js';
import { loadConfiguration } from '../../src/config/load.js';
import { type FreshDatabase, freshDatabase, openPool, testedPostgres } from '../support/shared.js';

describe('the Northwind example', () => {
  let databases: FreshDatabase[];
  let erp: pg.Pool;
  let crm: pg.Pool;

  beforeAll(async () => {
    databases = await Promise.all([freshDatabase(testedPostgres[0]), freshDatabase(testedPostgres.at(-1))]);
    const [first, second] = databases.map(({ url }) => url);
    erp = openPool(first!);
    crm = openPool(second!);
    await Promise.all([loadErp(first!), loadCrm(second!)]);
  });

  afterAll(async () => {
    await Promise.all([erp.end(), crm.end()]);
    await Promise.all(databases.map((database) => database.drop()));
  });

  it('begins with a third of the companies and people on both sides, all spelled differently', async () => {
    const before = await compare(erp, crm);
    expect(before).toMatchObject([
      { entity: 'company', inErp: 91, inCrm: 60, equal: 0 },
      { entity: 'person', inErp: 91, inCrm: 60, equal: 0 },
      { entity: 'product', inErp: 77, inCrm: 0, equal: 0 },
      { entity: 'order', inErp: 830, inCrm: 0, equal: 0 },
      { entity: 'order_line', inErp: 2155, inCrm: 0, equal: 0 },
    ]);
    expect(agree(before)).toBe(false);
    const [vats, emails] = await Promise.all([
      crm.query('SELECT comp_vat AS value FROM company'),
      crm.query('SELECT pers_email AS value FROM person'),
    ]);
    const values = (rows: { value: string }[]) => rows.map(({ value }) => value);
    const known = await erp.query('SELECT * FROM customer WHERE vat_number = ANY($1)', [values(vats.rows)]);
    const people = await erp.query('SELECT * FROM contact WHERE email = ANY($1)', [values(emails.rows)]);
    expect([known.rowCount, people.rowCount]).toEqual([31, 31]);
  });

  it('gives new rows keys, refers to companies by each side’s own key, and wants new rows to be Worldwide', async () => {
    const { rows } = await erp.query(`INSERT INTO customer (company_name, country) VALUES ('New', 'UK') RETURNING *`);
    expect(rows[0].customer_id).toMatch(/^C00\d{4}$/);
    await expect(erp.query(`INSERT INTO contact (customer_id, full_name) VALUES ('NOBODY', 'x')`)).rejects.toThrow(
      'contact_customer_id_fkey',
    );
    const company = (territory: string) =>
      crm.query(
        `INSERT INTO company (comp_name, comp_country, comp_territory) VALUES ('New', 'GB', $1) RETURNING comp_companyid`,
        [territory],
      );
    await expect(company('Europe')).rejects.toThrow('comp_territory_worldwide');
    expect(Number((await company('Worldwide')).rows[0].comp_companyid)).toBeGreaterThan(5000);
  });

  it('has a configuration without problems', () => {
    const { configuration } = loadConfiguration(join(exampleFolder, 'duolog.yaml'), {
      KAFKA_BROKERS: 'localhost:9092',
      SCHEMA_REGISTRY_URL: 'http://localhost:8081/apis/ccompat/v7',
      ERP_URL: databases[0]!.url,
      CRM_URL: databases[1]!.url,
    });
    expect(Object.keys(configuration.syncs.trade!.entities)).toEqual([
      'company',
      'person',
      'product',
      'order',
      'order_line',
    ]);
  });
});
