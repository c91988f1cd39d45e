import { afterAll, beforeAll, expect, it } from 'vitest';
import { startKafka, type LocalKafka } from '../../deploy/dev/kafka.js';
import { TopicNames } from '../../src/log/topics.js';
import { spawnDuolog, type DuologProcess } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { uncommittedTransactions } from '../support/kafka-transactions.js';
import { companyPair, logLines, type CompanyPair } from './cli-fixture.js';

/** What a process does, and says, when it is told to end or loses what it is connected to; with a broker of its own. */
let pair: CompanyPair;
let kafka: LocalKafka;
let env: Readonly<Record<string, string>>;
beforeAll(async () => {
  [pair, kafka] = await Promise.all([companyPair(), startKafka()]);
  env = { ...pair.env, KAFKA_BROKERS: kafka.brokers.join(',') };
}, 240_000);
afterAll(async () => {
  await kafka?.kill('SIGCONT');
  await kafka?.destroy();
  await pair?.close();
});

const LEAVES_WITHIN_MS = 10_000;
/** What SIGTERM is promised, and a little for a machine that is busy. */
const CUT_SHORT_WITHIN_MS = LEAVES_WITHIN_MS + 2_000;
/** Several batches of each task. */
const COPIED = 12_000;

it('finishes the transactions in hand at SIGTERM while it copies thousands of records, and nothing is lost or doubled', async () => {
  const first = await spawnDuolog(pair.file, ['run'], env);
  await pair.equal();
  // Without a VAT number nothing would keep the same record from being inserted twice.
  await Promise.all([
    pair.erp.query(`INSERT INTO customer (name) SELECT 'erp ' || n FROM generate_series(1, $1) n`, [COPIED]),
    pair.crm.query(
      `INSERT INTO company (comp_name, comp_territory) SELECT 'crm ' || n, 'x' FROM generate_series(1, $1) n`,
      [COPIED],
    ),
  ]);
  const arrived = async () => ({
    crm: (await pair.names()).crm.filter((name) => name.startsWith('erp ')),
    erp: (await pair.names()).erp.filter((name) => name.startsWith('crm ')),
  });
  const some = async () => Math.max(...Object.values(await arrived()).map(({ length }) => length)) > 0;
  await eventually(some, { what: 'the first copies', intervalMs: 10 });
  const askedMs = Date.now();
  const code = await first.stop();
  expect(Date.now() - askedMs).toBeLessThan(LEAVES_WITHIN_MS);
  expect(code, first.output()).toBe(0);
  expect(logLines(first.output()).filter(({ level }) => level !== 'info')).toEqual([]);
  const halfway = await arrived();
  // Else it had nothing in hand.
  expect(halfway.crm.length + halfway.erp.length).toBeLessThan(2 * COPIED);

  const names = new TopicNames(pair.prefix);
  const topics = [
    ...['crm', 'erp'].flatMap((system) => [
      names.change(system, 'company'),
      names.position(system),
      names.command('customers', system),
    ]),
    names.state('customers'),
    names.canonical('company'),
    names.decision('company'),
    names.hold('company'),
  ];
  expect(await uncommittedTransactions(kafka.brokers, topics)).toEqual({ open: [], aborted: [] });

  const second = await spawnDuolog(pair.file, ['run'], env);
  await pair.equal();
  // Behind all else in every stream: whatever would be doubled was before it.
  await pair.erp.query(`UPDATE customer SET name = 'Last of the ERP' WHERE id = 'C1'`);
  await pair.crm.query(`UPDATE company SET comp_name = 'Last of the CRM' WHERE comp_name = 'Berglunds'`);
  await eventually(async () => {
    const { crm, erp } = await pair.names();
    return crm.includes('Last of the ERP') && erp.includes('Last of the CRM');
  });
  await pair.equal();
  const copied = (system: string) => Array.from({ length: COPIED }, (_, n) => `${system} ${n + 1}`).toSorted();
  const whole = await arrived();
  expect(whole.crm.toSorted()).toEqual(copied('erp'));
  expect(whole.erp.toSorted()).toEqual(copied('crm'));
  expect(await second.stop(), second.output()).toBe(0);
}, 300_000);

it('leaves within ten seconds of SIGTERM also where a broker hangs, and loses nothing by it', async () => {
  const first = await spawnDuolog(pair.file, ['run'], env);
  await eventually(() => allRun(first), { what: 'every task to run' });
  await kafka.kill('SIGSTOP');
  await pair.erp.query(`UPDATE customer SET name = 'Changed while the broker hung' WHERE id = 'C1'`);
  const askedMs = Date.now();
  const code = await first.stop();
  expect(Date.now() - askedMs).toBeLessThan(CUT_SHORT_WITHIN_MS);
  // What hangs is given up before the process would be cut short (3).
  expect(first.output()).not.toContain('cut short');
  expect(code).toBe(0);
  await kafka.kill('SIGCONT');
  const second = await spawnDuolog(pair.file, ['run'], env);
  await pair.equal();
  expect((await pair.crm.query(`SELECT FROM company WHERE comp_name LIKE 'Changed%'`)).rowCount).toBe(1);
  expect(await second.stop()).toBe(0);
}, 300_000);

it('logs what each task meets once while the broker and the databases are away, and no library logs beside it', async () => {
  const process = await spawnDuolog(pair.file, ['run'], env);
  await eventually(() => allRun(process), { what: 'every task to run' });
  for (const database of [pair.crm, pair.erp]) {
    const sessions = 'datname = current_database() AND pid <> pg_backend_pid()';
    await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${sessions}`);
  }
  await eventually(() => process.output().includes('"code":"SOURCE_UNREACHABLE"'), { what: 'a source to notice' });
  const awaySinceMs = Date.now();
  await kafka.kill('SIGKILL');
  await pair.erp.query(`UPDATE customer SET name = 'Changed while the broker was away' WHERE id = 'C1'`);
  // A source that is in its commit tries that for half a minute first.
  await eventually(async () => (await tasksOf(process)).filter(({ restarts }) => restarts >= 2).length >= 3, {
    what: () => `most tasks to have tried again\n${process.output()}`,
  });
  await kafka.start();
  await pair.equal();
  expect((await pair.crm.query(`SELECT FROM company WHERE comp_name LIKE 'Changed%away'`)).rowCount).toBe(1);
  await eventually(() => allRun(process), { what: 'every task to run again' });
  const last = await tasksOf(process);
  const awaySeconds = (Date.now() - awaySinceMs) / 1_000;
  expect(await process.stop(), process.output()).toBe(0);
  const lines = logLines(process.output());
  for (const { name, restarts } of last) {
    const own = lines.filter(({ task }) => task === name);
    const group = `${pair.prefix}.${name.replaceAll(' ', '.')}`;
    const lost = lines.filter((line) => line.group === group);
    const errors = own.filter(({ err }) => err !== undefined);
    // Ever more slowly, up to ten seconds.
    expect(restarts, name).toBeLessThanOrEqual(10 + awaySeconds / 5);
    // At most a line for each life that ended, one for its lease, and one for each that began its work.
    expect(errors.length, name).toBeLessThanOrEqual(restarts);
    expect(lost.length, name).toBeLessThanOrEqual(restarts);
    expect(own.length - errors.length, name).toBeLessThanOrEqual(restarts + 1);
  }
  expect(lines.some(({ err }) => err?.code === 'KAFKA_UNREACHABLE')).toBe(true);
  // Errors are ours, with a code; not a library's with its stack.
  expect(lines.filter(({ err }) => err !== undefined && err.code === undefined)).toEqual([]);
  // Beside the tasks': the start and the end, and of each reader that it has trouble and that it has no more.
  const readers = lines.filter(({ topics }) => topics !== undefined);
  expect(readers.length).toBeLessThanOrEqual(2 * last.length * (1 + Math.max(...last.map(({ restarts }) => restarts))));
  const others = lines.filter(({ task, group, topics }) => (task ?? group ?? topics) === undefined);
  expect(others.map(({ msg }) => msg)).toEqual(['starting', 'API listens', 'stopping', 'stopped']);
}, 300_000);

/** As far as the tests look at it. */
interface TaskShown {
  readonly name: string;
  readonly phase: string;
  readonly restarts: number;
}

/** @throws where the process does not answer yet. */
async function tasksOf(process: DuologProcess): Promise<readonly TaskShown[]> {
  const url = /"url":"(http:[^"]+)"/.exec(process.output())![1];
  return ((await (await fetch(`${url}/status`)).json()) as { readonly tasks: readonly TaskShown[] }).tasks;
}

async function allRun(process: DuologProcess): Promise<boolean> {
  const tasks = await tasksOf(process);
  return tasks.length === 5 && tasks.every(({ phase }) => phase === 'running');
}
