import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PostgresSink } from '../../connectors/postgres/sink.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import {
  apply,
  BIRTH,
  insert,
  remove,
  type SinkFixture,
  sinkFixture,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TABLE company (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, vat varchar(20) UNIQUE, city text);
  CREATE SEQUENCE code_of;
  CREATE TABLE product (code text PRIMARY KEY DEFAULT 'P-' || nextval('code_of'), label text, price numeric(10,2));
  CREATE TABLE line (order_id int, line int, quantity int, PRIMARY KEY (order_id, line));
  INSERT INTO company (name, vat, city) SELECT 'Company ' || n, 'V' || n, 'Town' FROM generate_series(1, 20) n;
  INSERT INTO line SELECT 1, n, n FROM generate_series(1, 5) n;`;

describe.each(testedPostgres)('apply on Postgres %s', (version) => {
  let fixture: SinkFixture;
  let company: EntitySystemPlan;
  let sink: PostgresSink;

  beforeAll(async () => {
    fixture = await sinkFixture(version, SCHEMA);
    company = await fixture.plan('company', { generatesKey: true });
    const product = await fixture.plan('product', { generatesKey: true });
    const line = await fixture.plan('line');
    sink = await fixture.opened(company, product, line);
  });
  afterAll(() => fixture?.end());

  test('writes updates, inserts and deletes of several tables in one batch and reads keys back', async () => {
    const batch = [
      update('company', '1', { name: 'Company 1' }, { name: 'First' }),
      update('company', '2', { city: 'Town', name: 'Company 2' }, { city: null }),
      remove('company', '3', { name: 'Company 3', vat: 'V3', city: 'Town' }),
      insert('company', { name: 'New', vat: 'N1' }, [{ vat: 'N1' }]),
      insert('company', { name: 'Other', vat: 'N2' }, [{ vat: 'N2' }]),
      insert('product', { label: 'Chai', price: '18.00' }),
      insert('line', { order_id: 2, line: 1, quantity: 9 }, [], '2,1'),
      update('line', '1,2', { quantity: 2 }, { quantity: 20 }),
    ];
    const outcomes = await apply(sink, batch);
    expect(statuses(outcomes)).toEqual(batch.map(() => 'applied'));
    const rows = await fixture.sql(
      `SELECT id::text, name, vat, city FROM company WHERE id < 4 OR vat LIKE 'N%' ORDER BY id`,
    );
    expect(rows).toEqual([
      { id: '1', name: 'First', vat: 'V1', city: 'Town' },
      { id: '2', name: 'Company 2', vat: 'V2', city: null },
      { id: outcomes[3] !== 'deferred' && outcomes[3]?.key, name: 'New', vat: 'N1', city: null },
      { id: outcomes[4] !== 'deferred' && outcomes[4]?.key, name: 'Other', vat: 'N2', city: null },
    ]);
    expect(outcomes[5]).toMatchObject({
      status: 'applied',
      key: 'P-1',
      command: batch[5]!.command.id,
      link: batch[5]!.command.link,
    });
    expect(outcomes[6]).toMatchObject({ key: '2,1' });
    expect(await fixture.sql('SELECT quantity FROM line WHERE (order_id, line) IN ((2,1),(1,2)) ORDER BY 1')).toEqual([
      { quantity: 9 },
      { quantity: 20 },
    ]);
  });

  test('refuses what is not as expected, with the image met, and writes nothing of it', async () => {
    const outcomes = await apply(sink, [
      update('company', '5', { name: 'Something else' }, { name: 'Lost' }),
      update('company', '999', { name: 'Nobody' }, { name: 'Lost' }),
      remove('company', '6', { city: null }),
      insert('company', { name: 'Double', vat: 'V7' }, [{ vat: 'V7' }]),
      insert('line', { order_id: 1, line: 3, quantity: 1 }, [], '1,3'),
      update('company', '8', { name: 'Company 8' }, { name: 'Eighth' }),
    ]);
    expect(outcomes).toMatchObject([
      {
        status: 'refused',
        key: '5',
        met: { id: 5, name: 'Company 5', vat: 'V5', city: 'Town' },
        reason: expect.stringContaining('name'),
      },
      { status: 'refused', key: '999', met: null },
      { status: 'refused', key: '6', met: { name: 'Company 6' } },
      { status: 'refused', key: '7', met: { vat: 'V7' }, reason: expect.stringContaining('vat') },
      { status: 'refused', key: '1,3', met: { order_id: 1, line: 3, quantity: 3 } },
      { status: 'applied', key: '8' },
    ]);
    expect(await fixture.sql(`SELECT name FROM company WHERE id IN (5, 6, 7) OR name = 'Lost' ORDER BY id`)).toEqual([
      { name: 'Company 5' },
      { name: 'Company 6' },
      { name: 'Company 7' },
    ]);
  });

  test('says unchanged where the row shows the values already', async () => {
    const outcomes = await apply(sink, [
      update('company', '9', { city: 'Town' }, { city: 'Town' }),
      update('company', '10', {}, { name: 'Company 10' }),
      update('company', '11', {}, { name: 'Eleventh' }),
    ]);
    expect(statuses(outcomes)).toEqual(['unchanged', 'unchanged', 'applied']);
  });

  test('answers in the order of the batch and stores the progress with the data', async () => {
    const batch = [
      insert('product', { label: 'A' }),
      update('company', '12', { name: 'Company 12' }, { name: 'Twelfth' }),
      remove('line', '1,1', { quantity: 1 }),
    ];
    const result = await sink.apply(batch, (answered) => ({ lowest: 7, answered }));
    expect(result.outcomes.map(({ offset }) => offset)).toEqual(batch.map(({ offset }) => offset));
    const again = fixture.sink([company]);
    const opened = await again.open('birth-1');
    expect(opened.progress).toEqual({ lowest: 7, answered: batch.map(({ offset }) => offset) });
    expect(opened.birth).toBe('birth-1');
    sink = await fixture.opened(company);
  });

  test('the progress of another birth is not told, and the next batch replaces it', async () => {
    const other = fixture.sink([company]);
    const first = await other.open('birth-2');
    expect(first).toMatchObject({ birth: BIRTH, progress: null, unpublished: [] });
    await apply(other, [update('company', '14', { name: 'Company 14' }, { name: 'Fourteenth' })]);
    const again = await other.open('birth-2');
    expect(again).toMatchObject({ birth: 'birth-2', progress: { lowest: 0 } });
    expect(again.epoch).toBe(first.epoch + 1);
    sink = await fixture.opened(
      company,
      await fixture.plan('product', { generatesKey: true }),
      await fixture.plan('line'),
    );
  });

  test('a command that changes the key answers with the new one', async () => {
    const [moved] = await apply(sink, [update('line', '1,4', { quantity: 4 }, { line: 40 })]);
    expect(moved).toMatchObject({ status: 'applied', key: '1,40' });
    expect(await fixture.sql('SELECT quantity FROM line WHERE (order_id, line) = (1, 40)')).toEqual([{ quantity: 4 }]);
  });

  test('values of many megabytes go in several statements', async () => {
    const large = 'ä'.repeat(3_000_000);
    const batch = Array.from({ length: 6 }, (_, index) =>
      insert('product', { code: `L${index}`, label: large }, [], `L${index}`),
    );
    expect(statuses(await apply(sink, batch))).toEqual(batch.map(() => 'applied'));
    expect(await fixture.sql('SELECT count(*)::int AS rows FROM product WHERE length(label) = 3000000')).toEqual([
      { rows: 6 },
    ]);
  });

  test('two commands for one row in a batch are a defect, and nothing is written', async () => {
    const batch = [
      update('company', '13', { name: 'Company 13' }, { name: 'One' }),
      update('company', '13', { name: 'Company 13' }, { name: 'Two' }),
    ];
    await expect(apply(sink, batch)).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await fixture.sql('SELECT name FROM company WHERE id = 13')).toEqual([{ name: 'Company 13' }]);
  });
});
