import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Session } from '../../connectors/postgres/sink/session.js';
import type { PostgresSink } from '../../connectors/postgres/sink.js';
import {
  apply,
  insert,
  remove,
  type SinkFixture,
  sinkFixture,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TABLE company (id bigint PRIMARY KEY, name text, vat text UNIQUE);
  INSERT INTO company SELECT n, 'Company ' || n, 'V' || n FROM generate_series(1, 200) n;
  CREATE TABLE person (id bigint PRIMARY KEY, company bigint REFERENCES company, name text);
  INSERT INTO person SELECT n, n, 'Person ' || n FROM generate_series(1, 50) n;`;

describe.each(testedPostgres)('rows locked by a user on Postgres %s', (version) => {
  let fixture: SinkFixture;
  let sink: PostgresSink;

  beforeAll(async () => {
    fixture = await sinkFixture(version, SCHEMA);
    sink = await fixture.opened(await fixture.plan('company'), await fixture.plan('person'));
  });
  afterEach(() => fixture.sql('ROLLBACK'));
  afterAll(() => fixture?.end());

  test('a locked row is left for later, the rest goes on, and later it is written', async () => {
    await fixture.sql(`BEGIN`);
    await fixture.sql(`UPDATE company SET name = 'theirs' WHERE id IN (2, 190)`);
    const batch = [
      update('company', '1', { name: 'Company 1' }, { name: 'One' }),
      update('company', '2', { name: 'Company 2' }, { name: 'Two' }),
      remove('company', '190', { name: 'Company 190' }),
      update('company', '999', { name: 'Company 999' }, { name: 'Nobody' }),
      update('company', '4', { name: 'Company 4' }, { name: 'Four' }),
    ];
    const outcomes = await apply(sink, batch);
    expect(statuses(outcomes)).toEqual(['applied', 'deferred', 'deferred', 'refused', 'applied']);
    const seen = await otherSession(fixture, 'SELECT name FROM company WHERE id IN (1, 4) ORDER BY id');
    expect(seen).toEqual([{ name: 'One' }, { name: 'Four' }]);
    await fixture.sql('ROLLBACK');
    expect(statuses(await apply(sink, batch.slice(1, 3)))).toEqual(['applied', 'applied']);
  });

  test('held rows are skipped in one go, however many', async () => {
    await fixture.sql('BEGIN');
    await fixture.sql('SELECT FROM company WHERE id BETWEEN 61 AND 90 FOR UPDATE');
    const sent = vi.spyOn(Session.prototype, 'query');
    const batch = Array.from({ length: 40 }, (_, index) =>
      update('company', String(61 + index), { name: `Company ${61 + index}` }, { name: 'ours' }),
    );
    const outcomes = await apply(sink, batch);
    expect(statuses(outcomes)).toEqual([...Array(30).fill('deferred'), ...Array(10).fill('applied')]);
    expect(sent.mock.calls.filter(([{ text }]) => text.startsWith('SAVEPOINT'))).toEqual([]);
    sent.mockRestore();
  });

  test('the row of a committed edit is refused with what the user wrote', async () => {
    const command = update('company', '10', { name: 'Company 10' }, { name: 'Ours' });
    await fixture.sql('BEGIN');
    await fixture.sql(`UPDATE company SET name = 'theirs' WHERE id = 10`);
    expect(await apply(sink, [command])).toEqual(['deferred']);
    await fixture.sql('COMMIT');
    expect(await apply(sink, [command])).toMatchObject([{ status: 'refused', met: { name: 'theirs' } }]);
  });

  test('inserts wait for no one: not for a unique value in a transaction, nor for a parent being deleted', async () => {
    await fixture.sql('BEGIN');
    await fixture.sql(`INSERT INTO company VALUES (500, 'theirs', 'TAKEN')`);
    await fixture.sql('DELETE FROM person WHERE id = 20');
    await fixture.sql('DELETE FROM company WHERE id = 20');
    const outcomes = await apply(sink, [
      insert('company', { id: 600, name: 'Ours', vat: 'TAKEN' }, [{ vat: 'TAKEN' }], '600'),
      insert('company', { id: 601, name: 'Free', vat: 'FREE' }, [{ vat: 'FREE' }], '601'),
      insert('person', { id: 700, company: 20, name: 'Waits' }, [], '700'),
      update('person', '21', { name: 'Person 21' }, { name: 'Free' }),
    ]);
    expect(statuses(outcomes)).toEqual(['deferred', 'applied', 'deferred', 'applied']);
  });

  test('a row only referred to by a transaction can be updated', async () => {
    await fixture.sql('BEGIN');
    await fixture.sql(`INSERT INTO person VALUES (800, 30, 'refers')`);
    const outcomes = await apply(sink, [
      update('company', '30', { name: 'Company 30' }, { name: 'Thirty' }),
      remove('company', '31', { name: 'Company 31' }),
    ]);
    expect(statuses(outcomes)).toEqual(['applied', 'failed']);
  });

  test('with every row locked nothing is committed, and the progress stays', async () => {
    const before = await fixture.sql('SELECT answered FROM duolog.sink');
    await fixture.sql('BEGIN');
    await fixture.sql('SELECT FROM company WHERE id = 40 FOR UPDATE');
    expect(await apply(sink, [update('company', '40', { name: 'Company 40' }, { name: 'x' })])).toEqual(['deferred']);
    expect(await fixture.sql('SELECT answered FROM duolog.sink')).toEqual(before);
  });

  test('a user is never the victim of a deadlock with us', async () => {
    // The user holds a row that we want and then waits for one that we hold.
    const batch = Array.from({ length: 60 }, (_, index) =>
      update('company', String(101 + index), { name: `Company ${101 + index}` }, { name: 'ours' }),
    );
    await fixture.sql('BEGIN');
    await fixture.sql(`UPDATE company SET vat = vat || '!' WHERE id = 160`);
    const applying = apply(sink, batch);
    await fixture.sql(`UPDATE company SET vat = vat || '!' WHERE id = 101`);
    await fixture.sql('COMMIT');
    const outcomes = await applying;
    expect(statuses(outcomes).every((status) => status === 'applied' || status === 'deferred')).toBe(true);
    expect(statuses(outcomes).filter((status) => status === 'applied').length).toBeGreaterThan(50);
  });

  test('a deadlock of ours is tried again as a whole', async () => {
    const strict = new pg.Client({ connectionString: fixture.database.url });
    await strict.connect();
    try {
      await strict.query(`CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF nextval('tries') < 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$`);
      await strict.query(
        `CREATE SEQUENCE tries; CREATE TRIGGER once BEFORE UPDATE ON person FOR EACH ROW WHEN (NEW.name = 'again') EXECUTE FUNCTION once()`,
      );
      const outcomes = await apply(sink, [update('person', '1', { name: 'Person 1' }, { name: 'again' })]);
      expect(statuses(outcomes)).toEqual(['applied']);
    } finally {
      await strict.end();
    }
  });
});

async function otherSession(fixture: SinkFixture, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: fixture.database.url });
  await client.connect();
  const { rows } = await client.query(text);
  await client.end();
  return rows;
}
