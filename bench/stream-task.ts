import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChangeEncoder } from '../src/avro/change-codec.js';
import { Decoder, Encoders } from '../src/avro/codec.js';
import { commandOf, OutcomeEncoder } from '../src/avro/command-codec.js';
import { MemorySchemaRegistry } from '../src/avro/memory-registry.js';
import { KeyEncoder } from '../src/avro/progress-codec.js';
import { checkConfiguration } from '../src/config/load.js';
import type { Command, SourceEvent } from '../src/connector/contract.js';
import { decide } from '../src/decision/decide.js';
import { TopicNames } from '../src/log/topics.js';
import type { ColumnType, TableShape } from '../src/model/table.js';
import type { Row } from '../src/model/value.js';
import { QuietPath } from '../src/quiet/quiet-path.js';
import { compilePlans } from '../src/plan/compile.js';
import { Changelog } from '../src/state/changelog.js';
import { LmdbBacking } from '../src/state/lmdb-backing.js';
import { systemClock } from '../src/tasks/clock.js';
import { NO_METRICS } from '../src/tasks/stage-metrics.js';
import { StreamTask } from '../src/tasks/stream-task.js';
import { TASK_LIMITS } from '../src/tasks/task.js';
import { columns } from './contact-table.js';
import { configuration } from './duolog-configuration.js';
import { StageLog } from './stage-log.js';

/**
 * The stream task alone, on the backlog's work and with a log in memory: what a change costs it, apart from everything
 * that shares the machine with it. Outcomes come back as from a sink that applies everything.
 *
 *   node dist/bench/bench/stream-task.js [records] [changes] [captured: yes|no] [bytes of notes]
 */
const preloaded = Number(process.argv[2] ?? 50_000);
const changes = Number(process.argv[3] ?? 100_000);
const captured = process.argv[4] === 'yes';
const notesBytes = Number(process.argv[5] ?? 150);

const environment = { KAFKA_BROKERS: 'x:1', SCHEMA_REGISTRY_URL: 'http://x', SOURCE_URL: 'postgres://x/a' };
const text = configuration({ path: 'one-way', processes: 1, captured });
const loaded = checkConfiguration(text, 'bench.yaml', {
  ...environment,
  TARGET_URL: 'postgres://x/b',
  STATE_FOLDER: '/tmp',
  HTTP_PORT: '0',
});
const shapes = { source: shape('source'), target: shape('target') };
const compiled = compilePlans(loaded.configuration, [shapes.source, shapes.target]);
if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
const plan = compiled.plans[0]!;
const topics = new TopicNames('bench');
const registry = new MemorySchemaRegistry();
const encoders = new Encoders(registry);
const log = new StageLog((topic) => topic !== topics.heartbeat());

const sourceTopic = topics.change('source', 'contact');
const targetTopic = topics.change('target', 'contact');
const outcomeTopic = topics.outcome('contacts', 'target');
const writers = {
  keys: await KeyEncoder.register(encoders, sourceTopic),
  source: await ChangeEncoder.register(encoders, sourceTopic, shapes.source, 1e6),
  target: await ChangeEncoder.register(encoders, targetTopic, shapes.target, 1e6),
  outcome: await OutcomeEncoder.register(encoders, outcomeTopic),
};
const decoder = new Decoder(registry);
let position = 0;
let applied = 0;
/** Commands of earlier transactions, whose outcomes come with the next but one: about as in a running pipeline. */
const waiting: Command[][] = [];

log.onCommit = ({ sends }) => {
  const values = sends.filter(({ topic }) => topic.startsWith('bench.command.')).flatMap(({ messages }) => messages);
  waiting.push(values.map(({ value }) => commandOf(decoder.decode(value!))));
};

const folder = mkdtempSync(join(tmpdir(), 'duolog-bench-stream-'));
try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const changelog = new Changelog({
    log: log.asLog(),
    topic: topics.state('contacts'),
    openBacking: async () => new LmdbBacking(folder),
    registry,
    plan,
    nowMs: () => Date.now(),
  });
  const context = {
    log: log.asLog(),
    registry,
    topics,
    prefix: 'bench',
    clock: systemClock,
    metrics: NO_METRICS,
    limits: { ...TASK_LIMITS, trimEveryMs: 1e9 },
  };
  const task = new StreamTask(context, {
    plan,
    decide,
    quietPath: process.env['QUIET'] === 'no' ? null : (options) => new QuietPath(options),
    changelog,
    newBirth: () => 'birth',
  });
  await task.open();
  await decoder.prepareIds(Array.from({ length: 200 }, (_, id) => id + 1).slice(0, registeredSchemas()));
  preload();
  await measured('first copy', preloaded, task);
  backlog();
  await measured('backlog', changes, task);
  await task.close();
  await changelog.close();
}

function registeredSchemas(): number {
  return (registry as unknown as { schemas: readonly unknown[] }).schemas.length;
}

async function measured(name: string, count: number, task: StreamTask): Promise<void> {
  globalThis.gc?.();
  applied = 0;
  const { messages, bytes } = log;
  const before = process.cpuUsage();
  const began = performance.now();
  let others = 0;
  for (let idle = 0; idle < 3; ) {
    const at = process.cpuUsage();
    answer(waiting.length > 2 || idle > 0 ? (waiting.shift() ?? []) : []);
    const spent = process.cpuUsage(at);
    others += spent.user + spent.system;
    idle = (await task.step()) ? 0 : idle + 1;
  }
  const { user, system } = process.cpuUsage(before);
  const micros = user + system - others;
  const seconds = (performance.now() - began - others / 1000) / 1000;
  console.log(
    `${name}: ${(micros / count).toFixed(1)} µs CPU a change, ${Math.round(count / seconds)}/s; ${applied} commands, ` +
      `${((log.messages - messages) / count).toFixed(2)} messages and ${Math.round((log.bytes - bytes) / count)} bytes a change; ` +
      `${Math.round(process.memoryUsage.rss() / 1e6)} MB`,
  );
}

function answer(commands: readonly Command[]): void {
  for (const { id, link, entity, operation, key, set } of commands) {
    applied++;
    const recordKey = key ?? String(set['id']);
    if (!captured) {
      const outcome = { command: id, link, entity, status: 'applied' as const, key: recordKey };
      log.append(outcomeTopic, writers.keys.encode(link), writers.outcome.encode(outcome));
      continue;
    }
    const row = { ...written.get(recordKey), ...set };
    if (operation === 'delete') written.delete(recordKey);
    else written.set(recordKey, row);
    const after = operation === 'delete' ? null : row;
    const origin = { sync: 'contacts', command: id, link };
    append(targetTopic, { ...changeOf('target', operation, recordKey, after), origin });
  }
}

/** The target's rows, where its changes are told. */
const written = new Map<string, Row>();

function append(topic: string, event: SourceEvent): void {
  const key = event.kind === 'change' ? writers.keys.encode(event.key) : null;
  log.append(topic, key, (topic === sourceTopic ? writers.source : writers.target).encode(event));
}

function changeOf(
  system: 'source' | 'target',
  operation: 'insert' | 'update' | 'delete' | 'read',
  key: string,
  after: Row | null,
) {
  return {
    kind: 'change' as const,
    table: shapes[system],
    operation,
    key,
    keyChange: null,
    before: null,
    after,
    unchanged: [],
    commitTimeMicros: operation === 'read' ? null : 1_735_689_600_000_000 + position,
    transaction: String(Math.floor(position / 10)),
    position: String(position++).padStart(16, '0'),
    origin: null,
  };
}

function end(system: 'source' | 'target', kind: 'snapshot-begin' | 'snapshot' | 'transaction'): SourceEvent {
  const transaction = String(Math.floor((position - 1) / 10));
  const place = String(position++).padStart(16, '0');
  return { kind: 'end', table: shapes[system], end: kind, commitTimeMicros: null, transaction, position: place };
}

function preload(): void {
  append(sourceTopic, end('source', 'snapshot-begin'));
  for (let id = 1; id <= preloaded; id++) append(sourceTopic, changeOf('source', 'read', String(id), stored(id)));
  append(sourceTopic, end('source', 'snapshot'));
  if (!captured) return;
  append(targetTopic, end('target', 'snapshot-begin'));
  append(targetTopic, end('target', 'snapshot'));
}

/** The backlog's mix: six updates, three inserts and one delete a transaction. */
function backlog(): void {
  const gone = new Set<number>();
  let seed = 42;
  // Mulberry32: every record is as likely as any other, so that the cache helps no more than it would outside.
  const random = (below: number) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
  for (let transaction = 0; transaction < changes / 10; transaction++) {
    for (let each = 0; each < 6; each++) {
      let id = 1 + random(preloaded);
      while (gone.has(id)) id = 1 + (id % preloaded);
      append(sourceTopic, changeOf('source', 'update', String(id), changed(id, transaction)));
    }
    for (let each = 0; each < 3; each++) {
      const id = 10_000_000 + transaction * 3 + each;
      append(sourceTopic, changeOf('source', 'insert', String(id), stored(id)));
    }
    const id = 1 + ((transaction * 7919) % preloaded);
    gone.add(id);
    append(sourceTopic, changeOf('source', 'delete', String(id), null));
    append(sourceTopic, end('source', 'transaction'));
  }
}

function stored(id: number): Row {
  return {
    id,
    first_name: `First ${id}`,
    last_name: `Last ${id}`,
    email: `contact${id}@example.com`,
    phone: `+31 20 ${id}`,
    city: 'Amsterdam',
    country: 'NL',
    notes: `${id} `.repeat(Math.ceil(notesBytes / 6)).slice(0, notesBytes),
    balance: `${id % 1000}.00`,
    updated: 1_704_067_200_000_000 + id * 1_000_000,
  };
}

function changed(id: number, transaction: number): Row {
  return {
    ...stored(id),
    phone: `+32 4 ${transaction}`,
    city: 'Gent',
    country: 'BE',
    balance: `${transaction % 1000}.00`,
    updated: 1_735_689_600_000_000 + position,
  };
}

function shape(system: string): TableShape {
  const kinds: Readonly<Record<string, ColumnType>> = {
    id: { kind: 'int64' },
    balance: { kind: 'decimal', precision: 12, scale: 2 },
    updated: { kind: 'timestamptz' },
  };
  return {
    system,
    entity: 'contact',
    table: 'public.contact',
    key: ['id'],
    comment: null,
    columns: columns.map((name) => ({
      name,
      type: kinds[name] ?? { kind: 'text', maxLength: null },
      nativeType: '',
      nullable: name !== 'id',
      hasDefault: false,
      generated: false,
      comment: null,
    })),
  };
}
