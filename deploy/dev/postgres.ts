import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { removeFolder, temporaryFolder } from './guardian.js';
import { type PostgresVersion, postgresBinaries, type ServerUser, serverUser } from './postgres-binaries.js';
import { endOf, runCommand, ServerProcess, withFreePorts } from './process.js';

export type { PostgresVersion } from './postgres-binaries.js';

/** `smart` waits for the clients, `fast` ends them and writes a checkpoint, `immediate` is a crash. */
export type StopMode = 'smart' | 'fast' | 'immediate';

export interface PostgresOptions {
  readonly version: PostgresVersion;
  /** False for quick tests that crash no machine: fsync, synchronous_commit and full_page_writes off. Default true. */
  readonly durable?: boolean;
  /** Server settings on top of the ones for logical decoding. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Where its folder is made; the system's temporary folder by default. */
  readonly under?: string;
}

/** A real Postgres server on a free port, with its data in a temporary folder. */
export interface LocalPostgres {
  readonly version: PostgresVersion;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly logFile: string;
  readonly dataFolder: string;
  readonly pid: number | undefined;
  url(database: string): string;
  /** @returns the new database's URL. */
  createDatabase(name: string): Promise<string>;
  /** Ends the server, keeps the data: `start()` goes on with them. */
  stop(mode?: StopMode): Promise<void>;
  start(): Promise<void>;
  restart(mode?: StopMode): Promise<void>;
  /** Sends a signal; waits for the end of the server, unless it is SIGSTOP or SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends the server at once and removes the data. */
  destroy(): Promise<void>;
}

const logicalDecoding = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_wal_senders: 40,
  max_replication_slots: 80,
  max_connections: 250,
  max_prepared_transactions: 10,
  shared_buffers: '64MB',
  max_wal_size: '2GB',
  log_line_prefix: '%m [%p] %d %a ',
} as const;

const volatile = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } as const;

const stopSignals = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

/** Starts a Postgres server of its own. @throws Error with the end of its log when it does not come up. */
export async function startPostgres(options: PostgresOptions): Promise<LocalPostgres> {
  return withFreePorts(1, async ([port]) => {
    if (port === undefined) throw new Error('No free port');
    const folder = await temporaryFolder(`postgres-${options.version}`, options.under);
    try {
      const user = await serverUser();
      const server = new Server(options, folder, port, user, await postgresBinaries(options.version, folder, user));
      await server.initialise();
      await server.start();
      return server;
    } catch (error) {
      await removeFolder(folder);
      throw error;
    }
  });
}

class Server implements LocalPostgres {
  readonly user = 'postgres';
  readonly password = 'duolog';
  readonly logFile: string;
  readonly dataFolder: string;
  readonly version: PostgresVersion;
  #process: ServerProcess | null = null;

  constructor(
    readonly options: PostgresOptions,
    readonly folder: string,
    readonly port: number,
    readonly serverUser: ServerUser | null,
    readonly binaries: string,
  ) {
    this.version = options.version;
    this.logFile = join(folder, 'postgres.log');
    this.dataFolder = join(folder, 'data');
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  url(database: string): string {
    return `postgres://${this.user}:${this.password}@127.0.0.1:${this.port}/${database}`;
  }

  async initialise(): Promise<void> {
    const passwordFile = join(this.folder, 'password');
    await writeFile(passwordFile, `${this.password}\n`);
    await mkdir(this.dataFolder, { mode: 0o700 });
    if (this.serverUser !== null) {
      for (const path of [passwordFile, this.dataFolder]) {
        await chown(path, this.serverUser.uid, this.serverUser.gid);
      }
    }
    const flags = ['--auth=scram-sha-256', '--locale=C', '--encoding=UTF8', '--no-sync'];
    await runCommand(
      join(this.binaries, 'bin/initdb'),
      [`--pgdata=${this.dataFolder}`, `--username=${this.user}`, `--pwfile=${passwordFile}`, ...flags],
      { cwd: this.folder, env: this.#environment, ...this.serverUser },
    );
  }

  async start(): Promise<void> {
    if (this.#process?.running) return;
    const settings = {
      ...logicalDecoding,
      ...(this.options.durable === false ? volatile : {}),
      ...this.options.settings,
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    for (let attempt = 1; ; attempt += 1) {
      const server = new ServerProcess({
        name: `Postgres ${this.version}`,
        command: join(this.binaries, 'bin/postgres'),
        args: ['-D', this.dataFolder, '-p', String(this.port), ...flags],
        cwd: this.folder,
        env: this.#environment,
        logFile: this.logFile,
        endSignal: 'SIGQUIT',
        ...this.serverUser,
      });
      this.#process = server;
      try {
        return await server.waitUntil(() => this.#answers(), 180_000);
      } catch (error) {
        // After a kill -9 the old server's sessions take a moment to notice that it is gone.
        const lingering = /pre-existing shared memory block|lock file .* already exists/.test(endOf(this.logFile));
        if (!lingering || attempt === 50) throw error;
        await delay(200);
      }
    }
  }

  async createDatabase(name: string): Promise<string> {
    await this.#query('postgres', `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    return this.url(name);
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#process?.end(stopSignals[mode], 60_000);
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') this.#process?.signal(signal);
    else await this.#process?.end(signal, 60_000);
  }

  async destroy(): Promise<void> {
    await this.#process?.end('SIGQUIT', 5_000);
    await removeFolder(this.folder);
  }

  get #environment(): NodeJS.ProcessEnv {
    return { PATH: process.env.PATH ?? '', LC_ALL: 'C', TZ: 'UTC' };
  }

  async #answers(): Promise<boolean> {
    try {
      await this.#query('postgres', 'SELECT 1');
      return true;
    } catch {
      return false;
    }
  }

  async #query(database: string, statement: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url(database), connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query(statement);
    } finally {
      await client.end();
    }
  }
}
