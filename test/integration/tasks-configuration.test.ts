import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';

const withoutCity = (text: string) =>
  text.replace(', city: "string?"', '').replace(', city: comp_city', '').replace(', city: city', '');

describe('another configuration', () => {
  let pair: Pair;
  beforeEach(async () => {
    pair = await startPair();
    await pair.erp.query(
      `INSERT INTO customer (name, vat, city) VALUES ('Alfreds', 'DE1', 'Berlin'), ('Berglunds', 'SE2', NULL)`,
    );
    await pair.crm.query(`INSERT INTO company (comp_name, comp_vat, comp_city, comp_territory)
      VALUES ('Alfreds', 'DE1', 'Wien', 'x'), ('Berglunds', 'SE2', 'Lund', 'x')`);
  });
  afterEach(() => pair?.close());

  it('may have a field more: what both sides have of it is merged and goes on', async () => {
    const first = await pair.start({ loaded: pair.changed(withoutCity) });
    const names = async () => (await pair.crm.query(`SELECT 1 FROM company WHERE comp_name = 'Renamed'`)).rowCount;
    await pair.erp.query(`UPDATE customer SET name = 'Renamed' WHERE vat = 'DE1'`);
    await eventually(async () => (await names()) === 1);
    const { rows } = await pair.crm.query(`SELECT comp_city FROM company ORDER BY comp_vat`);
    expect(rows).toEqual([{ comp_city: 'Wien' }, { comp_city: 'Lund' }]);
    await first.stop();
    await pair.start();
    await pair.equal();
    const cities = await pair.erp.query(`SELECT city FROM customer ORDER BY vat`);
    // Nobody ever agreed on them: the leading system's stands, as on a first start.
    expect(cities.rows[0]).toEqual({ city: 'Berlin' });
  });

  it('is refused where anything else has changed, and says what', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    const other = pair.changed((text) => text.replace('erp: hard }', 'erp: never }'));
    const second = await pair.start({ loaded: other });
    const error = await eventually(() => second.status().tasks.find(({ name }) => name.startsWith('stream'))?.error);
    expect(error).toMatchObject({ code: 'CONFIG_CHANGED', retry: 'operator' });
    expect(error.message).toContain('entity.company');
  });
});
