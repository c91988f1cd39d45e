import pg from 'pg';
import type { Change, SourceBatch, SourceEvent } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import type { TableShape } from '../../src/model/table.js';
import { PostgresSource, type SourceTuning } from '../../connectors/postgres/source.js';

/** What the source needs of a plan: which table is whose. */
export function captured(entity: string, table: string): EntitySystemPlan {
  const shape: TableShape = { system: 'crm', entity, table, columns: [], key: [], comment: null };
  return {
    entity,
    system: 'crm',
    table,
    shape,
    captured: true,
    written: false,
    columns: [],
    insertSet: {},
    delete: 'hard',
    softDelete: null,
    updatedColumn: null,
    generatesKey: false,
  };
}

export interface SourceSetup {
  readonly url: string;
  readonly prefix: string;
  readonly entities: readonly EntitySystemPlan[];
  readonly maxBatchEvents?: number;
  readonly maxBatchBytes?: number;
  readonly tuning?: Partial<SourceTuning>;
}

export function sourceOf(setup: SourceSetup): PostgresSource {
  const { prefix, entities, maxBatchEvents = 1_000, maxBatchBytes = 4 << 20 } = setup;
  const options = { system: 'crm', prefix, entities, maxBatchEvents, maxBatchBytes };
  return new PostgresSource({ url: setup.url }, options, setup.tuning);
}

/** What Kafka keeps in production: events with the position that follows them, only what was committed. */
export class Store {
  readonly events: SourceEvent[] = [];
  readonly batches: SourceBatch[] = [];
  position: string | null = null;
  heartbeat: string | null = null;

  commit(batch: SourceBatch): void {
    this.batches.push(batch);
    if (batch.kind === 'heartbeat') this.heartbeat = batch.position;
    else {
      this.events.push(...batch.events);
      this.position = batch.position;
    }
  }

  get resume() {
    return { position: this.position, heartbeat: this.heartbeat };
  }

  get changes(): readonly Change[] {
    return this.events.filter((event) => event.kind === 'change');
  }
}

/** Reads, commits and acknowledges until the condition holds. */
export async function readUntil(
  source: PostgresSource,
  store: Store,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadlineMs) {
      const kinds = store.events.slice(-5).map((event) => `${event.kind} ${event.position}`);
      throw new Error(`Not there after ${timeoutMs} ms: ${store.events.length} events, the last: ${kinds.join(', ')}`);
    }
    const batch = await source.next(50);
    if (batch === null) continue;
    store.commit(batch);
    await source.acknowledge(batch.position);
  }
}

export function snapshotDone(store: Store, ...entities: readonly string[]): () => boolean {
  return () =>
    entities.every((entity) =>
      store.events.some((event) => event.kind === 'end' && event.end === 'snapshot' && event.table.entity === entity),
    );
}

/** Reads until everything committed so far has come: a marker row in a captured table of its own is not needed. */
export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A reader of the stream as it should be: what the table holds by the events, and what is wrong with them. */
export class Replica {
  readonly rows = new Map<string, Record<string, unknown>>();
  readonly faults: string[] = [];
  readonly readKeys = new Set<string>();
  /** What a reading, or the stream beside it, has shown since it began: a comparison takes all else for gone. */
  readonly #shown = new Set<string>();
  streamed = 0;

  constructor(private readonly versionColumn: string) {}

  take(events: readonly SourceEvent[]): void {
    for (const event of events) {
      if (event.kind === 'change') this.#take(event);
      else if (event.kind === 'end' && event.end === 'snapshot-begin') this.#begin();
      else if (event.kind === 'end' && event.end === 'snapshot') this.#end();
    }
  }

  #begin(): void {
    this.readKeys.clear();
    this.#shown.clear();
  }

  #end(): void {
    const missed = [...this.rows.keys()].filter((key) => !this.#shown.has(key));
    if (missed.length > 0) this.faults.push(`${missed.join(', ')}: there, and not shown since the reading began`);
  }

  #take({ operation, key, after }: Change): void {
    const known = this.rows.get(key);
    this.#shown.add(key);
    if (operation === 'read') {
      if (this.readKeys.has(key)) this.faults.push(`${key} was read twice`);
      this.readKeys.add(key);
    } else this.streamed += 1;
    if (operation === 'delete') {
      if (known === undefined && this.readKeys.has(key)) this.faults.push(`${key} was deleted twice`);
      this.rows.delete(key);
      return;
    }
    const version = Number(after![this.versionColumn]);
    const before = known === undefined ? -1 : Number(known[this.versionColumn]);
    if (version < before) this.faults.push(`${key} went back from ${before} to ${version} by ${operation}`);
    if (operation === 'insert' && known !== undefined) this.faults.push(`${key} was inserted twice`);
    this.rows.set(key, after!);
  }
}
