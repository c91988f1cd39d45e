import pg from 'pg';
import { PostgresSink } from '../connectors/postgres/sink.js';
import { startPostgres } from '../deploy/dev/stack.js';
import { Encoders } from '../src/avro/codec.js';
import { CommandEncoder } from '../src/avro/command-codec.js';
import { MemorySchemaRegistry } from '../src/avro/memory-registry.js';
import { heartbeatEncoder, KeyEncoder } from '../src/avro/progress-codec.js';
import { TopicNames } from '../src/log/topics.js';
import { systemClock } from '../src/tasks/clock.js';
import { syncHeartbeatKey } from '../src/tasks/read-last.js';
import { SinkTask } from '../src/tasks/sink-task.js';
import { NO_METRICS } from '../src/tasks/stage-metrics.js';
import { TASK_LIMITS } from '../src/tasks/task.js';
import { contactPlan, contactSchema, deleteOf, insertOf, updateOf } from './sink-commands.js';
import { StageLog } from './stage-log.js';

/**
 * The sink task alone, with a log in memory and a real database that nobody captures: commands from their messages,
 * written, and their outcomes as messages. Six updates, three inserts and one delete in turn, as on the backlog.
 *
 *   node --expose-gc dist/bench/bench/sink-task.js [commands] [commands a batch]
 */
const commands = Number(process.argv[2] ?? 150_000);
const batchRecords = Number(process.argv[3] ?? TASK_LIMITS.batchRecords);
const stock = Math.ceil(commands * 0.7);
const topics = new TopicNames('bench');
const topic = topics.command('bench', 'target');
const registry = new MemorySchemaRegistry();
const log = new StageLog((name) => name.startsWith('bench.outcome.'));

const server = await startPostgres({ version: 18, settings: { shared_buffers: '512MB', max_wal_size: '4GB' } });
try {
  const url = await server.createDatabase('target');
  const user = new pg.Client({ connectionString: url });
  await user.connect();
  for (const statement of contactSchema(stock).split(';\n')) await user.query(statement);
  await user.end();
  await tellBirth();
  await makeCommands();
  await main(url);
} finally {
  await server.destroy();
}

async function main(url: string): Promise<void> {
  const entities = [await contactPlan(url, { captured: false, generatesKey: false })];
  const context = {
    log: log.asLog(),
    registry,
    topics,
    prefix: 'bench',
    clock: systemClock,
    metrics: NO_METRICS,
    limits: { ...TASK_LIMITS, batchRecords, trimEveryMs: 1e9 },
  };
  const identity = { system: 'target', sync: 'bench' };
  const task = new SinkTask(context, {
    ...identity,
    entities,
    createSink: () => new PostgresSink({ url }, { ...identity, prefix: 'bench', entities, owner: 'bench' }),
  });
  await task.open();
  await task.step();
  const warmUp = commands / 3;
  while (log.messages < warmUp) await task.step();
  globalThis.gc?.();
  const done = log.messages;
  const before = process.cpuUsage();
  const startedMs = performance.now();
  while (log.messages < commands && (await task.step()));
  const { user, system } = process.cpuUsage(before);
  const count = log.messages - done;
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(
    `${((user + system) / count).toFixed(2)} µs Node a change (${(system / count).toFixed(2)} in the kernel), ${Math.round(count / seconds)}/s`,
  );
  await task.close();
}

async function tellBirth(): Promise<void> {
  const encoders = new Encoders(registry);
  const name = topics.heartbeat();
  const [keys, values] = [await KeyEncoder.register(encoders, name), await heartbeatEncoder(encoders, name)];
  const value = values.encode({
    system: null,
    position: null,
    sync: 'bench',
    birth: 'birth',
    commandsFrom: {},
    time: 0,
  });
  log.append(name, keys.encode(syncHeartbeatKey('bench')), value);
}

async function makeCommands(): Promise<void> {
  const encoders = new Encoders(registry);
  const values = await CommandEncoder.register(encoders, topic);
  const keys = await KeyEncoder.register(encoders, topic);
  let existing = 0;
  for (let at = 0; at < commands; at++) {
    const link = `birth.${String(at).padStart(12, '0')}`;
    const base = { id: `birth.${at}`, link, entity: 'contact', madeAtMicros: 1_735_689_600_000_000 + at };
    const turn = at % 10;
    const command =
      turn < 6
        ? updateOf(base, ++existing)
        : turn < 9
          ? insertOf(base, 10_000_000 + at, false)
          : deleteOf(base, ++existing);
    log.append(topic, keys.encode(link), values.encode(command));
  }
}
