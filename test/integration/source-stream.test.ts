import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SourceEvent } from '../../src/connector/contract.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, type SourceSetup, snapshotDone, sourceOf, Store } from './source-fixture.js';

describe.each(testedPostgres)('the stream of Postgres %i', (version) => {
  let database: FreshDatabase;
  let client: pg.Client;
  let prefix: string;
  let source: PostgresSource | null;
  let store: Store;
  beforeEach(async () => {
    database = await freshDatabase(version);
    client = await connect(database.url);
    prefix = uniquePrefix();
    store = new Store();
    source = null;
  });
  afterEach(async () => {
    await source?.close();
    await client.end();
    await database.drop();
  });

  /** Opens the source and reads the snapshots of the entities, whose tables are named as they are. */
  async function open(names: readonly string[], setup: Partial<SourceSetup> = {}): Promise<PostgresSource> {
    const entities = names.map((name) => captured(name, `public.${name}`));
    source = sourceOf({ url: database.url, prefix, entities, ...setup });
    await source.open(store.resume);
    await readUntil(source, store, snapshotDone(store, ...names));
    return source;
  }

  /** Reads until the change of a row whose id says that it is the last, and gives what came since `from`. */
  async function until(id: number | string, from = 0): Promise<readonly SourceEvent[]> {
    await readUntil(source!, store, () => store.changes.some((change) => change.key === String(id)));
    return store.events.slice(from);
  }

  const short = (event: SourceEvent) =>
    event.kind === 'change'
      ? `${event.operation} ${event.key}`
      : event.kind === 'end'
        ? event.end
        : event.outcome.status;

  it('gives the rows that are there, then each change in commit order', async () => {
    await client.query(`CREATE TABLE company (id bigint PRIMARY KEY, name text, note text)`);
    await client.query(`INSERT INTO company VALUES (1, 'Alfa', NULL), (2, '', 'x')`);
    await open(['company']);
    await client.query(`INSERT INTO company VALUES (3, 'Carla', 'c')`);
    await client.query(`UPDATE company SET name = 'Bravo' WHERE id = 2`);
    await client.query(`DELETE FROM company WHERE id = 1`);
    await client.query(`INSERT INTO company VALUES (9)`);
    const events = await until(9);
    expect(events.map((e) => (e.kind === 'change' ? [e.operation, e.key, e.after] : short(e)))).toEqual([
      'snapshot-begin',
      ['read', '1', { id: 1, name: 'Alfa', note: null }],
      ['read', '2', { id: 2, name: '', note: 'x' }],
      'snapshot',
      ['insert', '3', { id: 3, name: 'Carla', note: 'c' }],
      ['update', '2', { id: 2, name: 'Bravo', note: 'x' }],
      ['delete', '1', null],
      'transaction',
      ['insert', '9', { id: 9, name: null, note: null }],
    ]);
    const positions = events.map((event) => event.position);
    expect([...positions].sort()).toEqual(positions);
    expect(new Set(positions).size).toBe(positions.length);
    const [times] = (await client.query(`SELECT extract(epoch FROM now())::float8 * 1e6 AS now`)).rows;
    expect(Math.abs(store.changes.at(-1)!.commitTimeMicros! - times.now)).toBeLessThan(60e6);
  });

  it('tells a changed key as delete and update that name each other, composite keys and commas too', async () => {
    await client.query(`CREATE TABLE line (part int, orders text, note text, PRIMARY KEY (orders, part))`);
    await client.query(`INSERT INTO line VALUES (1, 'a,b', 'x')`);
    await open(['line']);
    const from = store.events.length;
    await client.query(`UPDATE line SET part = 2, note = 'y'`);
    await client.query(`INSERT INTO line VALUES (9, 'end')`);
    const events = await until('end,9', from);
    expect(events.map(short)).toEqual(['delete a\\,b,1', 'update a\\,b,2', 'transaction', 'insert end,9']);
    expect(events[0]).toMatchObject({ keyChange: { to: 'a\\,b,2' }, before: { orders: 'a,b', part: 1 }, after: null });
    expect(events[1]).toMatchObject({ keyChange: { from: 'a\\,b,1' }, after: { part: 2, orders: 'a,b', note: 'y' } });
  });

  it('names large values that were not sent, never null, and takes them from a full old image', async () => {
    await client.query(`CREATE TABLE document (id int PRIMARY KEY, body text, title text)`);
    await client.query(`ALTER TABLE document ALTER body SET STORAGE EXTERNAL`);
    await client.query(`INSERT INTO document VALUES (1, repeat('x', 20000), 'a')`);
    await open(['document']);
    await client.query(`UPDATE document SET title = 'b'`);
    await client.query(`INSERT INTO document VALUES (9)`);
    await until(9);
    const update = store.changes.at(-2)!;
    expect(update.unchanged).toEqual(['body']);
    expect(update.after).toEqual({ id: 1, title: 'b' });
    expect(update.before).toBeNull();
    await client.query(`ALTER TABLE document REPLICA IDENTITY FULL`);
    await client.query(`UPDATE document SET title = 'c' WHERE id = 1`);
    await client.query(`INSERT INTO document VALUES (10)`);
    await until(10);
    const full = store.changes.at(-2)!;
    expect(full.unchanged).toEqual([]);
    expect(full.after).toEqual({ id: 1, title: 'c', body: 'x'.repeat(20_000) });
    expect(full.before).toEqual({ id: 1, title: 'b', body: 'x'.repeat(20_000) });
  });

  it('ends a transaction with one event for each entity that lost rows', async () => {
    await client.query(
      `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE other (id int)`,
    );
    await client.query(`INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (3)`);
    await open(['a', 'b']);
    const from = store.events.length;
    await client.query(
      `BEGIN; DELETE FROM a; INSERT INTO other VALUES (1); DELETE FROM b; INSERT INTO a VALUES (5); COMMIT`,
    );
    await client.query(`INSERT INTO a VALUES (9)`);
    const events = await until(9, from);
    expect(events.map((e) => `${e.kind === 'outcome' ? '' : e.table.entity} ${short(e)}`)).toEqual([
      'a delete 1',
      'a delete 2',
      'b delete 3',
      'a insert 5',
      'a transaction',
      'b transaction',
      'a insert 9',
    ]);
  });

  it('follows columns that come and go, also when the catalogue is further than the log', async () => {
    await client.query(`CREATE TABLE company (id int PRIMARY KEY, name text, old int)`);
    await open(['company']);
    await client.query(`INSERT INTO company VALUES (1, 'a', 1)`);
    await client.query(`ALTER TABLE company ADD COLUMN city varchar(20) DEFAULT 'Ulm'`);
    await client.query(`COMMENT ON COLUMN company.city IS 'where'`);
    await client.query(`INSERT INTO company VALUES (2, 'b', 2, 'Bonn')`);
    await client.query(`ALTER TABLE company DROP COLUMN old`);
    await client.query(`ALTER TABLE company RENAME COLUMN name TO title`);
    await client.query(`UPDATE company SET title = 'c' WHERE id = 1`);
    await client.query(`INSERT INTO company VALUES (9)`);
    await until(9);
    expect(store.changes.map((change) => change.after)).toEqual([
      { id: 1, name: 'a', old: 1 },
      { id: 2, name: 'b', old: 2, city: 'Bonn' },
      { id: 1, title: 'c', city: 'Ulm' },
      { id: 9, title: null, city: 'Ulm' },
    ]);
    expect(store.changes.map((change) => change.table.columns.map((column) => column.name).join())).toEqual([
      'id,name,old',
      'id,name,old,city',
      'id,title,city',
      'id,title,city',
    ]);
    const city = store.changes[2]!.table.columns[2]!;
    expect(city).toMatchObject({ comment: 'where', type: { kind: 'text', maxLength: 20 }, hasDefault: true });
  });

  it('serves two entities from one table', async () => {
    await client.query(`CREATE TABLE person (id int PRIMARY KEY, name text, company text)`);
    const entities = [captured('person', 'public.person'), captured('employer', 'person')];
    source = sourceOf({ url: database.url, prefix, entities });
    await source.open(store.resume);
    await readUntil(source, store, snapshotDone(store, 'person', 'employer'));
    const from = store.events.length;
    await client.query(`INSERT INTO person VALUES (1, 'a', 'b')`);
    await client.query(`UPDATE person SET id = 9`);
    const events = await until(9, from);
    expect(events.filter((e) => e.kind === 'change').map((e) => `${e.table.entity} ${short(e)}`)).toEqual([
      'person insert 1',
      'employer insert 1',
      'person delete 1',
      'person update 9',
      'employer delete 1',
      'employer update 9',
    ]);
    expect(new Set(events.map((event) => event.position)).size).toBe(events.length);
  });

  it('reads a truncated table again, so that no row is believed to be there', async () => {
    await client.query(`CREATE TABLE company (id int PRIMARY KEY)`);
    await client.query(`INSERT INTO company VALUES (1), (2)`);
    await open(['company']);
    const from = store.events.length;
    await client.query(`BEGIN; TRUNCATE company; INSERT INTO company VALUES (3); COMMIT`);
    await readUntil(source!, store, () =>
      store.events.slice(from).some((e) => e.kind === 'end' && e.end === 'snapshot'),
    );
    expect(store.events.slice(from).map(short)).toEqual(['insert 3', 'snapshot-begin', 'read 3', 'snapshot']);
  });

  it('captures a partitioned table as one, rows that move between partitions as what they are', async () => {
    await client.query(`
      CREATE TABLE orders (id int, year int, note text, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
      CREATE TABLE orders_24 PARTITION OF orders FOR VALUES IN (24);
      CREATE TABLE orders_25 PARTITION OF orders FOR VALUES IN (25);
      INSERT INTO orders VALUES (1, 24), (2, 25)`);
    await open(['orders']);
    expect(store.events.map(short)).toEqual(['snapshot-begin', 'read 1,24', 'read 2,25', 'snapshot']);
    await client.query(`UPDATE orders SET note = 'x' WHERE id = 1`);
    await client.query(`INSERT INTO orders VALUES (9, 25)`);
    const events = await until('9,25', 4);
    expect(events.map(short)).toEqual(['update 1,24', 'insert 9,25']);
    expect(events[0]!.table.table).toBe('public.orders');
  });

  it.runIf(version >= 18)('captures stored generated columns, which earlier versions do not send', async () => {
    await client.query(
      `CREATE TABLE item (id int PRIMARY KEY, price int, gross int GENERATED ALWAYS AS (price * 2) STORED)`,
    );
    await client.query(`INSERT INTO item VALUES (1, 5)`);
    await open(['item']);
    await client.query(`INSERT INTO item VALUES (9, 6)`);
    await until(9);
    expect(store.changes.map((change) => change.after)).toEqual([
      { id: 1, price: 5, gross: 10 },
      { id: 9, price: 6, gross: 12 },
    ]);
  });

  it('leaves generated columns that are not sent out of the shape and of the snapshot', async () => {
    const kind = version >= 18 ? 'VIRTUAL' : 'STORED';
    await client.query(
      `CREATE TABLE item (id int PRIMARY KEY, price int, gross int GENERATED ALWAYS AS (price * 2) ${kind})`,
    );
    await client.query(`INSERT INTO item VALUES (1, 5)`);
    await open(['item']);
    await client.query(`INSERT INTO item VALUES (9, 6)`);
    await until(9);
    expect(store.changes.map((change) => change.after)).toEqual([
      { id: 1, price: 5 },
      { id: 9, price: 6 },
    ]);
    expect(store.changes[0]!.table.columns.map((column) => column.name)).toEqual(['id', 'price']);
  });

  it('cuts a large transaction into batches and goes on inside it after a restart', async () => {
    await client.query(`CREATE TABLE company (id int PRIMARY KEY, name text)`);
    await open(['company'], { maxBatchEvents: 100 });
    await client.query(`BEGIN; INSERT INTO company SELECT n, 'n' FROM generate_series(1, 1000) n;
      DELETE FROM company WHERE id <= 3; UPDATE company SET id = id + 10000 WHERE id > 990; COMMIT`);
    await client.query(`INSERT INTO company VALUES (99999)`);
    const from = store.events.length;
    // A restart after every batch: each event once, in order (I2).
    while (!store.changes.some((change) => change.key === '99999')) {
      const batch = await source!.next(1_000);
      if (batch === null) continue;
      expect(batch.kind === 'events' ? batch.events.length : 0).toBeLessThanOrEqual(100);
      store.commit(batch);
      await source!.acknowledge(batch.position);
      await source!.close();
      source = sourceOf({
        url: database.url,
        prefix,
        entities: [captured('company', 'public.company')],
        maxBatchEvents: 100,
      });
      await source.open(store.resume);
    }
    const events = store.events.slice(from);
    expect(events.map(short)).toEqual([
      ...Array.from({ length: 1000 }, (_, n) => `insert ${n + 1}`),
      'delete 1',
      'delete 2',
      'delete 3',
      ...Array.from({ length: 10 }, (_, n) => [`delete ${991 + n}`, `update ${10_991 + n}`]).flat(),
      'transaction',
      'insert 99999',
    ]);
    const positions = events.map((event) => event.position);
    expect([...new Set(positions)].sort()).toEqual(positions);
  });

  it('keeps positions in order where a resync begins inside a transaction that is half told', async () => {
    await client.query(`CREATE TABLE company (id int PRIMARY KEY)`);
    await open(['company'], { maxBatchEvents: 100 });
    await client.query(`INSERT INTO company SELECT generate_series(1, 500)`);
    await readUntil(source!, store, () => store.changes.length >= 200);
    expect(store.changes.length).toBeLessThan(500);
    await source!.close();
    const entities = [captured('company', 'public.company')];
    source = sourceOf({ url: database.url, prefix, entities, maxBatchEvents: 100 });
    await source.open({ ...store.resume, resync: { id: 'asked', entities: null } });
    const from = store.events.length;
    await readUntil(source, store, () => store.events.slice(from).some((event) => short(event) === 'snapshot'));
    expect(short(store.events[from]!)).toBe('gap');
    expect(store.changes.filter(({ operation }) => operation === 'insert')).toHaveLength(500);
    expect(store.changes.filter(({ operation }) => operation === 'read')).toHaveLength(500);
    const positions = store.events.map((event) => event.position);
    expect([...new Set(positions)].sort()).toEqual(positions);
  });
});
