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
  timeoutMs = 30_000,
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
