import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import { javaCommand } from '../../deploy/dev/jars.js';
import { consoleLogging } from '../../deploy/dev/kafka.js';
import { endOf, freePorts, ServerProcess } from '../../deploy/dev/process.js';
import { type Equality, untilEqual } from '../equality.js';
import { commitLatencies } from '../latency.js';
import type { Expected, Replicator } from '../replicator.js';
import type { Servers } from '../servers.js';
import { ensureConnectJars } from './connect-jars.js';
import { sinkSettings, sourceSettings, workerSettings } from './connect-settings.js';

/** Debezium's Postgres source and JDBC sink in one worker of Kafka Connect: at least once, Avro, tuned. */
export class Debezium implements Replicator {
  readonly name = 'debezium';
  readonly variant = 'JDBC sink, Avro, tuned';
  readonly path = 'one-way';
  readonly processCount = 1;
  private readonly logFile: string;
  private worker: ServerProcess | null = null;
  private url = '';

  static async create(servers: Servers): Promise<Debezium> {
    return new Debezium(servers, await temporaryFolder('peer'));
  }

  private constructor(
    private readonly servers: Servers,
    private readonly folder: string,
  ) {
    this.logFile = join(folder, 'connect.log');
  }

  /** The worker and the sink first: their start is not part of what is measured. */
  async start(): Promise<number> {
    const jars = await ensureConnectJars();
    const [port] = await freePorts(1);
    this.url = `http://127.0.0.1:${port}`;
    const file = join(this.folder, 'worker.properties');
    const log4j = join(this.folder, 'log4j2.properties');
    await writeFile(file, workerSettings(this.servers, { port: port ?? 0, plugins: jars.plugins }));
    await writeFile(log4j, consoleLogging);
    this.worker = new ServerProcess({
      name: 'Kafka Connect',
      command: javaCommand(),
      args: [
        ...['-Xms256m', '-Xmx2g', `-Dlog4j2.configurationFile=${log4j}`, '-cp', join(jars.connect, '*')],
        ...['org.apache.kafka.connect.cli.ConnectDistributed', file],
      ],
      cwd: this.folder,
      logFile: this.logFile,
      endSignal: 'SIGKILL',
    });
    await this.worker.waitUntil(() => this.answers('/connectors'), 180_000);
    await this.put('sink', sinkSettings(this.servers));
    const beganMs = Date.now();
    await this.put('source', sourceSettings(this.servers));
    return beganMs;
  }

  /** Only the source stops: the worker's start is not in the rate. */
  async pause(): Promise<void> {
    await this.ask('PUT', '/connectors/source/stop');
    await this.untilState('STOPPED');
    // The slot is let go of a moment later.
    const { pool } = this.servers.source;
    while ((await pool.query("SELECT FROM pg_replication_slots WHERE slot_name = 'peer' AND active")).rows.length > 0) {
      await delay(100);
    }
  }

  async resume(): Promise<number> {
    const beganMs = Date.now();
    await this.ask('PUT', '/connectors/source/resume');
    // From the moment when its task runs, as with the others.
    await this.untilState('RUNNING');
    return Math.max(beganMs, Date.now() - 50);
  }

  processes(): Readonly<Record<string, number>> {
    return this.worker?.pid === undefined ? {} : { connect: this.worker.pid };
  }

  async untilArrived({ last, timeoutMs }: Expected): Promise<Equality> {
    const found = await untilEqual(this.servers, { last, timeoutMs, gaveUp: () => this.gaveUp() });
    return found.equal ? found : { ...found, problem: `${found.problem}\n${endOf(this.logFile)}` };
  }

  latencies(sinceMs: number): Promise<readonly number[]> {
    return commitLatencies([this.servers.target], sinceMs);
  }

  async destroy(): Promise<void> {
    await this.worker?.end('SIGKILL', 1_000);
    await removeFolder(this.folder);
  }

  private gaveUp(): string | null {
    return this.worker?.running === false ? `Kafka Connect ended:\n${endOf(this.logFile)}` : null;
  }

  private async untilState(wanted: string): Promise<void> {
    for (const deadline = Date.now() + 60_000; Date.now() < deadline; await delay(50)) {
      const status = (await (await fetch(`${this.url}/connectors/source/status`)).json()) as ConnectorStatus;
      const tasks = status.tasks.map(({ state }) => state);
      if (wanted === 'STOPPED' ? status.connector.state === wanted && tasks.length === 0 : tasks[0] === wanted) return;
    }
    throw new Error(`The source of Kafka Connect is not ${wanted}:\n${endOf(this.logFile)}`);
  }

  private put(name: string, settings: Readonly<Record<string, string>>): Promise<void> {
    return this.ask('PUT', `/connectors/${name}/config`, settings);
  }

  private async ask(method: string, path: string, body?: unknown): Promise<void> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`Kafka Connect answers ${response.status}: ${await response.text()}`);
  }

  private async answers(path: string): Promise<boolean> {
    try {
      return (await fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(2_000) })).ok;
    } catch {
      return false;
    }
  }
}

interface ConnectorStatus {
  readonly connector: { readonly state: string };
  readonly tasks: readonly { readonly state: string }[];
}
