import { readFileSync } from 'node:fs';
import pg from 'pg';
import { PostgresSink } from '../connectors/postgres/sink.js';
import { startPostgres } from '../deploy/dev/stack.js';
import type { QueuedCommand } from '../src/connector/contract.js';
import { contactPlan, contactSchema, deleteOf, insertOf, updateOf } from './sink-commands.js';

/**
 * How fast the sink writes: batches of 60 % updates, 30 % inserts and 10 % deletes on one table, every update and
 * delete guarded by the values seen. Prints rows a second, and Node's processor time a row.
 *
 *   node --expose-gc dist/bench/sink-postgres.js [rows a batch] [batches] [generated keys: yes|no] [locked rows]
 */
const [size = 1_000, batches = 150] = process.argv.slice(2, 4).map(Number);
const generated = process.argv[4] === 'yes';
const lockedRows = Number(process.argv[5] ?? 0);
const CHUNK = 20;
const STOCK = size * batches;

const server = await startPostgres({ version: 18, settings: { shared_buffers: '512MB', max_wal_size: '4GB' } });
try {
  const url = await server.createDatabase('target');
  const user = new pg.Client({ connectionString: url });
  await user.connect();
  for (const statement of contactSchema(STOCK).split(';\n')) await user.query(statement);
  const sink = new PostgresSink(
    { url },
    {
      system: 'target',
      sync: 'bench',
      prefix: 'bench',
      entities: [await contactPlan(url, { captured: true, generatesKey: generated })],
      owner: 'bench',
    },
  );
  await sink.open('bench');
  if (lockedRows > 0) await user.query(`BEGIN; SELECT FROM contact WHERE id <= ${lockedRows} FOR UPDATE`);
  const warmUp = batches >> 1;
  const spent = { seconds: 0, nodeMicros: 0, systemMicros: 0, applied: 0, deferred: 0 };
  let backendBefore = 0;
  const backend = await backendOf(user);
  const work: QueuedCommand[][] = [];
  for (let index = 0; index < batches; index++) {
    if (index % CHUNK === 0) {
      for (let next = index; next < Math.min(batches, index + CHUNK); next++) work[next % CHUNK] = batch(next);
      // What making the commands leaves behind is not the sink's.
      globalThis.gc?.();
    }
    const commands = work[index % CHUNK]!;
    if (index === warmUp) backendBefore = backendMicros(backend);
    const startedMs = performance.now();
    const cpuBefore = process.cpuUsage();
    const result = await sink.apply(commands, progress);
    if (index < warmUp) continue;
    const cpu = process.cpuUsage(cpuBefore);
    spent.seconds += (performance.now() - startedMs) / 1000;
    spent.nodeMicros += cpu.user + cpu.system;
    spent.systemMicros += cpu.system;
    spent.applied += result.outcomes.filter(({ outcome }) => outcome.status === 'applied').length;
    spent.deferred += result.deferred.length;
  }
  const rows = (batches - warmUp) * size;
  const backendPerRow = (backendMicros(backend) - backendBefore) / rows;
  console.log(
    `${size} a batch: ${Math.round(rows / spent.seconds)} rows/s; a row: ${(spent.nodeMicros / rows).toFixed(2)} µs Node (${(spent.systemMicros / rows).toFixed(2)} in the kernel), ` +
      `${backendPerRow.toFixed(2)} µs backend; ${spent.applied} applied, ${spent.deferred} deferred of ${rows}`,
  );
  await sink.close();
  await user.end();
} finally {
  await server.destroy();
}

async function backendOf(client: pg.Client): Promise<number> {
  const found = await client.query<{ pid: number }>('SELECT pid FROM duolog.sink');
  return found.rows[0]!.pid;
}

/** User and system time of a process so far, at 100 ticks a second. */
function backendMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 10_000;
}

function progress(answered: readonly number[]) {
  return { lowest: (answered.at(-1) ?? 0) + 1, answered: [] };
}

function batch(index: number): QueuedCommand[] {
  const commands: QueuedCommand[] = [];
  const updates = Math.round(size * 0.6);
  const deletes = Math.round(size * 0.1);
  for (let at = 0; at < size; at++) {
    const offset = index * size + at;
    const id = 1 + ((index * (updates + deletes) + at) % STOCK);
    const base = { id: `birth-1:${offset}`, link: `birth-1:l${offset}`, entity: 'contact', madeAtMicros: 0 };
    const command =
      at < updates
        ? updateOf(base, id)
        : at < updates + deletes
          ? deleteOf(base, id)
          : insertOf(base, 10_000_000 + offset, generated);
    commands.push({ offset, command });
  }
  return commands;
}
