import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, snapshotDone, sourceOf, Store } from './source-fixture.js';

describe.each(testedPostgres)('the stream of Postgres %i', (version) => {
  let database: FreshDatabase;
  let client: pg.Client;
  let prefix: string;
  let source: PostgresSource | null;
  beforeEach(async () => {
    database = await freshDatabase(version);
    client = await connect(database.url);
    prefix = uniquePrefix();
    source = null;
  });
  afterEach(async () => {
    await source?.close();
    await client.end();
    await database.drop();
  });

  it('gives the rows that are there, then each change in commit order', async () => {
    await client.query(`CREATE TABLE company (id bigint PRIMARY KEY, name text, note text)`);
    await client.query(`INSERT INTO company VALUES (1, 'Alfa', NULL), (2, '', 'x')`);
    source = sourceOf({ url: database.url, prefix, entities: [captured('company', 'public.company')] });
    const store = new Store();
    await source.open(store.resume);
    await readUntil(source, store, snapshotDone(store, 'company'));
    await client.query(`INSERT INTO company VALUES (3, 'Carla', 'c')`);
    await client.query(`UPDATE company SET name = 'Bravo' WHERE id = 2`);
    await client.query(`DELETE FROM company WHERE id = 1`);
    await readUntil(source, store, () => store.events.at(-1)?.kind === 'end' && store.events.length >= 8);
    expect(
      store.events.map((e) => (e.kind === 'change' ? [e.operation, e.key, e.after] : e.kind === 'end' ? e.end : 0)),
    ).toEqual([
      'snapshot-begin',
      ['read', '1', { id: 1, name: 'Alfa', note: null }],
      ['read', '2', { id: 2, name: '', note: 'x' }],
      'snapshot',
      ['insert', '3', { id: 3, name: 'Carla', note: 'c' }],
      ['update', '2', { id: 2, name: 'Bravo', note: 'x' }],
      ['delete', '1', null],
      'transaction',
    ]);
    const positions = store.events.map((event) => event.position);
    expect([...positions].sort()).toEqual(positions);
    expect(new Set(positions).size).toBe(positions.length);
  });
});
