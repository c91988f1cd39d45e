import pg from 'pg';
import { describeTables } from '../../connectors/postgres/catalogue.js';
import { clientConfig, connectClient } from '../../connectors/postgres/connection.js';
import { PostgresSink } from '../../connectors/postgres/sink.js';
import type { Command, Outcome, QueuedCommand, SinkProgress } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import type { Row } from '../../src/model/value.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';

export { testedPostgres };
export const BIRTH = 'birth-1';

/** A database with a table or several, a sink on it, and a session of somebody else. */
export interface SinkFixture {
  readonly database: FreshDatabase;
  readonly prefix: string;
  /** Somebody else's session. */
  readonly user: pg.Client;
  /** Statements by somebody else. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  plan(entity: string, changes?: Partial<EntitySystemPlan>): Promise<EntitySystemPlan>;
  /** A sink that is not open yet; closed with the fixture. */
  sink(entities: readonly EntitySystemPlan[], url?: string): PostgresSink;
  opened(...entities: readonly EntitySystemPlan[]): Promise<PostgresSink>;
  end(): Promise<void>;
}

export async function sinkFixture(version: FreshDatabase['version'], schema: string): Promise<SinkFixture> {
  const database = await freshDatabase(version);
  const user = new pg.Client({ connectionString: database.url });
  user.on('error', () => undefined);
  await user.connect();
  await user.query(schema);
  const prefix = uniquePrefix();
  const sinks: PostgresSink[] = [];
  const sink = (entities: readonly EntitySystemPlan[], url = database.url): PostgresSink => {
    const made = new PostgresSink({ url }, { system: 'crm', sync: 'customers', prefix, entities, owner: 'test' });
    sinks.push(made);
    return made;
  };
  return {
    database,
    prefix,
    user,
    sql: async (text, values = []) => (await user.query(text, [...values])).rows as Record<string, unknown>[],
    plan: (entity, changes = {}) => sinkPlan(database.url, entity, changes),
    sink,
    opened: async (...entities) => {
      const made = sink(entities);
      await made.open(BIRTH);
      return made;
    },
    end: async () => {
      await Promise.all(sinks.map((each) => each.close()));
      await user.end();
      await database.drop();
    },
  };
}

/** The plan of a table of the same name as its entity, every column mapped. */
export async function sinkPlan(
  url: string,
  entity: string,
  changes: Partial<EntitySystemPlan> = {},
): Promise<EntitySystemPlan> {
  const table = changes.table ?? `public.${entity}`;
  const client = await connectClient(clientConfig({ url }, 'test'));
  const [described] = await describeTables(client, 'crm', [{ entity, table }]);
  await client.end();
  const { shape } = described!;
  return {
    entity,
    system: 'crm',
    table,
    shape,
    captured: true,
    written: true,
    columns: shape.columns
      .filter((column) => !column.generated)
      .map((column) => ({
        field: column.name,
        column: column.name,
        columnType: column.type,
        fieldType: { kind: 'string' },
        read: true,
        write: !shape.key.includes(column.name),
        values: null,
        otherwise: 'hold',
        tooLong: 'hold',
      })),
    insertSet: {},
    delete: 'hard',
    softDelete: null,
    updatedColumn: null,
    generatesKey: false,
    ...changes,
  };
}

let nextOffset = 0;

export function queued(command: Partial<Command> & Pick<Command, 'entity' | 'operation'>): QueuedCommand {
  const offset = nextOffset++;
  return {
    offset,
    command: {
      id: `c${offset}`,
      link: `l${offset}`,
      key: null,
      set: {},
      expect: {},
      absent: [],
      madeAtMicros: 0,
      ...command,
    },
  };
}

export const update = (entity: string, key: string, expect: Row, set: Row): QueuedCommand =>
  queued({ entity, operation: 'update', key, expect, set });
export const remove = (entity: string, key: string, expect: Row = {}): QueuedCommand =>
  queued({ entity, operation: 'delete', key, expect });
export const insert = (entity: string, set: Row, absent: readonly Row[] = [], key: string | null = null) =>
  queued({ entity, operation: 'insert', key, set, absent });

/** Progress as a task would make it: every answered offset above 0. */
export function progressOf(answered: readonly number[]): SinkProgress {
  return { lowest: 0, answered };
}

/** Applies a batch and gives the outcomes by place in it; `deferred` where there is none. */
export async function apply(sink: PostgresSink, batch: readonly QueuedCommand[]): Promise<(Outcome | 'deferred')[]> {
  const { outcomes, deferred } = await sink.apply(batch, progressOf);
  return batch.map(({ offset }) => {
    const found = outcomes.find((each) => each.offset === offset);
    if (found !== undefined) return found.outcome;
    if (!deferred.includes(offset)) throw new Error(`neither answered nor deferred: ${offset}`);
    return 'deferred';
  });
}

/** The same as a task does it: what is deferred is tried again, until there is an answer to every command. */
export async function applyAll(sink: PostgresSink, batch: readonly QueuedCommand[]): Promise<Outcome[]> {
  const answered = new Map<QueuedCommand, Outcome>();
  for (let round = 1; answered.size < batch.length; round++) {
    if (round > 50) throw new Error(`${batch.length - answered.size} commands have no outcome`);
    const left = batch.filter((each) => !answered.has(each));
    for (const [at, outcome] of (await apply(sink, left)).entries()) {
      if (outcome !== 'deferred') answered.set(left[at]!, outcome);
    }
  }
  return batch.map((each) => answered.get(each)!);
}

export function statuses(outcomes: readonly (Outcome | 'deferred')[]): string[] {
  return outcomes.map((outcome) => (outcome === 'deferred' ? outcome : outcome.status));
}
