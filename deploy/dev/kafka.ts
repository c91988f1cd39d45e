import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from './guardian.js';
import { ensureJars, javaCommand } from './jars.js';
import { accepts, runCommand, ServerProcess, withFreePorts } from './process.js';

export interface KafkaOptions {
  /** Broker settings on top of the ones for a single quick broker, e.g. `transaction.max.timeout.ms`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  readonly heapMegabytes?: number;
  /** Where its folder is made; the system's temporary folder by default. */
  readonly under?: string;
  /** A port of this machine with a proxy on it: clients that come through `behindProxyPort` are sent there. */
  readonly proxyPort?: number;
}

/** A real broker (KRaft, one node) on free ports, with its data in a temporary folder. */
export interface LocalKafka {
  readonly brokers: readonly string[];
  readonly port: number;
  /** The listener that names the proxy's port as its own; only there with `proxyPort`. */
  readonly behindProxyPort: number;
  readonly logFile: string;
  readonly pid: number | undefined;
  /** Ends the process, keeps the data: `start()` goes on with them. */
  stop(): Promise<void>;
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Sends a signal; waits for the end of the process, unless it is SIGSTOP or SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends the process at once and removes the data. */
  destroy(): Promise<void>;
}

const singleBroker = {
  'process.roles': 'broker,controller',
  'node.id': 1,
  'controller.listener.names': 'CONTROLLER',
  'inter.broker.listener.name': 'PLAINTEXT',
  'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
  'auto.create.topics.enable': false,
  'num.partitions': 1,
  'offsets.topic.replication.factor': 1,
  'offsets.topic.num.partitions': 4,
  'transaction.state.log.replication.factor': 1,
  'transaction.state.log.min.isr': 1,
  'transaction.state.log.num.partitions': 4,
  'share.coordinator.state.topic.replication.factor': 1,
  'share.coordinator.state.topic.min.isr': 1,
  'group.initial.rebalance.delay.ms': 0,
  'group.min.session.timeout.ms': 500,
  // A broker that starts again after a kill -9 waits until its former self counts as dead.
  'broker.session.timeout.ms': 3000,
  'broker.heartbeat.interval.ms': 500,
} as const;

/** Starts a Kafka broker of its own. @throws Error with the end of the broker's log when it does not come up. */
export async function startKafka(options: KafkaOptions = {}): Promise<LocalKafka> {
  const jars = await ensureJars();
  return withFreePorts(3, async ([port, controllerPort, behindProxyPort]) => {
    if (port === undefined || controllerPort === undefined || behindProxyPort === undefined)
      throw new Error('No free port');
    const folder = await temporaryFolder('kafka', options.under);
    const kafka = new Broker(jars.kafka, folder, port, behindProxyPort, options.heapMegabytes ?? 512);
    try {
      await kafka.format(controllerPort, options);
      await kafka.start();
      return kafka;
    } catch (error) {
      await kafka.destroy();
      throw error;
    }
  });
}

class Broker implements LocalKafka {
  readonly brokers: readonly string[];
  readonly logFile: string;
  #process: ServerProcess | null = null;

  constructor(
    readonly jars: string,
    readonly folder: string,
    readonly port: number,
    readonly behindProxyPort: number,
    readonly heapMegabytes: number,
  ) {
    this.brokers = [`127.0.0.1:${port}`];
    this.logFile = join(folder, 'kafka.log');
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async format(controllerPort: number, { settings, proxyPort }: KafkaOptions): Promise<void> {
    const all = {
      ...singleBroker,
      'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
      listeners: `PLAINTEXT://127.0.0.1:${this.port},CONTROLLER://127.0.0.1:${controllerPort}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${this.port}`,
      'log.dirs': join(this.folder, 'data'),
      ...(proxyPort === undefined ? {} : this.#proxied(proxyPort, controllerPort)),
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}=${value}`);
    await writeFile(this.#settingsFile, `${lines.join('\n')}\n`);
    await writeFile(join(this.folder, 'log4j2.properties'), consoleLogging);
    const cluster = randomBytes(16).toString('base64url');
    // One argument: an id that begins with a dash would be taken for an option.
    const format = ['kafka.tools.StorageTool', 'format', `--cluster-id=${cluster}`, '-c', this.#settingsFile];
    await runCommand(javaCommand(), [...this.#javaArguments(128), ...format], { cwd: this.folder });
  }

  /** Clients of the second listener are always told the proxy's address; the broker itself goes past it. */
  #proxied(proxyPort: number, controllerPort: number): Readonly<Record<string, string>> {
    const own = `PLAINTEXT://127.0.0.1:${this.port}`;
    return {
      listeners: `${own},PROXIED://127.0.0.1:${this.behindProxyPort},CONTROLLER://127.0.0.1:${controllerPort}`,
      'advertised.listeners': `${own},PROXIED://127.0.0.1:${proxyPort}`,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT',
    };
  }

  async start(): Promise<void> {
    if (this.#process?.running) return;
    const server = new ServerProcess({
      name: 'Kafka',
      command: javaCommand(),
      args: [...this.#javaArguments(this.heapMegabytes), 'kafka.Kafka', this.#settingsFile],
      cwd: this.folder,
      logFile: this.logFile,
      endSignal: 'SIGKILL',
    });
    this.#process = server;
    await server.waitUntil(() => accepts(this.port), 180_000);
  }

  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM', 30_000);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') this.#process?.signal(signal);
    else await this.#process?.end(signal, 30_000);
  }

  async destroy(): Promise<void> {
    await this.#process?.end('SIGKILL', 1_000);
    await removeFolder(this.folder);
  }

  get #settingsFile(): string {
    return join(this.folder, 'server.properties');
  }

  #javaArguments(heapMegabytes: number): string[] {
    const logging = `-Dlog4j2.configurationFile=${join(this.folder, 'log4j2.properties')}`;
    return [`-Xmx${heapMegabytes}m`, '-XX:+UseSerialGC', '-Xshare:auto', logging, '-cp', join(this.jars, '*')];
  }
}

/** What a Java server of ours logs: warnings, to its standard output. */
export const consoleLogging = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
`;
