import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PostgresConnector } from '../../connectors/postgres/index.js';
import type { Finding } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { startPostgres } from '../../deploy/dev/stack.js';
import {
  apply,
  BIRTH,
  insert,
  type SinkFixture,
  sinkFixture,
  sinkPlan,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TABLE company (id bigserial PRIMARY KEY, name text NOT NULL, vat text, email text, body text);
  CREATE TABLE contact (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
  INSERT INTO company (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 5) n;`;

describe.each(testedPostgres)('check and plan on Postgres %s', (version) => {
  let fixture: SinkFixture;
  let role: string;
  let roleUrl: string;
  let entities: EntitySystemPlan[];
  const match = { company: [['vat'], ['email']] };

  beforeEach(async () => {
    fixture = await sinkFixture(version, SCHEMA);
    role = fixture.prefix;
    await fixture.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'role'`);
    const url = new URL(fixture.database.url);
    url.username = role;
    url.password = 'role';
    roleUrl = url.href;
    entities = [
      await fixture.plan('company', { generatesKey: true }),
      await fixture.plan('contact', { generatesKey: true }),
    ];
  });
  afterEach(async () => {
    await fixture.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await fixture.end();
  });

  async function check(url = roleUrl): Promise<readonly Finding[]> {
    const catalogue = new PostgresConnector('crm', { url }).catalogue();
    try {
      return await catalogue.check(entities, { prefix: fixture.prefix, match, hasPosition: false });
    } finally {
      await catalogue.close();
    }
  }

  const wrong = (findings: readonly Finding[]) => findings.filter(({ severity }) => severity === 'error');

  test('a role without rights: every finding has a statement, and those statements mend it', async () => {
    const before = wrong(await check());
    expect(new Set(before.map((finding) => finding.check))).toEqual(
      new Set(['replication-right', 'publication', 'right', 'sequence-right', 'bookkeeping']),
    );
    for (const { statement } of before) await fixture.user.query(statement!);
    expect(wrong(await check())).toEqual([]);
    const sink = fixture.sink(entities, roleUrl);
    await sink.open(BIRTH);
    const outcomes = await apply(sink, [
      insert('company', { name: 'New', vat: 'N' }, [{ vat: 'N' }]),
      insert('contact', { name: 'One by one' }),
      insert('contact', { name: 'without its sequence' }),
    ]);
    expect(statuses(outcomes)).toEqual(['applied', 'applied', 'applied']);
    expect(await fixture.sql('SELECT id::text AS key, name FROM contact ORDER BY id')).toMatchObject(
      outcomes.slice(1).map((outcome) => ({ key: outcome !== 'deferred' && outcome.key })),
    );
  });

  test('a role that may not even enter the schema duolog: check and the sink name the grant, and it mends', async () => {
    await (await fixture.opened(...entities)).close();
    for (const { check: what, statement } of wrong(await check())) {
      if (what !== 'bookkeeping') await fixture.user.query(statement!);
    }
    const [left, ...others] = wrong(await check());
    expect(others).toEqual([]);
    expect(left).toMatchObject({ check: 'bookkeeping', statement: expect.stringContaining('GRANT USAGE ON SCHEMA') });
    const sink = fixture.sink(entities, roleUrl);
    await expect(sink.open(BIRTH)).rejects.toMatchObject({
      code: 'SINK_RIGHTS',
      hint: expect.stringContaining(left!.statement!),
    });
    await fixture.user.query(left!.statement!);
    expect(wrong(await check())).toEqual([]);
    await sink.open(BIRTH);
  });

  test('rights on columns are told column by column', async () => {
    await fixture.sql(
      `GRANT SELECT, INSERT, DELETE ON company TO ${role}; GRANT UPDATE (name, vat) ON company TO ${role}`,
    );
    const findings = (await check()).filter(
      ({ check: name, message }) => name === 'right' && message.includes('company'),
    );
    expect(findings).toMatchObject([
      {
        severity: 'error',
        message: expect.stringContaining('UPDATE email, body of public.company'),
        statement: expect.stringContaining('GRANT UPDATE ("email", "body")'),
      },
    ]);
  });

  test('indexes for match values, large values, triggers, rules, row security and unlogged tables', async () => {
    await fixture.sql(`CREATE UNIQUE INDEX ON company (vat)`);
    await fixture.sql(`CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`);
    await fixture.sql(`CREATE TRIGGER stamp BEFORE UPDATE ON company FOR EACH ROW EXECUTE FUNCTION nothing()`);
    await fixture.sql(
      `UPDATE company SET body = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n) WHERE id = 1`,
    );
    await fixture.sql(`ALTER TABLE contact SET UNLOGGED`);
    await fixture.sql(`CREATE RULE quiet AS ON DELETE TO contact DO INSTEAD NOTHING`);
    await fixture.sql(`ALTER TABLE company ENABLE ROW LEVEL SECURITY`);
    const findings = await check();
    const told = (name: string) => findings.filter((finding) => finding.check === name);
    expect(told('match-index')).toMatchObject([
      { severity: 'ok', message: expect.stringContaining('unique') },
      { severity: 'warning', statement: 'CREATE INDEX CONCURRENTLY ON "public"."company" ("email")' },
    ]);
    expect(told('replica-identity')).toMatchObject([
      { severity: 'warning', statement: 'ALTER TABLE "public"."company" REPLICA IDENTITY FULL' },
    ]);
    expect(told('trigger')).toMatchObject([{ severity: 'ok', message: expect.stringContaining('stamp') }]);
    expect(told('rule')).toMatchObject([{ severity: 'error', statement: 'DROP RULE "quiet" ON "public"."contact"' }]);
    expect(told('unlogged')).toMatchObject([
      { severity: 'error', statement: 'ALTER TABLE "public"."contact" SET LOGGED' },
    ]);
    expect(told('row-security')).toMatchObject([{ severity: 'warning' }]);
  });

  test('plan tells the statements of a first run; run by hand, nothing is left to plan', async () => {
    const catalogue = new PostgresConnector('crm', { url: fixture.database.url }).catalogue();
    const use = { prefix: fixture.prefix, match, hasPosition: false };
    const statements = await catalogue.plan(entities, use);
    expect(statements.some((statement) => statement.startsWith('CREATE PUBLICATION'))).toBe(true);
    for (const statement of statements) await fixture.user.query(statement);
    expect(await catalogue.plan(entities, use)).toEqual([]);
    const findings = await catalogue.check(entities, use);
    await catalogue.close();
    expect(wrong(findings)).toEqual([]);
    expect(findings).toContainEqual(
      expect.objectContaining({ check: 'slot', severity: 'ok', message: expect.stringContaining('is there') }),
    );
    expect(findings).toContainEqual(expect.objectContaining({ check: 'publication', severity: 'ok' }));
  });

  test('a right that is missing while running stops the sink with its statement, and the batch passes once it is given', async () => {
    await fixture.sql(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON company TO ${role}; GRANT CREATE ON DATABASE ${fixture.database.name} TO ${role}`,
    );
    const company = [entities[0]!];
    const sink = fixture.sink(company, roleUrl);
    await sink.open(BIRTH);
    await fixture.sql(`REVOKE UPDATE ON company FROM ${role}`);
    const batch = [update('company', '1', { name: 'Company 1' }, { name: 'One' })];
    const failure = await apply(sink, batch).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'SINK_RIGHTS',
      retry: 'operator',
      hint: expect.stringContaining('GRANT UPDATE'),
    });
    await fixture.sql((failure as { hint: string }).hint.replace('Run: ', ''));
    await sink.open(BIRTH);
    expect(statuses(await apply(sink, batch))).toEqual(['applied']);
  });

  test('a role that may not create the bookkeeping table is told what to run', async () => {
    const failure = await fixture
      .sink([], roleUrl)
      .open(BIRTH)
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'SINK_RIGHTS',
      hint: expect.stringContaining('CREATE TABLE IF NOT EXISTS duolog.sink'),
    });
    await fixture.sql((failure as { hint: string }).hint.replace('Run: ', ''));
    expect(await fixture.sink([], roleUrl).open(BIRTH)).toMatchObject({ epoch: 1, birth: null, progress: null });
  });

  test('a policy of row-level security refuses rows, not the batch', async () => {
    await fixture.sql(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON company TO ${role}; GRANT CREATE ON DATABASE ${fixture.database.name} TO ${role}`,
    );
    await fixture.sql(`ALTER TABLE company ENABLE ROW LEVEL SECURITY`);
    await fixture.sql(`CREATE POLICY rows ON company USING (true) WITH CHECK (name <> 'forbidden')`);
    const sink = fixture.sink([entities[0]!], roleUrl);
    await sink.open(BIRTH);
    const outcomes = await apply(sink, [
      update('company', '1', { name: 'Company 1' }, { name: 'forbidden' }),
      update('company', '2', { name: 'Company 2' }, { name: 'fine' }),
    ]);
    expect(outcomes).toMatchObject([{ status: 'failed', code: '42501' }, { status: 'applied' }]);
  });

  test('a column that is dropped stops the sink and says so; one that changes its type does not', async () => {
    const company = [entities[0]!];
    const sink = fixture.sink(company);
    await sink.open(BIRTH);
    const refused = () => update('company', '1', { name: 'unexpected' }, { name: 'x' });
    expect(statuses(await apply(sink, [refused()]))).toEqual(['refused']);
    await fixture.sql('ALTER TABLE company ALTER COLUMN email TYPE varchar(80)');
    await apply(sink, [refused()]).catch(() => sink.open(BIRTH));
    expect(statuses(await apply(sink, [refused()]))).toEqual(['refused']);
    await fixture.sql('ALTER TABLE company DROP COLUMN body');
    await expect(apply(sink, [refused()])).rejects.toMatchObject({
      code: 'SINK_TABLE_CHANGED',
      message: expect.stringContaining('body'),
    });
  });
});

describe('a server that is not set up for it', () => {
  test('wal_level, slots and senders are told with their statements', async () => {
    const server = await startPostgres({
      version: testedPostgres[0]!,
      durable: false,
      settings: { wal_level: 'replica', max_replication_slots: 0, max_wal_senders: 0 },
    });
    try {
      const url = await server.createDatabase('plain');
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(SCHEMA);
      await client.end();
      const catalogue = new PostgresConnector('crm', { url }).catalogue();
      const findings = await catalogue.check([await sinkPlan(url, 'company')], {
        prefix: 'p',
        match: {},
        hasPosition: false,
      });
      await catalogue.close();
      expect(findings.filter(({ severity }) => severity === 'error')).toMatchObject([
        { check: 'wal-level', statement: "ALTER SYSTEM SET wal_level = 'logical'" },
        { check: 'wal-senders', statement: 'ALTER SYSTEM SET max_wal_senders = 10' },
        { check: 'replication-slots', statement: 'ALTER SYSTEM SET max_replication_slots = 10' },
      ]);
    } finally {
      await server.destroy();
    }
  });
});
