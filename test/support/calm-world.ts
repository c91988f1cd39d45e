import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StageLog } from '../../bench/stage-log.js';
import { ChangeEncoder } from '../../src/avro/change-codec.js';
import { Decoder, Encoders } from '../../src/avro/codec.js';
import { commandOf, OutcomeEncoder } from '../../src/avro/command-codec.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { KeyEncoder } from '../../src/avro/progress-codec.js';
import { checkConfiguration } from '../../src/config/load.js';
import type { Command, Origin, SourceEvent } from '../../src/connector/contract.js';
import { decide } from '../../src/decision/decide.js';
import { TopicNames } from '../../src/log/topics.js';
import type { ColumnType, TableShape } from '../../src/model/table.js';
import type { Row } from '../../src/model/value.js';
import { compilePlans } from '../../src/plan/compile.js';
import { Changelog } from '../../src/state/changelog.js';
import { LmdbBacking } from '../../src/state/lmdb-backing.js';
import { systemClock } from '../../src/tasks/clock.js';
import { NO_METRICS } from '../../src/tasks/stage-metrics.js';
import { StreamTask } from '../../src/tasks/stream-task.js';
import { TASK_LIMITS } from '../../src/tasks/task.js';
import { CheckedQuietPath } from './checked-quiet-path.js';

export type CalmSystem = 'shop' | 'books';

/** Every kind of value, by the name of its column in both systems. */
export const CALM_COLUMNS: Readonly<Record<string, ColumnType>> = {
  id: { kind: 'int64' },
  name: { kind: 'text', maxLength: 60 },
  amount: { kind: 'decimal', precision: 12, scale: 2 },
  count: { kind: 'int32' },
  large: { kind: 'int64' },
  ratio: { kind: 'float64' },
  open: { kind: 'boolean' },
  day: { kind: 'date' },
  time: { kind: 'timestamptz' },
  token: { kind: 'uuid' },
  data: { kind: 'bytes' },
  shape: { kind: 'json' },
};

/** Characters of a name in the books. */
export const SHORT_NAME = 20;

const FIELDS = `{ id: integer, name: "string?", amount: "decimal(12,2)?", count: "integer?", large: "integer?",
          ratio: "float?", open: "boolean?", day: "date?", time: "timestamp?", token: "uuid?", data: "bytes?", shape: "json?" }`;

/** Another table than the usual one, in both systems. */
export interface CalmTable {
  /** As the configuration has them. */
  readonly fields: string;
  readonly maps: Partial<Readonly<Record<CalmSystem, string>>>;
  readonly match: string;
  readonly columns: Readonly<Record<string, ColumnType>>;
}

function configurationOf({ fields, maps, match }: CalmTable): string {
  const systems = Object.entries(maps).map(
    ([system, map]) => `          ${system}: { table: public.thing, map: ${map} }`,
  );
  return `${HEAD}
    leading: [${Object.keys(maps).join(', ')}]
    entities:
      thing:
        fields: ${fields}
        match: ${match}
        delete: hard
        systems:
${systems.join('\n')}
`;
}

const HEAD = `
prefix: calm
kafka: { brokers: "x:1", schemaRegistry: "http://x" }
systems:
  shop: { connector: postgres, url: "postgres://x/a" }
  books: { connector: postgres, url: "postgres://x/b" }
syncs:
  things:`;

function configuration(captured: boolean): string {
  const map = (own: Readonly<Record<string, string>>) =>
    `{ ${Object.keys(CALM_COLUMNS)
      .map((name) => `${name}: ${own[name] ?? name}`)
      .join(', ')} }`;
  // What does not fit is cut, so that the two sides show a long name each in its own way.
  const shortened = { name: '{ column: name, tooLong: truncate }' };
  return `${HEAD}
    leading: [shop, books]
    entities:
      thing:
        fields: ${FIELDS}
        match: [{ on: [id], normalise: [] }]
        delete: ${captured ? 'hard' : '{ books: hard }'}
        systems:
          shop: { table: public.thing, ${captured ? '' : 'write: false, '}map: ${map({})} }
          books: { table: public.thing, ${captured ? '' : 'capture: false, '}insert: { set: { made: "ours" } }, map: ${map(shortened)} }
`;
}

/**
 * Two systems whose records change now here, now there, one after the other: shipped stream task, decision, state and
 * codecs over a log in memory, and systems that do as they are told. The quiet path is checked against the decision.
 */
export class CalmWorld {
  readonly rows: Readonly<Record<CalmSystem, Map<string, Row>>> = { shop: new Map(), books: new Map() };
  private readonly log = new StageLog(() => true);
  private readonly registry = new MemorySchemaRegistry();
  private readonly decoder = new Decoder(this.registry);
  private readonly topics = new TopicNames('calm');
  private readonly folder = mkdtempSync(join(tmpdir(), 'duolog-calm-'));
  private readonly shapes: Readonly<Record<CalmSystem, TableShape>>;
  private readonly changes = new Map<CalmSystem, ChangeEncoder>();
  private waiting: { readonly system: CalmSystem; readonly command: Command }[] = [];
  private task!: StreamTask;
  private changelog!: Changelog;
  private keys!: KeyEncoder;
  private outcomes!: OutcomeEncoder;
  private place = 0;

  private constructor(
    private readonly captured: boolean,
    private readonly table: CalmTable | null,
  ) {
    this.shapes = { shop: shape('shop', table), books: shape('books', table) };
  }

  static async open(captured: boolean, table: CalmTable | null = null): Promise<CalmWorld> {
    const world = new CalmWorld(captured, table);
    await world.start();
    return world;
  }

  async close(): Promise<void> {
    await this.task.close();
    await this.changelog.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Somebody writes a row, or with null deletes it; told in a transaction of its own. */
  write(system: CalmSystem, key: string, row: Row | null): void {
    const operation = row === null ? 'delete' : this.rows[system].has(key) ? 'update' : 'insert';
    this.change(system, operation, key, row, null);
    if (operation === 'delete') this.end(system, 'transaction');
  }

  /** Somebody deletes all these in one transaction. */
  deleteAll(system: CalmSystem, keys: readonly string[]): void {
    const transaction = String(this.place + 1);
    for (const key of keys) this.change(system, 'delete', key, null, null, transaction);
    this.end(system, 'transaction', transaction);
  }

  /** A change whose key is not what the registry says of it. */
  tellUnderKey(key: Buffer, after: Row): void {
    const facts = { kind: 'change' as const, operation: 'insert' as const, key: 'x', keyChange: null, before: null };
    const event = { ...facts, after, unchanged: [], table: this.shapes.shop, ...this.next(), origin: null };
    this.log.append(this.topics.change('shop', 'thing'), key, this.changes.get('shop')!.encode(event));
  }

  /** Until nothing is left to be decided, and every command has been carried out. */
  async work(): Promise<void> {
    for (let idle = 0; idle < 2; ) {
      const waiting = this.waiting.splice(0);
      for (const { system, command } of waiting) this.carryOut(system, command);
      idle = (await this.task.step()) || waiting.length > 0 ? 0 : idle + 1;
    }
  }

  private carryOut(system: CalmSystem, { id, link, entity, operation, key, set }: Command): void {
    const name = key ?? String(set['id']);
    const row = operation === 'delete' ? null : { ...emptyRow(), ...this.rows[system].get(name), ...set };
    if (this.captured) {
      this.change(system, operation, name, row, { sync: 'things', command: id, link });
      return;
    }
    this.keep(system, name, row);
    const outcome = { command: id, link, entity, status: 'applied' as const, key: name };
    this.log.append(this.outcomeTopic, this.keys.encode(link), this.outcomes.encode(outcome));
  }

  private change(
    system: CalmSystem,
    operation: 'insert' | 'update' | 'delete',
    key: string,
    after: Row | null,
    origin: Origin | null,
    transaction: string | null = null,
  ): void {
    this.keep(system, key, after);
    const facts = { kind: 'change' as const, operation, key, keyChange: null, before: null, after, unchanged: [] };
    const place = this.next();
    const within = transaction ?? place.transaction;
    this.append(system, key, { ...facts, table: this.shapes[system], ...place, transaction: within, origin });
  }

  private keep(system: CalmSystem, key: string, row: Row | null): void {
    if (row === null) this.rows[system].delete(key);
    else this.rows[system].set(key, row);
  }

  private end(
    system: CalmSystem,
    end: 'snapshot-begin' | 'snapshot' | 'transaction',
    transaction = String(this.place),
  ): void {
    this.append(system, null, { kind: 'end', table: this.shapes[system], end, ...this.next(), transaction });
  }

  private append(system: CalmSystem, key: string | null, event: SourceEvent): void {
    const topic = this.topics.change(system, 'thing');
    this.log.append(topic, key === null ? null : this.keys.encode(key), this.changes.get(system)!.encode(event));
  }

  private next(): { commitTimeMicros: number; transaction: string; position: string } {
    const place = ++this.place;
    return {
      commitTimeMicros: 1_735_689_600_000_000 + place * 1000,
      transaction: String(place),
      position: String(place).padStart(16, '0'),
    };
  }

  private get outcomeTopic(): string {
    return this.topics.outcome('things', 'books');
  }

  private async start(): Promise<void> {
    const text = this.table === null ? configuration(this.captured) : configurationOf(this.table);
    const loaded = checkConfiguration(text, 'calm.yaml', {});
    const compiled = compilePlans(loaded.configuration, Object.values(this.shapes));
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    const plan = compiled.plans[0]!;
    const { registry, topics } = this;
    const log = this.log.asLog();
    const openBacking = async () => new LmdbBacking(this.folder);
    const topic = topics.state(plan.name);
    this.changelog = new Changelog({ log, topic, openBacking, registry, plan, nowMs: () => Date.now() });
    const limits = { ...TASK_LIMITS, trimEveryMs: 0 };
    const context = { log, registry, topics, prefix: 'calm', clock: systemClock, metrics: NO_METRICS, limits };
    this.task = new StreamTask(context, {
      plan,
      decide,
      quietPath: (options) => CheckedQuietPath.create(options, context, plan),
      changelog: this.changelog,
      newBirth: () => 'birth',
    });
    const encoders = new Encoders(registry);
    this.keys = await KeyEncoder.register(encoders, topics.change('shop', 'thing'));
    this.outcomes = await OutcomeEncoder.register(encoders, this.outcomeTopic);
    for (const system of ['shop', 'books'] as const) {
      const own = await ChangeEncoder.register(encoders, topics.change(system, 'thing'), this.shapes[system], 1e6);
      this.changes.set(system, own);
    }
    await this.task.open();
    this.log.onCommit = ({ sends }) => {
      for (const { topic: of, messages } of sends) {
        const system = of.split('.').at(-1) as CalmSystem;
        if (!of.startsWith('calm.command.')) continue;
        for (const { value } of messages)
          this.waiting.push({ system, command: commandOf(this.decoder.decode(value!)) });
      }
    };
    await this.decoder.prepareIds(Array.from({ length: 10 }, (_, id) => id + 1));
    for (const system of this.captured ? (['shop', 'books'] as const) : (['shop'] as const)) {
      this.end(system, 'snapshot-begin');
      this.end(system, 'snapshot');
    }
    await this.work();
  }
}

/** Of the columns that nobody maps. */
export function emptyRow(): Row {
  return { made: null, noted: null };
}

function shape(system: CalmSystem, table: CalmTable | null): TableShape {
  const name = { kind: 'text', maxLength: system === 'shop' ? 60 : SHORT_NAME } as const;
  const usual = { ...CALM_COLUMNS, name, made: { kind: 'text', maxLength: null }, noted: { kind: 'int32' } } as const;
  const columns: Readonly<Record<string, ColumnType>> = table?.columns ?? usual;
  return {
    system,
    entity: 'thing',
    table: 'public.thing',
    key: ['id'],
    comment: null,
    columns: Object.entries(columns).map(([name, type]) => ({
      name,
      type,
      nativeType: '',
      nullable: name !== 'id',
      hasDefault: false,
      generated: false,
      comment: null,
    })),
  };
}
