import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type LocalPostgres, startPostgres } from '../../deploy/dev/stack.js';
import type { SourceBatch } from '../../src/connector/contract.js';
import { markPrefix } from '../../connectors/postgres/marks.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { parseLsn } from '../../connectors/postgres/stream/lsn.js';
import { eventually } from '../support/eventually.js';
import { testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, snapshotDone, sourceOf, Store } from './source-fixture.js';

/** The hazards of pg-logical-replication's acknowledgements, each with a test that it does not reach us (I1). */
describe.each(testedPostgres)('what is confirmed to Postgres %i', (version) => {
  let server: LocalPostgres;
  let client: pg.Client;
  let url: string;
  let prefix: string;
  let slot: string;
  let source: PostgresSource | null;
  let store: Store;
  let databases = 0;
  beforeAll(async () => {
    server = await startPostgres({ version, settings: { wal_sender_timeout: '3s' } });
  });
  afterAll(() => server.destroy());
  beforeEach(async () => {
    url = await server.createDatabase(`confirmed_${++databases}`);
    client = await connect(url);
    prefix = uniquePrefix();
    slot = `duolog_${prefix}_crm`;
    store = new Store();
    source = null;
    await client.query(`CREATE TABLE company (id int PRIMARY KEY, name text); CREATE TABLE other (id int, body text)`);
  });
  afterEach(async () => {
    await source?.close();
    // The server takes a moment to notice that the reader has gone.
    await eventually(() => client.query(`SELECT pg_drop_replication_slot('${slot}')`));
    await client.end();
  });

  const TUNING = { statusIntervalMs: 30, heartbeatIntervalMs: 300 };
  async function open(maxBatchEvents = 1000, tuning = TUNING): Promise<PostgresSource> {
    source = sourceOf({ url, prefix, entities: [captured('company', 'public.company')], maxBatchEvents, tuning });
    await source.open(store.resume);
    return source;
  }
  const confirmed = async () => {
    const slots = await client.query(
      `SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = $1`,
      [slot],
    );
    return parseLsn(slots.rows[0].lsn);
  };
  /** The next events; a heartbeat may come before them where the server is slow, and stays unacknowledged. */
  const events = async (): Promise<Extract<SourceBatch, { kind: 'events' }>> =>
    eventually(async () => {
      const batch = await source!.next(1_000);
      return batch?.kind === 'events' ? batch : null;
    });
  const kill = async () => {
    const ended = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'duolog%' AND datname = current_database()`,
    );
    expect(ended.rows.length).toBeGreaterThan(0);
    await source!.close();
  };
  /** Long enough for many of our timers to have come round: the server has heard of us again and again. */
  const manySigns = async () => {
    for (let n = 0; n < 5; n++) {
      const heard = await replyTime();
      await client.query(`INSERT INTO other VALUES (1, repeat('x', 1000))`);
      await eventually(async () => (await replyTime()) !== heard);
    }
  };
  const replyTime = async () => {
    const replies = await client.query(`SELECT max(reply_time)::text AS time FROM pg_stat_replication`);
    return replies.rows[0].time;
  };
  /** Waits until the slot stands where the last batch that was acknowledged ends. */
  const settled = () =>
    eventually(async () => {
      const places = [store.position, store.heartbeat].map((text) =>
        text === null ? 0 : parseLsn(JSON.parse(text).lsn),
      );
      return (await confirmed()) === Math.max(...places) + 1;
    });

  it('is nothing that was only handed out: after a kill all of it comes again', async () => {
    await open();
    await readUntil(source!, store, snapshotDone(store, 'company'));
    await settled();
    const before = await confirmed();
    for (let id = 1; id <= 20; id++) await client.query(`INSERT INTO company VALUES (${id})`);
    const handedOut: string[] = [];
    while (handedOut.length < 20) handedOut.push(...(await events()).events.map((event) => event.position));
    await manySigns();
    expect(await confirmed()).toBe(before);
    await kill();
    await open();
    const again: string[] = [];
    while (again.length < 20) again.push(...(await events()).events.map((event) => event.position));
    expect(again).toEqual(handedOut);
  });

  it('is what was acknowledged, no more, however long the rest waits', async () => {
    await open(1);
    await readUntil(source!, store, snapshotDone(store, 'company'));
    for (let id = 1; id <= 3; id++) await client.query(`INSERT INTO company VALUES (${id})`);
    const first = await events();
    await source!.acknowledge(first.position);
    store.commit(first);
    const { lsn } = JSON.parse(first.position);
    await eventually(async () => (await confirmed()) === parseLsn(lsn) + 1);
    await events();
    await manySigns();
    expect(await confirmed()).toBe(parseLsn(lsn) + 1);
    await kill();
    await open(1);
    expect((await events()).events).toMatchObject([{ key: '2' }]);
    expect((await events()).events).toMatchObject([{ key: '3' }]);
  });

  it('is not a transaction of which only a part is acknowledged', async () => {
    await open(10);
    await readUntil(source!, store, snapshotDone(store, 'company'));
    await client.query(`INSERT INTO company SELECT n FROM generate_series(1, 30) n`);
    const before = await confirmed();
    const part = await events();
    await source!.acknowledge(part.position);
    store.commit(part);
    await manySigns();
    expect(await confirmed()).toBeGreaterThanOrEqual(before);
    await kill();
    await open(10);
    const rest = [...(await events()).events, ...(await events()).events];
    expect(rest.map((event) => (event.kind === 'change' ? Number(event.key) : 0))).toEqual(
      Array.from({ length: 20 }, (_, n) => n + 11),
    );
  });

  it('is nothing behind a message that could not be read', async () => {
    await open();
    await readUntil(source!, store, snapshotDone(store, 'company'));
    await client.query(`SELECT pg_logical_emit_message(true, '${markPrefix(prefix, 'customers')}', '{"v":99}')`);
    await client.query(`INSERT INTO company VALUES (1)`);
    await expect(readUntil(source!, store, () => false)).rejects.toThrow(/format/);
    await source!.close();
    expect(await confirmed()).toBeLessThanOrEqual(parseLsn(JSON.parse(store.position!).lsn) + 1);
    expect(store.changes).toEqual([]);
  });

  it('leaves out no commit that begins where an acknowledged one ends', async () => {
    await open(1);
    await readUntil(source!, store, snapshotDone(store, 'company'));
    const another = await connect(url);
    await client.query(`BEGIN; INSERT INTO company VALUES (1)`);
    await another.query(`BEGIN; INSERT INTO company VALUES (2)`);
    await client.query('COMMIT');
    await another.query('COMMIT');
    await another.end();
    const first = await events();
    store.commit(first);
    await source!.acknowledge(first.position);
    const next = parseLsn(JSON.parse(first.position).lsn) + 1;
    let stands = 0;
    const what = () => `the slot, at ${stands}, to stand at ${next}; source ${JSON.stringify(source!.status())}`;
    await eventually(async () => (stands = await confirmed()) === next, { what });
    await kill();
    await open(1);
    expect((await events()).events).toMatchObject([{ key: '2' }]);
  });

  it('leaves out no commit that begins where a heartbeat stood', async () => {
    await open();
    await readUntil(source!, store, snapshotDone(store, 'company'));
    const another = await connect(url);
    await another.query(`BEGIN; INSERT INTO company VALUES (1)`);
    // A commit flushes the log, so that the heartbeat comes to stand behind the open transaction's row.
    await client.query(`INSERT INTO other VALUES (1)`);
    const heartbeats = () => store.batches.filter((batch) => batch.kind === 'heartbeat').length;
    const already = heartbeats();
    await readUntil(source!, store, () => heartbeats() >= already + 2);
    const standing = parseLsn(JSON.parse(store.heartbeat!).lsn);
    await eventually(async () => (await confirmed()) === standing + 1);
    await another.query('COMMIT');
    await another.end();
    await kill();
    await open();
    await readUntil(source!, store, () => store.changes.some((change) => change.key === '1'));
  });

  it('is no keepalive while a batch is in flight', async () => {
    await open();
    await readUntil(source!, store, snapshotDone(store, 'company'));
    await settled();
    await client.query(`INSERT INTO company VALUES (1)`);
    const batch = await events();
    const before = await confirmed();
    await manySigns();
    expect(await source!.next(700)).toBeNull();
    expect(await confirmed()).toBe(before);
    await source!.acknowledge(batch.position);
    expect((await source!.next(60_000))?.kind).toBe('heartbeat');
  });

  it('moves on while nothing is for us: other tables, other databases', async () => {
    await open();
    await readUntil(source!, store, snapshotDone(store, 'company'));
    const other = await connect(server.url('postgres'));
    await other.query(`CREATE TABLE IF NOT EXISTS noise (body text)`);
    for (const writer of [client, other]) {
      await writer.query(`CREATE TABLE IF NOT EXISTS noise (body text)`);
      for (let n = 0; n < 5; n++)
        await writer.query(`INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 500)`);
      const written = parseLsn((await writer.query('SELECT pg_current_wal_lsn() AS lsn')).rows[0].lsn);
      await readUntil(source!, store, async () => (await confirmed()) >= written);
    }
    await other.end();
    const heartbeat = store.batches.at(-1)!;
    expect(heartbeat.kind).toBe('heartbeat');
    const now = (await client.query(`SELECT extract(epoch FROM now())::float8 * 1e6 AS now`)).rows[0].now;
    expect(Math.abs((heartbeat.kind === 'heartbeat' ? heartbeat.timeMicros : 0) - now)).toBeLessThan(30e6);
    // The heartbeat alone is enough to go on from.
    await source!.close();
    await open();
    await client.query(`INSERT INTO company VALUES (1)`);
    await readUntil(source!, store, () => store.changes.length === 1);
  });

  it('goes on while we stand still for longer than wal_sender_timeout with the socket stopped', async () => {
    const { statusIntervalMs: _, ...slow } = TUNING;
    await open(100, { ...slow, statusIntervalMs: 10_000 });
    await readUntil(source!, store, snapshotDone(store, 'company'));
    await client.query(`INSERT INTO company SELECT n, repeat('x', 500) FROM generate_series(1, 30000) n`);
    await eventually(async () => {
      const waiting = await client.query(`SELECT FROM pg_stat_activity WHERE wait_event = 'WalSenderWriteData'`);
      return waiting.rows.length === 1;
    });
    const pid = async () =>
      (await client.query('SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1', [slot])).rows;
    const before = await pid();
    const since = Date.now();
    await eventually(() => Date.now() - since > 6_000);
    expect(await pid()).toEqual(before);
    await readUntil(source!, store, () => store.changes.length === 30_000);
  });
});
