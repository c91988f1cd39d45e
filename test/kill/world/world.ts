import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { eventually } from '../../support/eventually.js';
import { DuologProcess, type Role, ROLES } from '../duolog-process.js';
import { AvroReader } from '../oracle/avro.js';
import { Oracle } from '../oracle/oracle.js';
import { ToldTopics } from '../oracle/topics.js';
import type { Stack } from '../stack.js';
import { createAudit } from './audit.js';
import { configurationText, SCHEMA, SYSTEMS, topicsOf, type SystemName } from './model.js';
import { prefill, userPool, type UserPools } from './users.js';

/** Short, so that a round is; long enough for a busy machine. */
export const SESSION_TIMEOUT_MS = 4_000;

/** Fresh databases, fresh topics and the processes on them: where rounds are played until one goes wrong. */
export class World {
  readonly processes = new Map<Role, DuologProcess[]>(ROLES.map((role) => [role, []]));
  /** Everything that was ever started here, for the logs. */
  readonly all: DuologProcess[] = [];
  rounds = 0;
  private started = 0;

  private constructor(
    readonly stack: Stack,
    readonly prefix: string,
    readonly folder: string,
    readonly configFile: string,
    readonly users: UserPools,
    readonly told: ToldTopics,
    readonly oracle: Oracle,
    private readonly databaseName: string,
  ) {}

  /** Makes databases with some records on both sides; nothing of Duolog runs yet. */
  static async create(stack: Stack, prefix: string, records: number): Promise<World> {
    const folder = join(stack.folder, prefix);
    await mkdir(folder, { recursive: true });
    const name = `w_${prefix}`;
    const urls = {
      crm: await stack.databases.crm.createDatabase(name),
      erp: await stack.databases.erp.createDatabase(name),
    };
    const users: UserPools = { crm: userPool(urls.crm), erp: userPool(urls.erp) };
    await Promise.all(
      SYSTEMS.map(async (system) => {
        await users[system].query(SCHEMA[system]);
        await createAudit(users[system], system);
      }),
    );
    await prefill(users, records);
    const proxied = (system: SystemName) =>
      urls[system].replace(`:${stack.databases[system].port}/`, `:${stack.proxyPorts[system]}/`);
    const configFile = join(folder, 'duolog.yaml');
    const configuration = configurationText(prefix, {
      brokers: `127.0.0.1:${stack.proxyPorts.kafka}`,
      registry: stack.registry.url,
      crm: proxied('crm'),
      erp: proxied('erp'),
      stateFolder: join(stack.volumes.state.folder, prefix),
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
    });
    await writeFile(configFile, configuration);
    const told = new ToldTopics(prefix, new AvroReader(stack.registry.url));
    const oracle = new Oracle(users, told, Number.POSITIVE_INFINITY);
    return new World(stack, prefix, folder, configFile, users, told, oracle, name);
  }

  /** Starts a process of a role beside those there are. */
  spawn(role: Role, more: { readonly failPoints?: string; readonly env?: Readonly<Record<string, string>> } = {}) {
    const { configFile, folder } = this;
    const name = `${role}-${++this.started}`;
    const process = new DuologProcess({ configFile, folder, name, roles: [role], ...more });
    this.processes.get(role)!.push(process);
    this.all.push(process);
    return process;
  }

  /** Processes of a role that are alive. */
  living(role: Role): DuologProcess[] {
    const living = this.processes.get(role)!.filter(({ alive }) => alive);
    this.processes.set(role, living);
    return [...living];
  }

  /** Each role has a process again. */
  async ensureRoles(): Promise<void> {
    for (const role of ROLES) if (this.living(role).length === 0) this.spawn(role);
    await Promise.all(ROLES.flatMap((role) => this.living(role).map((process) => process.started())));
  }

  /** Waits for slots and topics, from where on the oracle takes every change to be told one by one. */
  async witnessStart(): Promise<void> {
    const hasSlot = async (system: SystemName) => {
      const { rows } = await this.users[system].query<{ now_ms: string }>(
        `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000) AS now_ms FROM pg_replication_slots
         WHERE database = current_database() AND confirmed_flush_lsn IS NOT NULL`,
      );
      return rows[0]?.now_ms;
    };
    const times = await Promise.all(
      SYSTEMS.map((system) => eventually(() => hasSlot(system), { what: `a slot in ${system}`, timeoutMs: 240_000 })),
    );
    this.oracle.startedMs = Math.max(...times.map(Number));
    const { read, counted } = topicsOf(this.prefix);
    const { told } = this;
    this.stack.witness.follow(
      read,
      counted,
      (record) => told.add(record),
      (topic) => told.trimmed(topic),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((process) => process.destroy()));
    for (const system of SYSTEMS) {
      await this.users[system].end();
      await dropDatabase(this.stack.databases[system].url('postgres'), this.databaseName).catch(() => undefined);
    }
    await rm(join(this.stack.volumes.state.folder, this.prefix), { recursive: true, force: true });
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function dropDatabase(url: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await eventually(async () => {
      await client.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1', [
        name,
      ]);
      await client.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1', [
        name,
      ]);
      return true;
    });
    await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
  } finally {
    await client.end();
  }
}
