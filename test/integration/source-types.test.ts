import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Change } from '../../src/connector/contract.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { eventually } from '../support/eventually.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, snapshotDone, sourceOf, Store } from './source-fixture.js';
import { CASES, columnOf, expectedRow, insertStatement, ROWS } from './source-type-cases.js';
import {
  documentedBranches,
  documentedValue,
  followTopic,
  type PlainChange,
  sourceOnly,
} from './source-types-subscriber.js';

const commentOf = (index: number) => `Größe "${index}"; it''s one`;

describe.each(testedPostgres)('every type of Postgres %i', (version) => {
  let database: FreshDatabase;
  let client: pg.Client;
  let source: PostgresSource;
  const store = new Store();

  beforeAll(async () => {
    database = await freshDatabase(version);
    client = await connect(database.url);
    await client.query(`
      CREATE SCHEMA app;
      CREATE TYPE app.mood AS ENUM ('sad', 'very happy');
      CREATE TYPE app.pair AS (a int, b text);
      CREATE DOMAIN app.small AS numeric(9,3);
      CREATE DOMAIN app.amount AS app.small CHECK (VALUE >= 0);
      CREATE TABLE app.everything (id int PRIMARY KEY, ${CASES.map((each, i) => `${columnOf(i)} ${each.type}`).join(', ')});
      CREATE TABLE app.other (id int PRIMARY KEY);
      COMMENT ON TABLE app.everything IS 'One of each';
      ${CASES.map((_, i) => `COMMENT ON COLUMN app.everything.${columnOf(i)} IS '${commentOf(i)}'`).join(';')}`);
    // The texts must not depend on what the database's sessions are set to.
    await client.query(`
      DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET "TimeZone" = ''Asia/Kolkata''', current_database());
        EXECUTE format('ALTER DATABASE %I SET "DateStyle" = ''German''', current_database());
        EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
        EXECUTE format('ALTER DATABASE %I SET "IntervalStyle" = ''iso_8601''', current_database());
        EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -5', current_database());
      END $$`);
    for (let n = 0; n <= ROWS; n++) await client.query(insertStatement(n, String(n)));
    source = sourceOf({
      url: database.url,
      prefix: uniquePrefix(),
      entities: [captured('everything', 'app.everything')],
    });
    await source.open(store.resume);
    await readUntil(source, store, snapshotDone(store, 'everything'));
  });
  afterAll(async () => {
    await source.close();
    await client.end();
    await database.drop();
  });

  const rowsOf = (changes: readonly Change[]) => changes.map((change) => change.after);
  const expected = Array.from({ length: ROWS + 1 }, (_, n) => expectedRow(n));

  it('names the kinds', () => {
    const { columns } = store.events[0]!.table;
    expect(columns.slice(1).map((column) => column.type.kind)).toEqual(CASES.map((each) => each.kind));
    const byType = (type: string) => columns[CASES.findIndex((each) => each.type === type) + 1]!;
    expect(byType('numeric(12,2)').type).toEqual({ kind: 'decimal', precision: 12, scale: 2 });
    expect(byType('app.amount').type).toEqual({ kind: 'decimal', precision: 9, scale: 3 });
    expect(byType('numeric').type).toEqual({ kind: 'decimal', precision: null, scale: null });
    expect(byType('varchar(5)').type).toEqual({ kind: 'text', maxLength: 5 });
    expect(byType('app.mood').type).toEqual({ kind: 'native', nativeType: 'app.mood' });
  });

  it('a snapshot gives them', () => {
    expect(rowsOf(store.changes)).toEqual(expected);
  });

  it('an insert gives the same', async () => {
    const from = store.changes.length;
    for (let n = 0; n <= ROWS; n++) await client.query(insertStatement(n, String(n + 100)));
    await readUntil(source, store, () => store.changes.length > from + ROWS);
    expect(rowsOf(store.changes.slice(from))).toEqual(
      expected.map((row) => ({ ...row, id: (row.id as number) + 100 })),
    );
  });

  it('an update gives the same, its old image too', async () => {
    await client.query('ALTER TABLE app.everything REPLICA IDENTITY FULL');
    const from = store.changes.length;
    await client.query('UPDATE app.everything SET id = id - 1000 WHERE id BETWEEN 100 AND 199');
    await readUntil(source, store, () => store.changes.length > from + 2 * ROWS + 1);
    const updates = store.changes.slice(from).filter((change) => change.operation === 'update');
    expect(rowsOf(updates)).toEqual(expected.map((row) => ({ ...row, id: (row.id as number) - 900 })));
    expect(updates.map((change) => change.before)).toEqual(
      expected.map((row) => ({ ...row, id: (row.id as number) + 100 })),
    );
  });

  it('a subscriber reads the same from Kafka, by the schema that the registry has, with the comments', async () => {
    const prefix = uniquePrefix();
    const [duolog, subscriber] = await Promise.all([
      sourceOnly(prefix, database.url),
      eventually(() => followTopic(`${prefix}.change.crm.everything`)),
    ]);
    try {
      const all = (op: string, from: number) =>
        subscriber.changes.filter(
          (change) => change.op === op && Number(change.key.key) >= from && Number(change.key.key) <= from + ROWS,
        );
      const come = (op: string, from: number) =>
        eventually(() => all(op, from).length > ROWS, { what: () => `${op} of all rows, not ${all(op, from).length}` });
      await come('read', 0);
      for (let n = 0; n <= ROWS; n++) await client.query(insertStatement(n, String(n + 5000)));
      await come('insert', 5000);
      await client.query('ALTER TABLE app.everything REPLICA IDENTITY FULL');
      await client.query('UPDATE app.everything SET id = id WHERE id >= 5000');
      await come('update', 5000);
      const plain = (from: number) =>
        expected.map((row, n) => ({
          id: { int: n + from },
          ...Object.fromEntries(CASES.map((each, i) => [columnOf(i), documentedValue(each, row[columnOf(i)])])),
        }));
      const after = (changes: readonly PlainChange[]) => changes.map((change) => change.after);
      expect(after(all('read', 0))).toEqual(plain(0));
      expect(after(all('insert', 5000))).toEqual(plain(5000));
      expect(after(all('update', 5000))).toEqual(plain(5000));
      expect(all('update', 5000).map((change) => change.before)).toEqual(plain(5000));
      for (const { rowSchema } of subscriber.changes) {
        expect(rowSchema.doc).toBe('One of each');
        const [key, ...columns] = rowSchema.fields;
        expect(key).toEqual({ name: 'id', type: ['null', 'int'], default: null, doc: 'integer not null; the key.' });
        expect(columns.map(({ type }) => type)).toEqual(CASES.map((each) => ['null', ...documentedBranches(each)]));
        const docs = CASES.map((_, i) => `${commentOf(i).replace("''", "'")}; `);
        expect(columns.map(({ doc }, i) => doc.slice(0, docs[i]!.length))).toEqual(docs);
      }
    } finally {
      await subscriber.close();
      await duolog.stop();
    }
  });
});
