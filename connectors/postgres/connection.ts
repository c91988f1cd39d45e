import pg from 'pg';

/** How to reach a Postgres database: a URL as libpq takes it, TLS by its `sslmode`. */
export interface PostgresConnection {
  readonly url: string;
}

export const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Settings of every session that reads values, so that their texts do not depend on the server's, the database's or
 * the role's own. `synchronous_commit = local`: our watermarks must not wait for a standby that does not answer.
 */
const READING_SETTINGS = {
  DateStyle: 'ISO,YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  lock_timeout: '0',
  search_path: 'pg_catalog',
  standard_conforming_strings: 'on',
  statement_timeout: '0',
  synchronous_commit: 'local',
  xmloption: 'content',
} as const;

/** The driver's configuration for a session that reads catalogue, changes or rows. */
export function clientConfig(
  connection: PostgresConnection,
  applicationName: string,
  settings: Readonly<Record<string, string>> = {},
): pg.ClientConfig {
  const ours = Object.entries({ ...READING_SETTINGS, ...settings }).map(([name, value]) => `-c ${name}=${value}`);
  // The driver takes options of the URL instead of ours; later ones win, so ours come last.
  const url = new URL(connection.url);
  const theirs = url.searchParams.get('options');
  url.searchParams.delete('options');
  return {
    connectionString: url.href,
    application_name: applicationName.slice(0, 63),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    options: [...(theirs === null ? [] : [theirs]), ...ours].join(' '),
    types: asText,
  };
}

/** Rows arrive as the texts that Postgres sent. */
export type TextRow = readonly (string | null)[];

const asText = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

/** A session for ordinary statements; its loss shows at the next statement. @throws the driver's own error. */
export async function connectClient(config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(config);
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (error) {
    destroyClient(client);
    throw error;
  }
}

/** The rows of one statement, each as its texts. */
export async function queryTexts(
  client: pg.Client,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly TextRow[]> {
  const result = await client.query<(string | null)[]>({ text, rowMode: 'array', values: [...values] });
  return result.rows;
}

/** Cuts the connection without waiting for an answer. */
export function destroyClient(client: pg.Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
