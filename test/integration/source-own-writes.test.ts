import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome, SourceEvent } from '../../src/connector/contract.js';
import { firstMark, lastMarks, markPrefix } from '../../connectors/postgres/marks.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, type SourceSetup, snapshotDone, sourceOf, Store } from './source-fixture.js';

describe.each(testedPostgres)('transactions of our own in the stream of Postgres %i', (version) => {
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
    await client.query(`
      CREATE TABLE company (id int PRIMARY KEY, name text, city text);
      CREATE TABLE log (id serial PRIMARY KEY, what text);
      INSERT INTO company VALUES (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'x')`);
  });
  afterEach(async () => {
    await source?.close();
    await client.end();
    await database.drop();
  });

  async function open(tuning: SourceSetup['tuning'] = {}, maxBatchEvents = 1000): Promise<void> {
    const entities = [captured('company', 'public.company'), captured('log', 'public.log')];
    source = sourceOf({ url: database.url, prefix, entities, tuning, maxBatchEvents });
    await source.open(store.resume);
    await readUntil(source, store, snapshotDone(store, 'company', 'log'));
    store.events.length = 0;
  }

  const mark = (content: string, sync = 'customers') =>
    client.query('SELECT pg_logical_emit_message(true, $1, $2)', [markPrefix(prefix, sync), content]);
  const close = async (outcomes: readonly Outcome[]) => {
    for (const content of lastMarks(outcomes)) await mark(content);
  };
  const applied = (command: string, key: string): Outcome => ({
    command,
    link: `link-${command}`,
    entity: 'company',
    status: 'applied',
    key,
  });

  /** What came up to the row with id 99, in short. */
  async function events(): Promise<readonly string[]> {
    await client.query(`INSERT INTO company VALUES (99)`);
    await readUntil(source!, store, () => store.changes.some((change) => change.key === '99'));
    return store.events.slice(0, -1).map(short);
  }

  function short(event: SourceEvent): string {
    if (event.kind === 'end') return event.end;
    if (event.kind === 'outcome') return `outcome ${event.outcome.status} ${event.outcome.command}`;
    const { origin } = event;
    const by = origin === null ? 'edit' : (origin.command ?? 'beside');
    return `${event.operation} ${event.table.entity} ${event.key} ${by}`;
  }

  it('are recognised row by row; what a trigger writes beside is an edit, other outcomes follow', async () => {
    await client.query(`
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO log (what) VALUES (NEW.name); RETURN NULL; END $$;
      CREATE TRIGGER note AFTER UPDATE ON company FOR EACH ROW EXECUTE FUNCTION note()`);
    await open();
    await client.query('BEGIN');
    await mark(firstMark(4));
    await client.query(`UPDATE company SET name = 'A' WHERE id = 1`);
    await client.query(`INSERT INTO company VALUES (4, 'd')`);
    await client.query(`DELETE FROM company WHERE id = 3`);
    await close([
      applied('c1', '1'),
      {
        command: 'c2',
        link: 'l2',
        entity: 'company',
        status: 'refused',
        key: '2',
        met: { id: 2, name: 'z' },
        reason: 'differs',
      },
      applied('c4', '4'),
      applied('c3', '3'),
      { command: 'c5', link: 'l5', entity: 'elsewhere', status: 'unchanged', key: '1' },
      { command: 'c6', link: 'l6', entity: 'company', status: 'unchanged', key: '2' },
    ]);
    await client.query(`UPDATE company SET city = 'y' WHERE id = 1`);
    await client.query('COMMIT');
    expect(await events()).toEqual([
      'update company 1 c1',
      'insert log 1 beside',
      'insert company 4 c4',
      'delete company 3 c3',
      'outcome refused c2',
      'outcome unchanged c6',
      'update company 1 edit',
      'insert log 2 edit',
      'transaction',
    ]);
    expect(store.changes[0]!.origin).toEqual({ sync: 'customers', command: 'c1', link: 'link-c1' });
    expect(store.changes[1]!.origin).toEqual({ sync: 'customers', command: null, link: null });
    const positions = store.events.map((event) => event.position);
    expect([...new Set(positions)].sort()).toEqual(positions);
  });

  it('tell a command and what happened to its row after it as one net change', async () => {
    await client.query('ALTER TABLE company REPLICA IDENTITY FULL');
    await open();
    await client.query('BEGIN');
    await mark(firstMark(3));
    await client.query(`UPDATE company SET name = 'A' WHERE id = 1`);
    await client.query(`INSERT INTO company VALUES (4, 'd')`);
    await client.query(`DELETE FROM company WHERE id = 2`);
    await client.query(`UPDATE company SET city = 'Z' WHERE id IN (1, 4)`);
    await client.query(`INSERT INTO company VALUES (2, 'again')`);
    await client.query(`INSERT INTO company VALUES (5, 'gone')`);
    await client.query(`DELETE FROM company WHERE id = 5`);
    await close([applied('c1', '1'), applied('c4', '4'), applied('c2', '2'), applied('c5', '5'), applied('c3', '3')]);
    await client.query('COMMIT');
    expect(await events()).toEqual([
      'update company 1 c1',
      'insert company 4 c4',
      'update company 2 c2',
      'insert company 5 c5',
      'delete company 5 beside',
      'outcome applied c3',
      'transaction',
    ]);
    const [one, four, two] = store.changes;
    expect([one!.before, one!.after]).toEqual([
      { id: 1, name: 'a', city: 'x' },
      { id: 1, name: 'A', city: 'Z' },
    ]);
    expect([four!.before, four!.after]).toEqual([null, { id: 4, name: 'd', city: 'Z' }]);
    expect([two!.before, two!.after]).toEqual([
      { id: 2, name: 'b', city: 'x' },
      { id: 2, name: 'again', city: null },
    ]);
  });

  it('are nothing but edits without their last message, or with another prefix', async () => {
    await open();
    await client.query('BEGIN');
    await mark(firstMark(1));
    await client.query(`UPDATE company SET name = 'A' WHERE id = 1`);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query('SELECT pg_logical_emit_message(true, $1, $2)', ['duolog:other:customers', firstMark(1)]);
    await client.query(`DELETE FROM company WHERE id = 2`);
    await client.query(`SELECT pg_logical_emit_message(true, 'somebody', 'else')`);
    await client.query('COMMIT');
    expect(await events()).toEqual(['update company 1 edit', 'delete company 2 edit', 'transaction']);
  });

  it('follow a command that changes the key itself', async () => {
    await open();
    await client.query('BEGIN');
    await mark(firstMark(1));
    await client.query(`UPDATE company SET id = 11 WHERE id = 1`);
    await close([applied('c1', '1')]);
    await client.query('COMMIT');
    expect(await events()).toEqual(['delete company 1 beside', 'update company 11 c1', 'transaction']);
    expect(store.changes[1]!.keyChange).toEqual({ from: '1' });
  });

  it.each([
    ['in memory', 32 << 20],
    ['on disk', 10_000],
  ])('come out the same held %s, many messages long, and after restarts inside them', async (_where, holdBytes) => {
    await open({ holdBytes }, 100);
    await client.query('BEGIN');
    await mark(firstMark(3000));
    await client.query(`INSERT INTO company SELECT n, repeat('x', 300) FROM generate_series(1001, 4000) n`);
    await client.query(`INSERT INTO log SELECT n, 'beside' FROM generate_series(1, 500) n`);
    await client.query(`UPDATE company SET city = 'later' WHERE id > 3900`);
    await close(Array.from({ length: 3000 }, (_, n) => applied(`c${1001 + n}`, String(1001 + n))));
    await client.query('COMMIT');
    await client.query(`INSERT INTO company VALUES (99)`);
    for (let batches = 0; store.changes.at(-1)?.key !== '99' || store.changes.length < 3501; batches++) {
      const batch = await source!.next(5_000);
      if (batch === null) continue;
      store.commit(batch);
      await source!.acknowledge(batch.position);
      if (batches % 10 !== 5) continue;
      await source!.close();
      const entities = [captured('company', 'public.company'), captured('log', 'public.log')];
      source = sourceOf({ url: database.url, prefix, entities, tuning: { holdBytes }, maxBatchEvents: 100 });
      await source.open(store.resume);
    }
    expect(store.events.map(short)).toEqual([
      ...Array.from({ length: 3000 }, (_, n) => `insert company ${1001 + n} c${1001 + n}`),
      ...Array.from({ length: 500 }, (_, n) => `insert log ${n + 1} beside`),
      'insert company 99 edit',
    ]);
    expect(store.changes.slice(2900, 3000).every((change) => change.after!.city === 'later')).toBe(true);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('duolog-spill-'))).toEqual([]);
  });
});
