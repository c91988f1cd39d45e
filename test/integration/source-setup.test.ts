import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createConnector } from '../../connectors/registry.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { startPostgres } from '../../deploy/dev/stack.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import { eventually } from '../support/eventually.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, readUntil, snapshotDone, sourceOf, Store } from './source-fixture.js';

describe.each(testedPostgres)('the set-up of capture in Postgres %i', (version) => {
  let database: FreshDatabase;
  let client: pg.Client;
  let prefix: string;
  let slot: string;
  let store: Store;
  const sources: PostgresSource[] = [];
  const roles: string[] = [];
  beforeEach(async () => {
    database = await freshDatabase(version);
    client = await connect(database.url);
    prefix = uniquePrefix();
    slot = `duolog_${prefix}_crm`;
    store = new Store();
    await client.query(`CREATE TABLE company (id int PRIMARY KEY, name text)`);
  });
  afterEach(async () => {
    for (const source of sources.splice(0)) await source.close();
    await client.end();
    await database.drop();
    for (const role of roles.splice(0)) {
      const postgres = await connect(database.url.replace(/\/[^/]*$/, '/postgres'));
      await postgres.query(`DROP ROLE ${role}`);
      await postgres.end();
    }
  });

  function source(url = database.url, table = 'public.company'): PostgresSource {
    const made = sourceOf({
      url,
      prefix,
      entities: [captured('company', table)],
      tuning: { heartbeatIntervalMs: 100 },
    });
    sources.push(made);
    return made;
  }
  const failure = async (opening: Promise<unknown>): Promise<DuologError> => {
    const error = await opening.then(
      () => null,
      (reason: unknown) => reason,
    );
    if (!(error instanceof DuologError)) throw new Error('Expected a DuologError', { cause: error });
    return error;
  };
  /** A role of its own with what is granted, and the database's url for it. */
  async function role(options: string, grants: string): Promise<string> {
    const name = `role_${prefix}_${roles.length}`;
    roles.push(name);
    await client.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret' ${options}`);
    await client.query(grants.replaceAll('ROLE', name));
    const url = new URL(database.url);
    url.username = name;
    url.password = 'secret';
    return url.href;
  }

  it('makes publication and slot, and uses what is there', async () => {
    await source().open(store.resume);
    const publications = await client.query('SELECT pubname, pubviaroot FROM pg_publication');
    expect(publications.rows).toEqual([{ pubname: slot, pubviaroot: true }]);
    const slots = await client.query('SELECT plugin FROM pg_replication_slots WHERE slot_name = $1', [slot]);
    expect(slots.rows).toEqual([{ plugin: 'pgoutput' }]);
    await sources[0]!.close();
    await source().open(store.resume);
    await readUntil(sources[1]!, store, snapshotDone(store, 'company'));
  });

  it('ends an older reader, who then cannot confirm any more', async () => {
    const old = source();
    await old.open(store.resume);
    const oldStore = new Store();
    await readUntil(old, oldStore, snapshotDone(oldStore, 'company'));
    const fresh = source();
    await fresh.open(store.resume);
    const ended = await failure(readUntil(old, oldStore, () => false));
    expect(ended).toMatchObject({ code: 'SOURCE_UNREACHABLE', retry: 'backoff' });
    await client.query(`INSERT INTO company VALUES (1)`);
    await readUntil(fresh, store, () => store.changes.some((change) => change.key === '1'));
  });

  it('says that the server is away, the login refused, the database missing', async () => {
    expect(await failure(source('postgres://x:y@127.0.0.1:1/none').open(store.resume))).toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      retry: 'backoff',
    });
    const wrong = new URL(database.url);
    wrong.password = 'wrong-password';
    const login = await failure(source(wrong.href).open(store.resume));
    expect(login).toMatchObject({ code: 'SOURCE_LOGIN', retry: 'operator' });
    expect(`${login.message} ${login.hint}`).not.toContain('wrong-password');
    expect(await failure(source(`${database.url}_not`).open(store.resume))).toMatchObject({ code: 'SOURCE_LOGIN' });
  });

  it('says which right is missing, with the statement', async () => {
    const nothing = await role('', 'GRANT USAGE ON SCHEMA public TO ROLE');
    expect(await failure(source(nothing).open(store.resume))).toMatchObject({
      code: 'SOURCE_RIGHTS',
      hint: expect.stringMatching(/^Run: GRANT SELECT ON "public"."company" TO role_/),
    });
    const reader = await role('', 'GRANT SELECT ON company TO ROLE');
    expect(await failure(source(reader).open(store.resume))).toMatchObject({
      code: 'SOURCE_PUBLICATION',
      hint: expect.stringMatching(/CREATE PUBLICATION .* FOR TABLE "public"."company" WITH \(publish = /),
    });
    await client.query(`CREATE PUBLICATION ${slot} FOR TABLE company WITH (publish_via_partition_root = true)`);
    expect(await failure(source(reader).open(store.resume))).toMatchObject({
      code: 'SOURCE_RIGHTS',
      hint: expect.stringContaining('REPLICATION'),
    });
    const replicator = await role('REPLICATION', 'GRANT SELECT ON company TO ROLE');
    await source(replicator).open(store.resume);
    await readUntil(sources.at(-1)!, store, snapshotDone(store, 'company'));
  });

  it('refuses a table that is not there, has no key, or does not name its rows', async () => {
    expect(await failure(source(database.url, 'public.absent').open(store.resume))).toMatchObject({
      code: 'TABLE_NOT_FOUND',
      message: expect.stringContaining('public.absent'),
    });
    await client.query('CREATE TABLE keyless (id int)');
    expect(await failure(source(database.url, 'keyless').open(store.resume))).toMatchObject({
      code: 'TABLE_WITHOUT_KEY',
    });
    await client.query('ALTER TABLE company REPLICA IDENTITY NOTHING');
    expect(await failure(source().open(store.resume))).toMatchObject({
      code: 'TABLE_REPLICA_IDENTITY',
      hint: expect.stringContaining('ALTER TABLE "public"."company" REPLICA IDENTITY DEFAULT'),
    });
  });

  it.runIf(version >= 15)('refuses a publication that hides rows', async () => {
    await client.query(`CREATE PUBLICATION ${slot} FOR TABLE company WHERE (id > 5)`);
    expect(await failure(source().open(store.resume))).toMatchObject({
      code: 'SOURCE_PUBLICATION',
      hint: expect.stringContaining('SET TABLE "public"."company"'),
    });
  });

  it('refuses a slot that is gone, was read by somebody else, or belongs to something else', async () => {
    await source().open(store.resume);
    await readUntil(sources[0]!, store, snapshotDone(store, 'company'));
    await sources[0]!.close();
    await client.query(`INSERT INTO company VALUES (1)`);
    await eventually(() =>
      client.query(`SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, [slot]).then(() => true),
    );
    const beyond = await failure(source().open(store.resume));
    expect(beyond).toMatchObject({ code: 'SLOT_LOST', retry: 'operator' });
    expect(beyond.message).toMatch(/confirmed up to .* somebody else/);
    await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
    expect(await failure(source().open(store.resume))).toMatchObject({ code: 'SLOT_LOST' });
    await client.query(`SELECT pg_create_physical_replication_slot($1)`, [slot]);
    expect(await failure(source().open({ position: null, heartbeat: null }))).toMatchObject({
      code: 'SLOT_UNUSABLE',
      hint: expect.stringContaining('pg_drop_replication_slot'),
    });
    await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
    const elsewhere = JSON.stringify({ ...JSON.parse(store.position!), cluster: '1' });
    expect(await failure(source().open({ position: elsewhere, heartbeat: null }))).toMatchObject({
      code: 'SLOT_LOST',
      message: expect.stringContaining('another database cluster'),
    });
    expect(await failure(source().open({ position: 'x', heartbeat: null }))).toMatchObject({
      code: 'SOURCE_POSITION_INVALID',
    });
  });

  it('a heartbeat confirmed further than the position is no lost slot', async () => {
    await source().open(store.resume);
    await readUntil(sources[0]!, store, snapshotDone(store, 'company'));
    await client.query('CREATE TABLE other (id int); INSERT INTO other SELECT generate_series(1, 1000)');
    const until = store.batches.length + 2;
    await readUntil(sources[0]!, store, () => store.batches.length >= until);
    await sources[0]!.close();
    await source().open(store.resume);
    const withoutHeartbeat = await failure(source().open({ position: store.position, heartbeat: null }));
    expect(withoutHeartbeat.code).toBe('SLOT_LOST');
  });

  it('fails with a code while reading when the server goes, and goes on afterwards', async () => {
    const server = await startPostgres({ version });
    try {
      const url = await server.createDatabase('restarted');
      const other = await connect(url);
      await other.query(`CREATE TABLE company (id int PRIMARY KEY, name text)`);
      await other.end();
      const before = source(url);
      await before.open(store.resume);
      await readUntil(before, store, snapshotDone(store, 'company'));
      await server.restart('immediate');
      const error = await failure(readUntil(before, store, () => false));
      expect(error).toMatchObject({ code: 'SOURCE_UNREACHABLE', retry: 'backoff' });
      await before.close();
      const after = source(url);
      await after.open(store.resume);
      const again = await connect(url);
      await again.query(`INSERT INTO company VALUES (1)`);
      await again.end();
      await readUntil(after, store, () => store.changes.length === 1);
      await after.close();
    } finally {
      await server.destroy();
    }
  });

  it('refuses a slot whose log is gone', async () => {
    const settings = { max_slot_wal_keep_size: '1MB', max_wal_size: '64MB', min_wal_size: '32MB' };
    const server = await startPostgres({ version, settings });
    try {
      const url = await server.createDatabase('kept');
      const other = await connect(url);
      await other.query(`CREATE TABLE company (id int PRIMARY KEY, name text); CREATE TABLE noise (body text)`);
      await source(url).open(store.resume);
      await readUntil(sources.at(-1)!, store, snapshotDone(store, 'company'));
      await sources.at(-1)!.close();
      await eventually(async () => {
        await other.query(`INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)`);
        await other.query('SELECT pg_switch_wal()');
        await other.query('CHECKPOINT');
        const slots = await other.query('SELECT wal_status FROM pg_replication_slots');
        return slots.rows[0].wal_status === 'lost';
      });
      const lost = await failure(source(url).open(store.resume));
      expect(lost).toMatchObject({ code: 'SLOT_LOST', message: expect.stringContaining('max_slot_wal_keep_size') });
      await other.end();
    } finally {
      await server.destroy();
    }
  });

  it('refuses a server without logical decoding', async () => {
    const server = await startPostgres({ version, settings: { wal_level: 'replica' } });
    try {
      const url = await server.createDatabase('plain');
      expect(await failure(source(url).open(store.resume))).toMatchObject({ code: 'WAL_LEVEL', retry: 'operator' });
    } finally {
      await server.destroy();
    }
  });

  it('tells the shapes of tables, through the registry', async () => {
    await client.query(`
      CREATE SCHEMA app;
      CREATE TABLE app."Order Line" (line int, "order" text, qty numeric(8,2) NOT NULL DEFAULT 1,
        twice numeric GENERATED ALWAYS AS (qty * 2) STORED, note varchar(40), PRIMARY KEY ("order", line));
      COMMENT ON TABLE app."Order Line" IS 'lines'; COMMENT ON COLUMN app."Order Line".note IS 'free text'`);
    const connector = createConnector('erp', { connector: 'postgres', url: database.url });
    const catalogue = connector.catalogue();
    const [shape] = await catalogue.tables([{ entity: 'line', table: 'app.Order Line' }]);
    expect(shape).toMatchObject({
      system: 'erp',
      entity: 'line',
      table: 'app.Order Line',
      key: ['order', 'line'],
      comment: 'lines',
    });
    const column = (name: string) => shape!.columns.find((each) => each.name === name);
    expect(column('qty')).toEqual({
      name: 'qty',
      type: { kind: 'decimal', precision: 8, scale: 2 },
      nativeType: 'numeric(8,2)',
      nullable: false,
      hasDefault: true,
      generated: false,
      comment: null,
    });
    expect(column('note')).toMatchObject({
      nullable: true,
      comment: 'free text',
      type: { kind: 'text', maxLength: 40 },
    });
    expect(column('twice')?.generated).toBe(version >= 18 ? true : undefined);
    await expect(catalogue.tables([{ entity: 'x', table: 'app.none' }])).rejects.toMatchObject({
      code: 'TABLE_NOT_FOUND',
    });
    await catalogue.close();
    await connector.close();
    expect(() => createConnector('erp', { connector: 'dbase' as 'postgres', url: '' })).toThrow(/postgres/);
  });
});
