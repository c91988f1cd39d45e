import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { randomFrom } from './source-random.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import {
  captured,
  connect,
  readUntil,
  Replica,
  type SourceSetup,
  snapshotDone,
  sourceOf,
  Store,
} from './source-fixture.js';

describe.each(testedPostgres)('snapshots while streaming from Postgres %i', (version) => {
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

  const open = async (names: readonly string[], setup: Partial<SourceSetup> = {}): Promise<PostgresSource> => {
    const entities = names.map((name) => captured(name, `public.${name}`));
    source = sourceOf({ url: database.url, prefix, entities, ...setup });
    await source.open(store.resume);
    return source;
  };
  const reads = (entity: string) =>
    store.changes.filter((change) => change.operation === 'read' && change.table.entity === entity);

  /** As a kill -9 does: the sessions are gone, nothing is confirmed, what was not committed to Kafka is lost. */
  const kill = async (): Promise<void> => {
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'duolog%' AND datname = current_database()`,
    );
    await source!.close();
  };

  /** Writers with their own connections; each transaction has one or several operations, some are rolled back. */
  async function write(seed: number, writers: number, transactions: number): Promise<number> {
    const done = Array.from({ length: writers }, async (_, writer) => {
      const random = randomFrom(seed * 100 + writer);
      const connection = await connect(database.url);
      let events = 0;
      for (let n = 0; n < transactions; n++) events += await oneTransaction(connection, random);
      await connection.end();
      return events;
    });
    return (await Promise.all(done)).reduce((sum, events) => sum + events, 0);
  }

  async function oneTransaction(connection: pg.Client, random: (below: number) => number): Promise<number> {
    let events = 0;
    try {
      await connection.query('BEGIN');
      for (let n = random(4); n >= 0; n--) {
        const id = 1 + random(1200);
        const kind = random(10);
        if (kind < 5) events += await rows(connection, `UPDATE item SET v = nextval('versions') WHERE id = ${id}`);
        else if (kind < 7)
          events += await rows(
            connection,
            `INSERT INTO item VALUES (${id}, nextval('versions')) ON CONFLICT DO NOTHING`,
          );
        else if (kind < 9) events += await rows(connection, `DELETE FROM item WHERE id = ${id}`);
        else {
          const move = `UPDATE item SET id = ${1 + random(1200)}, v = nextval('versions') WHERE id = ${id}`;
          const moved = await connection.query(`${move} RETURNING id`);
          events += moved.rows.length === 1 && moved.rows[0].id !== id ? 2 : moved.rows.length;
        }
        if (random(8) === 0) await connection.query('SELECT pg_sleep(0.01)');
      }
      const commit = random(6) > 0;
      await connection.query(commit ? 'COMMIT' : 'ROLLBACK');
      return commit ? events : 0;
    } catch {
      // A deadlock, or a key that is there already.
      await connection.query('ROLLBACK');
      return 0;
    }
  }

  const rows = async (connection: pg.Client, statement: string) => (await connection.query(statement)).rowCount ?? 0;

  async function expectEqual(replica: Replica): Promise<void> {
    const table = await client.query(`SELECT id, v FROM item ORDER BY id`);
    const told = [...replica.rows.values()].sort((one, other) => Number(one.id) - Number(other.id));
    expect(replica.faults).toEqual([]);
    expect(told).toEqual(table.rows.map(({ id, v }) => ({ id, v: Number(v) })));
  }

  it.each([
    { how: 'again and again', seed: 1, maxChunkRows: 400, maxChangedKeys: 100_000, killEvery: 0, again: true },
    {
      how: 'again and again, killed often',
      seed: 4,
      maxChunkRows: 100,
      maxChangedKeys: 500,
      killEvery: 11,
      again: true,
    },
    { how: 'killed many times', seed: 2, maxChunkRows: 25, maxChangedKeys: 100_000, killEvery: 7, again: false },
    { how: 'with too little memory', seed: 3, maxChunkRows: 25, maxChangedKeys: 10, killEvery: 0, again: false },
  ])('give the table, each change once, while it is written to: $how', async (how) => {
    const { seed, maxChunkRows, maxChangedKeys, killEvery, again } = how;
    await client.query(`CREATE TABLE item (id int PRIMARY KEY, v bigint); CREATE SEQUENCE versions`);
    await client.query(`INSERT INTO item SELECT n, nextval('versions') FROM generate_series(1, 900) n`);
    const setup = { maxBatchEvents: again ? 2000 : 40, tuning: { maxChunkRows, maxChangedKeys } };
    await open(['item'], setup);
    let writing = true;
    const written = write(seed, 4, again ? 500 : 120).finally(() => {
      writing = false;
    });
    const replica = new Replica('v');
    let expected: number | null = null;
    let kills = 0;
    for (let batches = 1; ; batches++) {
      if (killEvery > 0 && batches % killEvery === 0 && !source!.status().snapshot.item!.done) {
        await source!.next(20);
        await kill();
        kills++;
        await open(['item'], setup);
      }
      const batch = await source!.next(50);
      if (batch?.kind === 'events') {
        store.commit(batch);
        replica.take(batch.events);
        await source!.acknowledge(batch.position);
      }
      const { snapshot } = source!.status();
      if (again && writing && snapshot.item!.done) source!.readAgain('item');
      if (!writing) expected ??= await written;
      if (batch === null && replica.streamed === expected && snapshot.item!.done) break;
      if (expected !== null && replica.streamed > expected) break;
      if (batches > 20_000) throw new Error(`${replica.streamed} of ${expected} changes came`);
    }
    expect(replica.streamed).toBe(expected);
    if (killEvery > 0) expect(kills).toBeGreaterThan(0);
    await expectEqual(replica);
    const positions = store.events.map((event) => event.position);
    expect([...new Set(positions)].sort()).toEqual(positions);
  });

  it('go on after a kill where they were, composite text keys in the order of their collation', async () => {
    await client.query(`CREATE TABLE line (doc text, part char(3), note text, PRIMARY KEY (part, doc))`);
    await client.query(
      `INSERT INTO line SELECT chr(65 + n % 26) || case when n % 3 = 0 then '''\\' else 'ä' end || n, n % 7, 'x' FROM generate_series(1, 500) n`,
    );
    const setup = { maxBatchEvents: 30, tuning: { maxChunkRows: 20 } };
    await open(['line'], setup);
    await readUntil(source!, store, () => reads('line').length >= 100);
    await source!.next(500);
    const before = reads('line').length;
    expect(before).toBeLessThan(200);
    await kill();
    await open(['line'], setup);
    expect(source!.status().snapshot.line).toMatchObject({ rows: before, done: false });
    await readUntil(source!, store, snapshotDone(store, 'line'));
    const keys = reads('line').map((change) => change.key);
    expect(keys.length).toBe(500);
    expect(new Set(keys).size).toBe(500);
    const ends = store.events.flatMap((event) => (event.kind === 'end' ? [event.end] : []));
    expect(ends).toEqual(['snapshot-begin', 'snapshot']);
    expect(source!.status()).toMatchObject({ phase: 'streaming', snapshot: { line: { rows: 500, done: true } } });
  });

  it('read several tables, one that is added later, and one again on demand', async () => {
    await client.query(
      `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)`,
    );
    await client.query(`INSERT INTO a SELECT generate_series(1, 50); INSERT INTO b SELECT generate_series(1, 60)`);
    await client.query(`INSERT INTO c SELECT generate_series(1, 70)`);
    await open(['a', 'b'], { tuning: { maxChunkRows: 20 } });
    await readUntil(source!, store, snapshotDone(store, 'a', 'b'));
    await source!.close();
    await open(['a', 'b', 'c'], { tuning: { maxChunkRows: 20 } });
    await readUntil(source!, store, snapshotDone(store, 'c'));
    expect([reads('a').length, reads('b').length, reads('c').length]).toEqual([50, 60, 70]);
    await client.query(`INSERT INTO c VALUES (1000)`);
    await client.query(`DELETE FROM a WHERE id > 40`);
    await readUntil(source!, store, () => store.changes.some((change) => change.key === '1000'));
    const from = store.events.length;
    source!.readAgain('a');
    await readUntil(source!, store, () =>
      store.events.slice(from).some((e) => e.kind === 'end' && e.end === 'snapshot'),
    );
    expect(reads('a').length).toBe(90);
  });

  it('give the keys to rows that are larger than a chunk may be', async () => {
    await client.query(
      `CREATE TABLE big (id int PRIMARY KEY, body text); ALTER TABLE big ALTER body SET STORAGE EXTERNAL`,
    );
    await client.query(`INSERT INTO big SELECT n, repeat('x', 3000000) FROM generate_series(1, 12) n`);
    await open(['big'], { maxBatchBytes: 1 << 20 });
    await readUntil(source!, store, snapshotDone(store, 'big'));
    expect(reads('big').map((change) => change.key)).toEqual(Array.from({ length: 12 }, (_, n) => String(n + 1)));
    // One row a batch: a batch has at least one, whatever its size.
    expect(store.batches.every((batch) => batch.kind === 'heartbeat' || batch.events.length <= 2)).toBe(true);
  });

  it('of an empty table begin and end', async () => {
    await client.query(`CREATE TABLE nothing (id int PRIMARY KEY)`);
    await open(['nothing']);
    await readUntil(source!, store, snapshotDone(store, 'nothing'));
    expect(store.events.map((event) => event.kind === 'end' && event.end)).toEqual(['snapshot-begin', 'snapshot']);
  });

  it('do not take a table for empty that is rewritten while they want to read it', async () => {
    await client.query(`CREATE TABLE item (id int PRIMARY KEY, v int)`);
    await client.query(`INSERT INTO item SELECT n, n FROM generate_series(1, 500) n`);
    await open(['item'], { maxBatchEvents: 20, tuning: { maxChunkRows: 20 } });
    await readUntil(source!, store, () => reads('item').length >= 100);
    const migration = await connect(database.url);
    await migration.query(`BEGIN; ALTER TABLE item ALTER v TYPE bigint`);
    await readUntil(source!, store, async () => {
      const waiting = await client.query(`SELECT FROM pg_locks WHERE NOT granted AND relation = 'item'::regclass`);
      return waiting.rows.length === 1;
    });
    await migration.query('COMMIT');
    await migration.end();
    await readUntil(source!, store, snapshotDone(store, 'item'));
    expect(new Set(reads('item').map((change) => change.key)).size).toBe(500);
  });

  it('follow columns whose types change while they read, without a change in the stream that would tell', async () => {
    await client.query(`CREATE TABLE item (id int PRIMARY KEY, v int, gone int)`);
    await client.query(`INSERT INTO item SELECT n, n, 0 FROM generate_series(1, 300) n`);
    await open(['item'], { maxBatchEvents: 20, tuning: { maxChunkRows: 20 } });
    await readUntil(source!, store, () => reads('item').length >= 100);
    await client.query(`ALTER TABLE item ALTER v TYPE text USING 'v' || v, DROP COLUMN gone`);
    await readUntil(source!, store, snapshotDone(store, 'item'));
    const last = new Map(store.changes.map((change) => [change.key, change.after]));
    expect([...last.values()]).toEqual(Array.from({ length: 300 }, (_, n) => ({ id: n + 1, v: `v${n + 1}` })));
    expect(store.changes.at(-1)!.table.columns[1]!.type.kind).toBe('text');
  });

  it('hold no transaction over two chunks, and no lock beyond that of a reader', async () => {
    await client.query(`CREATE TABLE item (id int PRIMARY KEY, v int)`);
    await client.query(`INSERT INTO item SELECT n, n FROM generate_series(1, 3000) n`);
    await open(['item'], { maxBatchEvents: 20, tuning: { maxChunkRows: 20 } });
    await readUntil(source!, store, () => reads('item').length > 0);
    const ours = `application_name LIKE 'duolog%' AND datname = current_database()`;
    const transactions: string[] = [];
    const gate = await connect(database.url);
    // No reader ends: what lasts as long as the snapshot would keep the gate from closing.
    await gate.query(`SET lock_timeout = '60s'`);
    for (let chunk = 0; chunk < 8; chunk++) {
      // Closes behind the chunk that is being read; the next one gets the table and waits for its index.
      await gate.query(`BEGIN; REINDEX INDEX item_pkey`);
      await readUntil(source!, store, async () => {
        const waiting = await client.query(
          `SELECT FROM pg_locks WHERE NOT granted AND relation = 'item_pkey'::regclass`,
        );
        return waiting.rows.length === 1;
      });
      const open = await client.query<{ name: string }>(
        `SELECT pid || ' ' || xact_start AS name FROM pg_stat_activity WHERE ${ours} AND xact_start IS NOT NULL`,
      );
      const locks = await client.query(
        `SELECT DISTINCT mode FROM pg_locks JOIN pg_stat_activity USING (pid)
          WHERE ${ours} AND relation = 'item'::regclass`,
      );
      expect(locks.rows).toEqual([{ mode: 'AccessShareLock' }]);
      expect(open.rows.length).toBeGreaterThan(0);
      transactions.push(...open.rows.map(({ name }) => name));
      await gate.query('COMMIT');
    }
    await gate.end();
    expect(transactions).toEqual([...new Set(transactions)]);
    await readUntil(source!, store, snapshotDone(store, 'item'));
    expect(new Set(reads('item').map((change) => change.key)).size).toBe(3000);
  });

  it('take no lock that a migration would wait for', async () => {
    await client.query(`CREATE TABLE item (id int PRIMARY KEY, v int)`);
    await client.query(`INSERT INTO item SELECT n, n FROM generate_series(1, 500) n`);
    await open(['item'], { maxBatchEvents: 20, tuning: { maxChunkRows: 20 } });
    await readUntil(source!, store, () => reads('item').length >= 100);
    await client.query(`SET lock_timeout = '5s'`);
    await client.query(`ALTER TABLE item ADD COLUMN w int DEFAULT 7`);
    await client.query(`UPDATE item SET v = -1 WHERE id = 1`);
    await readUntil(source!, store, snapshotDone(store, 'item'));
    // The columns changed under the snapshot: it begins again, so that every row has them.
    const last = new Map(store.changes.map((change) => [change.key, change.after]));
    expect([...last.values()].every((row) => row!.w === 7)).toBe(true);
    expect(last.get('1')).toEqual({ id: 1, v: -1, w: 7 });
  });
});
