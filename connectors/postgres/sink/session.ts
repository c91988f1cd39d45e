import type { Socket } from 'node:net';
import pg from 'pg';
import { CONNECT_TIMEOUT_MS, destroyClient, type PostgresConnection } from '../connection.js';

export interface Statement {
  readonly text: string;
  readonly values?: readonly (string | null)[];
  /** Prepared once a session and used again; for statements of a bounded number of texts. */
  readonly prepared?: boolean;
}

export interface Answer {
  /** Every value as the text that Postgres sent. */
  readonly rows: readonly (readonly (string | null)[])[];
  readonly rowCount: number;
  /** `UPDATE`, `COMMIT`, …: an aborted transaction answers `ROLLBACK` to COMMIT. */
  readonly command: string;
}

/** A row locked by somebody's open transaction is not waited for longer than this. */
export const LOCK_TIMEOUT_MS = 100;
/** A process that stopped inside a transaction gives its locks back after this. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 60_000;
/** A server that answers nothing at all for this long is gone. */
const ANSWER_TIMEOUT_MS = 90_000;
const MAX_PREPARED_STATEMENTS = 300;
/** So much leaves at once, for the server to begin with. */
const GATHERED_BYTES = 16 * 1024;

/** The forms in which values are read and written do not depend on the server's settings. */
const SETTINGS = [
  `lock_timeout = ${LOCK_TIMEOUT_MS}`,
  `idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_TIMEOUT_MS}`,
  `statement_timeout = ${STATEMENT_TIMEOUT_MS}`,
  "default_transaction_isolation = 'read committed'",
  "client_encoding = 'UTF8'",
  "datestyle = 'ISO, YMD'",
  "intervalstyle = 'postgres'",
  "timezone = 'UTC'",
  "bytea_output = 'hex'",
  'extra_float_digits = 1',
  'xmloption = content',
  'standard_conforming_strings = on',
];

/** Progress that a crash of the server takes back would name commands that are trimmed already. */
const DURABLE = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`;

const asText = { getTypeParser: () => (text: string) => text };

/**
 * One connection to the target. Statements may be sent without awaiting the one before: they run in order,
 * and after an error the rest of the transaction fails with 25P02.
 */
export class Session {
  private readonly names = new Map<string, string>();
  private lostBecause: Error | null = null;

  private constructor(private readonly client: pg.Client) {
    client.on('error', (error) => {
      this.lostBecause ??= error;
    });
    client.on('end', () => {
      this.lostBecause ??= new Error('the connection was closed');
    });
  }

  /** @throws the driver's own error. */
  static async connect(connection: PostgresConnection, applicationName: string): Promise<Session> {
    const client = new pg.Client({
      connectionString: connection.url,
      application_name: applicationName.slice(0, 63),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
      types: asText as unknown as pg.CustomTypesConfig,
      pipeline: true,
    });
    const session = new Session(client);
    try {
      await client.connect();
      await client.query([...SETTINGS.map((setting) => `SET ${setting}`), DURABLE].join(';'));
    } catch (error) {
      session.destroy();
      throw error;
    }
    return session;
  }

  get lost(): boolean {
    return this.lostBecause !== null;
  }

  async query(statement: Statement): Promise<Answer> {
    const name = statement.prepared ? this.nameOf(statement.text) : undefined;
    this.gather();
    try {
      const result = await this.client.query<(string | null)[]>({
        text: statement.text,
        rowMode: 'array',
        ...(statement.values === undefined ? {} : { values: statement.values as (string | null)[] }),
        ...(name === undefined ? {} : { name }),
      });
      return { rows: result.rows, rowCount: result.rowCount ?? 0, command: result.command };
    } catch (error) {
      // Whatever the server did not say itself means that it cannot be heard any more.
      if (!(error instanceof pg.DatabaseError)) this.lostBecause ??= error as Error;
      throw error;
    }
  }

  /** Leaves politely; a server that does not answer is left all the same. */
  async end(): Promise<void> {
    await Promise.race([this.client.end().catch(() => undefined), delay(2_000)]);
    this.destroy();
  }

  /** Cuts the connection: the server rolls back what is open. */
  destroy(): void {
    this.lostBecause ??= new Error('the connection was closed');
    destroyClient(this.client);
  }

  /** Statements that are sent in one go leave in one piece: a write for each costs more than a small statement itself. */
  private gather(): void {
    const { stream } = (this.client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
    if (stream.writableCorked === 0) {
      stream.cork();
      process.nextTick(() => stream.uncork());
    } else if (stream.writableLength >= GATHERED_BYTES) {
      stream.uncork();
      stream.cork();
    }
  }

  private nameOf(text: string): string | undefined {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    if (this.names.size >= MAX_PREPARED_STATEMENTS) return undefined;
    const name = `duolog_${this.names.size + 1}`;
    this.names.set(text, name);
    return name;
  }
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}
