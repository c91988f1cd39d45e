import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { type PostgresVersion, postgresVersions } from '../../deploy/dev/postgres-binaries.js';

/**
 * What test files share: one broker, one registry and one Postgres of each version under test, started on first use.
 * Files keep apart by `uniquePrefix()` for topics and slots and by `freshDatabase()`. Files that stop or kill a server
 * start their own with deploy/dev.
 */
export interface SharedStack {
  readonly brokers: readonly string[];
  /** The Confluent-compatible API. */
  readonly registry: string;
}

export interface FreshDatabase {
  readonly url: string;
  readonly name: string;
  readonly version: PostgresVersion;
  /** Ends its sessions and drops its slots and itself. */
  drop(): Promise<void>;
}

/** The Postgres versions of this run: 14 and 18, or those of `npm run test:postgres -- 16`. */
export const testedPostgres: readonly PostgresVersion[] = (process.env.DUOLOG_TEST_POSTGRES ?? '14,18')
  .split(',')
  .map((text) => {
    const version = postgresVersions.find((known) => String(known) === text.trim());
    if (version === undefined) throw new Error(`DUOLOG_TEST_POSTGRES: unknown Postgres version "${text}"`);
    return version;
  });

/** The broker and the registry. Give hooks that call it first some 60 seconds. */
export async function stack(): Promise<SharedStack> {
  const [brokers, registry] = await Promise.all([sharedKafka(), sharedRegistry()]);
  return { brokers, registry };
}

export async function sharedKafka(): Promise<readonly string[]> {
  return (await ask('/kafka')).split(',');
}

export async function sharedRegistry(): Promise<string> {
  return ask('/registry');
}

/** A new empty database on the shared server of a version (the first one under test if none is named). */
export async function freshDatabase(version: PostgresVersion = oldestTested()): Promise<FreshDatabase> {
  const server = await ask(`/postgres/${version}`);
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withClient(server, (client) => client.query(`CREATE DATABASE ${name}`));
  const url = server.replace(/\/postgres$/, `/${name}`);
  return { url, name, version, drop: () => withClient(server, (client) => dropDatabase(client, name)) };
}

/**
 * A pool whose idle sessions may be cut. Not only where a server is stopped on purpose: `end()` does not wait for the
 * sessions to be gone, so that dropping the database right after it may still meet one.
 */
export function openPool(url: string, max = 10): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max });
  pool.on('error', () => undefined);
  return pool;
}

/** A prefix for topics, slots and groups that no other test uses; valid in all of their names. */
export function uniquePrefix(): string {
  return `t${randomBytes(5).toString('hex')}`;
}

/** The folder with the compiled sources. */
export async function builtSources(): Promise<string> {
  return ask('/build');
}

function oldestTested(): PostgresVersion {
  const [first] = testedPostgres;
  if (first === undefined) throw new Error('DUOLOG_TEST_POSTGRES names no version');
  return first;
}

async function ask(path: string): Promise<string> {
  const response = await fetch(inject('stackServer') + path);
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function dropDatabase(client: pg.Client, name: string): Promise<void> {
  await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
  const slots = await client.query<{ slot_name: string }>(
    'SELECT slot_name FROM pg_replication_slots WHERE database = $1',
    [name],
  );
  for (const { slot_name } of slots.rows) {
    await onceUnused(() => client.query('SELECT pg_drop_replication_slot($1)', [slot_name]));
  }
  await onceUnused(() => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
}

/** A session that was just told to end holds its slot and its database a moment longer, on a busy machine a long one. */
async function onceUnused(drop: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await drop();
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || attempt === 1_000) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
