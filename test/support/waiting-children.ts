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
import type { Command, SourceEvent } from '../../src/connector/contract.js';
import { decide } from '../../src/decision/decide.js';
import type { LogTransaction } from '../../src/log/contract.js';
import { TopicNames } from '../../src/log/topics.js';
import type { TableShape } from '../../src/model/table.js';
import type { Row } from '../../src/model/value.js';
import { compilePlans } from '../../src/plan/compile.js';
import { Changelog } from '../../src/state/changelog.js';
import { LmdbBacking } from '../../src/state/lmdb-backing.js';
import { systemClock } from '../../src/tasks/clock.js';
import { countHolds } from '../../src/tasks/count-holds.js';
import { NO_METRICS } from '../../src/tasks/stage-metrics.js';
import { StreamTask } from '../../src/tasks/stream-task.js';
import { TASK_LIMITS } from '../../src/tasks/task.js';

/** What one transaction of the task said. */
export interface Said {
  readonly commands: number;
  readonly holds: number;
  readonly messages: number;
}

const CONFIGURATION = `
prefix: waiting
kafka: { brokers: "x:1", schemaRegistry: "http://x" }
systems:
  shop: { connector: postgres, url: "postgres://x/a" }
  books: { connector: postgres, url: "postgres://x/b" }
syncs:
  trade:
    leading: [shop, books]
    entities:
      customer:
        fields: { name: string }
        match: none
        delete: { books: hard }
        systems:
          shop: { table: public.customer, write: false, map: { name: name } }
          books: { table: public.client, capture: false, map: { name: name } }
      invoice:
        fields: { text: string, customer: "reference(customer)" }
        match: none
        delete: { books: hard }
        systems:
          shop: { table: public.invoice, write: false, map: { text: text, customer: customer } }
          books: { table: public.bill, capture: false, map: { text: text, customer: client } }
`;

const CHUNK = 5_000;

/**
 * A shop's invoices of a customer that is not there, told to a stream task alone: shipped decision, state and codecs over
 * a log in memory that keeps nothing of what was read, and a target that applies every command.
 */
export class WaitingChildren {
  /** What each transaction said. */
  readonly said: Said[] = [];
  /** Every command that the target was told, in order. */
  readonly told: { readonly entity: string; readonly client: unknown }[] = [];
  changelog!: Changelog;
  private readonly log = new StageLog(() => true);
  private readonly registry = new MemorySchemaRegistry();
  private readonly encoders = new Encoders(this.registry);
  private readonly decoder = new Decoder(this.registry);
  private readonly topics = new TopicNames('waiting');
  private readonly folder = mkdtempSync(join(tmpdir(), 'duolog-waiting-'));
  private readonly shapes = new Map(
    [
      shape('shop', 'customer', 'customer', { name: 'text' }),
      shape('shop', 'invoice', 'invoice', { text: 'text', customer: 'id' }),
      shape('books', 'customer', 'client', { name: 'text' }),
      shape('books', 'invoice', 'bill', { text: 'text', client: 'id' }),
    ].map((each) => [`${each.system}/${each.entity}`, each] as const),
  );
  private task!: StreamTask;
  private keys!: KeyEncoder;
  private outcomes!: OutcomeEncoder;
  private readonly changes = new Map<string, ChangeEncoder>();
  private waiting: Command[] = [];
  private place = 0;

  static async open(): Promise<WaitingChildren> {
    const opened = new WaitingChildren();
    await opened.start();
    return opened;
  }

  /** Invoices with these numbers, all of customer 1; told in parts, so that the log in memory stays small. */
  async invoices(from: number, to: number): Promise<void> {
    for (let first = from; first <= to; first += CHUNK) {
      for (let id = first; id <= Math.min(to, first + CHUNK - 1); id++) {
        this.tell('invoice', 'insert', String(id), { id, text: `invoice ${id}`, customer: 1 });
      }
      await this.work();
    }
  }

  async customer(): Promise<void> {
    this.tell('customer', 'insert', '1', { id: 1, name: 'The customer' });
    await this.work();
  }

  /** Records that wait, as status and metrics count them. */
  held(): ReadonlyMap<string, number> {
    return countHolds(this.changelog.store).get('invoice') ?? new Map<string, number>();
  }

  async close(): Promise<void> {
    await this.task.close();
    await this.changelog.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async start(): Promise<void> {
    const loaded = checkConfiguration(CONFIGURATION, 'waiting.yaml', {});
    const compiled = compilePlans(loaded.configuration, [...this.shapes.values()]);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    const plan = compiled.plans[0]!;
    const { registry, topics } = this;
    const log = this.log.asLog();
    const topic = topics.state(plan.name);
    const openBacking = async () => new LmdbBacking(this.folder);
    this.changelog = new Changelog({ log, topic, openBacking, registry, plan, nowMs: () => Date.now() });
    const limits = { ...TASK_LIMITS, trimEveryMs: 0 };
    const context = { log, registry, topics, prefix: 'waiting', clock: systemClock, metrics: NO_METRICS, limits };
    this.task = new StreamTask(context, {
      plan,
      decide,
      quietPath: null,
      changelog: this.changelog,
      newBirth: () => 'birth',
    });
    this.keys = await KeyEncoder.register(this.encoders, topics.change('shop', 'invoice'));
    this.outcomes = await OutcomeEncoder.register(this.encoders, this.outcomeTopic);
    for (const entity of ['customer', 'invoice']) {
      const of = this.shapes.get(`shop/${entity}`)!;
      const encoder = await ChangeEncoder.register(this.encoders, topics.change('shop', entity), of, 1e6);
      this.changes.set(entity, encoder);
    }
    await this.task.open();
    await this.decoder.prepareIds(Array.from({ length: 8 }, (_, id) => id + 1));
    this.log.onCommit = (transaction) => this.note(transaction);
    for (const entity of ['customer', 'invoice']) {
      this.end(entity, 'snapshot-begin');
      this.end(entity, 'snapshot');
    }
    await this.work();
  }

  private get outcomeTopic(): string {
    return this.topics.outcome('trade', 'books');
  }

  /** Until nothing is left to be decided, and every command has its outcome. */
  private async work(): Promise<void> {
    for (let idle = 0; idle < 2; ) {
      const waiting = this.waiting.splice(0);
      for (const { id, link, entity, key, set } of waiting) {
        this.told.push({ entity, client: set['client'] ?? null });
        const outcome = { command: id, link, entity, status: 'applied' as const, key: key ?? `9${this.told.length}` };
        this.log.append(this.outcomeTopic, this.keys.encode(link), this.outcomes.encode(outcome));
      }
      idle = (await this.task.step()) || waiting.length > 0 ? 0 : idle + 1;
    }
  }

  private note({ sends }: LogTransaction): void {
    const of = (kind: string) =>
      sends.filter(({ topic }) => topic.startsWith(`waiting.${kind}.`)).flatMap(({ messages }) => messages);
    const commands = of('command').map(({ value }) => commandOf(this.decoder.decode(value!)));
    this.waiting.push(...commands);
    const messages = sends.reduce((sum, send) => sum + send.messages.length, 0);
    this.said.push({ commands: commands.length, holds: of('hold').length, messages });
  }

  private tell(entity: string, operation: 'insert', key: string, after: Row): void {
    const facts = { kind: 'change' as const, operation, key, keyChange: null, before: null, after, unchanged: [] };
    this.append(entity, key, { ...facts, table: this.table(entity), ...this.next(), origin: null });
  }

  private end(entity: string, end: 'snapshot-begin' | 'snapshot'): void {
    this.append(entity, null, { kind: 'end', table: this.table(entity), end, ...this.next() });
  }

  private append(entity: string, key: string | null, event: SourceEvent): void {
    const bytes = this.changes.get(entity)!.encode(event);
    this.log.append(this.topics.change('shop', entity), key === null ? null : this.keys.encode(key), bytes);
  }

  private table(entity: string): TableShape {
    return this.shapes.get(`shop/${entity}`)!;
  }

  private next() {
    const place = this.place++;
    return {
      commitTimeMicros: 1_735_689_600_000_000 + place,
      transaction: String(place),
      position: String(place).padStart(16, '0'),
    };
  }
}

function shape(system: string, entity: string, table: string, columns: Readonly<Record<string, 'text' | 'id'>>) {
  const all = { id: 'id', ...columns };
  return {
    system,
    entity,
    table: `public.${table}`,
    key: ['id'],
    comment: null,
    columns: Object.entries(all).map(([name, kind]) => ({
      name,
      type: kind === 'id' ? ({ kind: 'int64' } as const) : ({ kind: 'text', maxLength: null } as const),
      nativeType: '',
      nullable: name !== 'id',
      hasDefault: name === 'id',
      generated: false,
      comment: null,
    })),
  } satisfies TableShape;
}
