import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { QueuedCommand } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { forgetProcess, guardProcess } from '../../deploy/dev/guardian.js';
import { eventually } from '../support/eventually.js';
import { builtSources } from '../support/shared.js';
import {
  apply,
  BIRTH,
  insert,
  progressOf,
  type SinkFixture,
  sinkFixture,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TABLE company (id bigint PRIMARY KEY, name text, writes int DEFAULT 0);
  INSERT INTO company (id, name) SELECT n, 'Company ' || n FROM generate_series(1, 10) n;
  CREATE FUNCTION count_writes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.writes := OLD.writes + 1; RETURN NEW; END $$;
  CREATE TRIGGER count_writes BEFORE UPDATE ON company FOR EACH ROW EXECUTE FUNCTION count_writes();`;

const STEPS = [
  'after-epoch',
  'after-first-mark',
  'after-write',
  'after-last-mark',
  'before-commit',
  'after-commit',
] as const;

describe.each(testedPostgres)('one writer on Postgres %s', (version) => {
  let fixture: SinkFixture;
  let company: EntitySystemPlan;
  let children: ChildProcess[];

  beforeEach(async () => {
    children = [];
    fixture = await sinkFixture(version, SCHEMA);
    company = await fixture.plan('company');
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    await fixture.end();
  });

  const batchOf = (): QueuedCommand[] => [
    update('company', '1', { name: 'Company 1' }, { name: 'One' }),
    update('company', '2', { name: 'Company 2' }, { name: 'Two' }),
    insert('company', { id: 77, name: 'New' }, [], '77'),
  ];

  /** A sink in another process that meets a fail point while it applies the batch. */
  async function child(batch: readonly QueuedCommand[], failPoints: string) {
    const process_ = spawn(process.execPath, [join(import.meta.dirname, 'sink-child.mjs')], {
      env: { ...process.env, DUOLOG_FAIL_POINTS: failPoints },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(process_);
    const pid = process_.pid!;
    guardProcess(pid, 'SIGKILL');
    const options = { system: 'crm', sync: 'customers', prefix: fixture.prefix, entities: [company], owner: 'child' };
    const folder = await builtSources();
    process_.stdin.end(JSON.stringify({ folder, url: fixture.database.url, options, birth: BIRTH, batch }));
    let output = '';
    process_.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const exited = new Promise<string>((resolve) =>
      process_.once('close', () => {
        forgetProcess(pid);
        resolve(output);
      }),
    );
    return {
      exited,
      /** Frozen at its fail point. */
      stopped: () =>
        eventually(() => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] === 'T', {
          what: 'the child to stop',
        }),
      wake: () => process_.kill('SIGCONT'),
    };
  }

  const rows = () => fixture.sql('SELECT id::int, name, writes FROM company WHERE id IN (1, 2, 77) ORDER BY id');
  const WRITTEN = [
    { id: 1, name: 'One', writes: 1 },
    { id: 2, name: 'Two', writes: 1 },
    { id: 77, name: 'New', writes: 0 },
  ];

  test.each(STEPS)('killed at %s: data and progress agree, and going on writes everything once', async (step) => {
    const batch = batchOf();
    const killed = await child(batch, `sink.commit.${step}=kill`);
    await killed.exited;
    const sink = fixture.sink([company]);
    const { progress } = await sink.open(BIRTH);
    const committed = step === 'after-commit';
    expect(progress).toEqual(committed ? progressOf(batch.map(({ offset }) => offset)) : null);
    expect((await rows())[0]).toMatchObject({ name: committed ? 'One' : 'Company 1' });
    if (!committed) expect(statuses(await apply(sink, batch))).toEqual(['applied', 'applied', 'applied']);
    expect(await rows()).toEqual(WRITTEN);
  });

  test.each(['after-write', 'before-commit'] as const)(
    'a zombie frozen at %s writes nothing once it wakes',
    async (step) => {
      const batch = batchOf();
      const zombie = await child(batch, `sink.commit.${step}=stop`);
      await zombie.stopped();
      const sink = fixture.sink([company]);
      const opened = await sink.open(BIRTH);
      expect(opened).toMatchObject({ epoch: 2, progress: null });
      expect(statuses(await apply(sink, batch))).toEqual(['applied', 'applied', 'applied']);
      zombie.wake();
      expect(JSON.parse(await zombie.exited)).toMatchObject({
        code: expect.stringMatching(/SINK_(UNREACHABLE|COMMIT_UNKNOWN)/),
      });
      expect(await rows()).toEqual(WRITTEN);
      expect(statuses(await apply(sink, [update('company', '3', { name: 'Company 3' }, { name: 'Three' })]))).toEqual([
        'applied',
      ]);
    },
  );

  test.each(STEPS)('a backend ended at %s: the sink says so, and nothing is half written', async (step) => {
    const batch = batchOf();
    const cut = await child(batch, `sink.commit.${step}=stop`);
    await cut.stopped();
    await fixture.sql('SELECT pg_terminate_backend(pid, 5000) FROM duolog.sink');
    cut.wake();
    const answer = JSON.parse(await cut.exited) as { code?: string; outcomes?: string[] };
    if (step === 'after-commit') expect(answer.outcomes).toEqual(['applied', 'applied', 'applied']);
    else
      expect(answer.code).toBe(
        step === 'before-commit' || step === 'after-last-mark' ? 'SINK_COMMIT_UNKNOWN' : 'SINK_UNREACHABLE',
      );
    const sink = fixture.sink([company]);
    const { progress } = await sink.open(BIRTH);
    expect(progress === null).toBe(step !== 'after-commit');
    if (progress === null) await apply(sink, batch);
    expect(await rows()).toEqual(WRITTEN);
  });

  test('a sink whose epoch is gone is fenced, even with its session alive', async () => {
    const sink = await fixture.opened(company);
    await fixture.sql('UPDATE duolog.sink SET epoch = epoch + 1');
    await expect(apply(sink, batchOf())).rejects.toMatchObject({ code: 'SINK_FENCED' });
    expect((await rows())[0]).toMatchObject({ name: 'Company 1', writes: 0 });
  });

  test('the epoch is raised while a batch is on its way: it waits or the batch is lost, never both written', async () => {
    const first = await fixture.opened(company);
    const second = fixture.sink([company]);
    const batch = batchOf();
    const [applied, opened] = await Promise.allSettled([apply(first, batch), second.open(BIRTH)]);
    expect(opened.status).toBe('fulfilled');
    const { progress } = (opened as PromiseFulfilledResult<{ progress: unknown }>).value;
    expect(progress === null).toBe(applied.status === 'rejected');
    if (progress === null) await apply(second, batch);
    expect(await rows()).toEqual(WRITTEN);
  });

  test('a session with the same process id but another start is left alone', async () => {
    const first = await fixture.opened(company);
    await fixture.sql('UPDATE duolog.sink SET pid = pg_backend_pid()');
    await fixture.sink([company]).open(BIRTH);
    expect(await fixture.sql('SELECT 1 AS alive')).toEqual([{ alive: 1 }]);
    await expect(apply(first, batchOf())).rejects.toMatchObject({ code: 'SINK_FENCED' });
  });

  test('a frozen process gives its rows back by itself', async () => {
    const frozen = await child(batchOf(), 'sink.commit.after-write=stop');
    await frozen.stopped();
    await fixture.sql(`UPDATE company SET name = 'a user' WHERE id = 1`);
    frozen.wake();
    expect(JSON.parse(await frozen.exited)).toMatchObject({ code: 'SINK_UNREACHABLE' });
    expect((await rows())[0]).toMatchObject({ name: 'a user', writes: 1 });
  });

  test('a sink frozen by somebody else on its row is busy, not stuck', async () => {
    await fixture.opened(company);
    await fixture.sql('BEGIN');
    await fixture.sql('SELECT FROM duolog.sink FOR UPDATE');
    await expect(fixture.sink([company]).open(BIRTH)).rejects.toMatchObject({
      code: 'SINK_BUSY',
      hint: expect.stringContaining('duolog.sink'),
    });
    await fixture.sql('ROLLBACK');
  });
});
