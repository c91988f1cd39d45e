import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type LocalPostgres, startPostgres } from '../../deploy/dev/stack.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import { eventually } from '../support/eventually.js';
import { testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, Replica, snapshotDone, sourceOf, Store } from './source-fixture.js';

/**
 * A commit waits for a synchronous standby that does not answer: it is in the log, and delivered, and no snapshot sees
 * it. A chunk read meanwhile shows the rows as they were before it.
 */
describe.each(testedPostgres)('a commit in the log of Postgres %i that is not visible yet', (version) => {
  let server: LocalPostgres;
  let admin: pg.Client;
  let writer: pg.Client;
  let source: PostgresSource | null = null;
  let url: string;
  let databases = 0;
  beforeAll(async () => {
    server = await startPostgres({ version });
  });
  afterAll(() => server.destroy());
  afterEach(async () => {
    await setStandby('');
    await source?.close();
    await writer.end();
    await admin.end();
  });

  async function setStandby(name: string): Promise<void> {
    await admin.query(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
    await admin.query('SELECT pg_reload_conf()');
    await eventually(async () => {
      const shown = await admin.query('SHOW synchronous_standby_names');
      return shown.rows[0].synchronous_standby_names === name;
    });
  }

  async function begin(): Promise<{
    readonly store: Store;
    readonly replica: Replica;
    open(): Promise<PostgresSource>;
  }> {
    url = await server.createDatabase(`invisible_${++databases}`);
    admin = await connect(url);
    writer = await connect(url);
    await admin.query('SET synchronous_commit = local');
    await admin.query(
      `CREATE TABLE item (id int PRIMARY KEY, v int); INSERT INTO item SELECT n, 0 FROM generate_series(1, 200) n`,
    );
    const store = new Store();
    const prefix = uniquePrefix();
    const open = async () => {
      const entities = [captured('item', 'public.item')];
      // Little room: the snapshot goes on only as far as the test reads.
      source = sourceOf({ url, prefix, entities, maxBatchEvents: 10, tuning: { maxChunkRows: 10 } });
      await source.open(store.resume);
      return source;
    };
    return { store, replica: new Replica('v'), open };
  }

  /** Starts a transaction that hangs in its commit; resolves when it does. */
  async function hang(): Promise<{ readonly committed: Promise<unknown> }> {
    await setStandby('nobody');
    await writer.query('BEGIN');
    await writer.query(`UPDATE item SET v = 1 WHERE id IN (5, 150, 190)`);
    await writer.query(`DELETE FROM item WHERE id = 160`);
    await writer.query(`INSERT INTO item VALUES (170000, 1)`);
    await writer.query(`UPDATE item SET id = 500, v = 1 WHERE id = 165`);
    const committed = writer.query('COMMIT');
    await eventually(async () => {
      const waiting = await admin.query(`SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
      return waiting.rows.length === 1;
    });
    return { committed };
  }

  const delivered = (store: Store) => () => store.changes.some((change) => change.key === '170000');
  const reads = (store: Store) => store.changes.filter((change) => change.operation === 'read').length;

  async function expectEqual(store: Store, replica: Replica): Promise<void> {
    replica.take(store.events);
    expect(replica.faults).toEqual([]);
    const table = await admin.query('SELECT id, v FROM item ORDER BY id');
    const told = [...replica.rows.values()].sort((one, other) => Number(one.id) - Number(other.id));
    expect(told).toEqual(table.rows);
  }

  it('is not undone by the rows of chunks that do not see it', async () => {
    const { store, replica, open } = await begin();
    await open();
    await readUntil(source!, store, () => reads(store) >= 50);
    const { committed } = await hang();
    await readUntil(source!, store, delivered(store));
    expect(reads(store)).toBeLessThan(140);
    // The whole rest of the table is read while the commit is still invisible.
    await readUntil(source!, store, snapshotDone(store, 'item'));
    expect((await admin.query('SELECT v FROM item WHERE id = 150')).rows).toEqual([{ v: 0 }]);
    await setStandby('');
    await committed;
    await expectEqual(store, replica);
  });

  it('is waited for by a snapshot that goes on after a restart, while streaming goes on', async () => {
    const { store, replica, open } = await begin();
    await open();
    await readUntil(source!, store, () => reads(store) >= 50);
    const { committed } = await hang();
    await readUntil(source!, store, delivered(store));
    await source!.close();
    // The new process knows nothing of what was delivered: it must not read before the commit is visible.
    await open();
    await eventually(() => /waits for the transaction of session \d+ .*SyncRep/.test(source!.status().detail ?? ''));
    expect(source!.status().phase).toBe('waiting-for-transactions');
    const before = reads(store);
    await admin.query(`UPDATE item SET v = 2 WHERE id = 1`);
    await readUntil(source!, store, () => store.changes.at(-1)!.after?.v === 2);
    expect(reads(store)).toBe(before);
    await setStandby('');
    await committed;
    await readUntil(source!, store, snapshotDone(store, 'item'));
    await expectEqual(store, replica);
  });

  it('is waited for by the making of the slot, which can be given up and begun again', async () => {
    const { store, replica, open } = await begin();
    const { committed } = await hang();
    const givenUp = open().then(
      () => 'opened',
      (error: unknown) => (error instanceof DuologError ? error.code : error),
    );
    await eventually(async () => {
      const making = await admin.query(
        `SELECT FROM pg_stat_activity WHERE query LIKE '%create_logical_replication_slot%' AND pid <> pg_backend_pid()`,
      );
      return making.rows.length === 1;
    });
    await source!.close();
    expect(await givenUp).toBe('SOURCE_UNREACHABLE');
    const opening = open();
    await eventually(() => source!.status().phase === 'waiting-for-transactions');
    await setStandby('');
    await committed;
    await opening;
    await readUntil(source!, store, snapshotDone(store, 'item'));
    await expectEqual(store, replica);
  });

  it('is waited for by the very first snapshot', async () => {
    const { store, replica, open } = await begin();
    const { committed } = await hang();
    const opening = open();
    await eventually(() => source?.status().phase === 'waiting-for-transactions');
    await setStandby('');
    await committed;
    await opening;
    await readUntil(source!, store, snapshotDone(store, 'item'));
    await expectEqual(store, replica);
  });
});
