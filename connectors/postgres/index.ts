import type {
  Capabilities,
  Catalogue,
  Connector,
  Finding,
  Sink,
  SinkOptions,
  Source,
  SourceOptions,
  SystemUse,
  TableReference,
} from '../../src/connector/contract.js';
import type { TableShape } from '../../src/model/table.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { describeTables } from './catalogue.js';
import { checkPostgres, planPostgres } from './check.js';
import { clientConfig, type PostgresConnection } from './connection.js';
import { sourceFailure } from './failure.js';
import { parseTableName, quoteTable, slotName } from './names.js';
import { QuerySession } from './session.js';
import { PostgresSink } from './sink.js';
import { PostgresSource } from './source.js';

/** Postgres from 14 on: changes from its log, rows by snapshots while streaming, commands in guarded transactions. */
export class PostgresConnector implements Connector {
  readonly capabilities: Capabilities = { ordered: true, transactions: true };

  constructor(
    private readonly system: string,
    private readonly connection: PostgresConnection,
  ) {}

  catalogue(): Catalogue {
    return new PostgresCatalogue(this.system, this.connection);
  }

  source(options: SourceOptions): Source {
    return new PostgresSource(this.connection, options);
  }

  sink(options: SinkOptions): Sink {
    return new PostgresSink(this.connection, options);
  }

  /** Catalogues, sources and sinks hold the connections, and each closes its own. */
  async close(): Promise<void> {}
}

class PostgresCatalogue implements Catalogue {
  #session: Promise<QuerySession> | null = null;

  constructor(
    private readonly system: string,
    private readonly connection: PostgresConnection,
  ) {}

  async tables(entities: readonly TableReference[]): Promise<readonly TableShape[]> {
    const described = await this.#ask((session) =>
      session.use((client) => describeTables(client, this.system, entities)),
    );
    return described.map((table) => table.shape);
  }

  async hasRows(table: string): Promise<boolean> {
    const statement = `SELECT EXISTS (SELECT FROM ${quoteTable(parseTableName(table))})::text`;
    const rows = await this.#ask((session) => session.query(statement));
    return rows[0]?.[0] === 'true';
  }

  async check(entities: readonly EntitySystemPlan[], use: SystemUse): Promise<readonly Finding[]> {
    return this.#ask((session) => checkPostgres(session, this.system, entities, use));
  }

  async plan(entities: readonly EntitySystemPlan[], use: SystemUse): Promise<readonly string[]> {
    return this.#ask((session) => planPostgres(session, this.system, entities, use));
  }

  /** A slot that nobody reads keeps the database's log until the disk is full. */
  async remains(prefix: string): Promise<readonly { readonly message: string; readonly statement: string }[]> {
    const slot = slotName(prefix, this.system);
    const text = 'SELECT slot_name FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()';
    const found = await this.#ask((session) => session.query(text, [slot]));
    return found.map(() => ({
      message: `the replication slot ${slot} keeps the database's log from now on until a run reads it; if none will, drop it:`,
      statement: `SELECT pg_drop_replication_slot('${slot}');`,
    }));
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    (await session?.catch(() => null))?.close();
  }

  /** Connects at the first question, and again at the next one after a failure. */
  async #ask<T>(question: (session: QuerySession) => Promise<T>): Promise<T> {
    this.#session ??= QuerySession.connect(clientConfig(this.connection, `duolog catalogue ${this.system}`));
    try {
      return await question(await this.#session);
    } catch (error) {
      await this.close();
      throw sourceFailure(error, this.system, 'reading the catalogue');
    }
  }
}
