import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import { ensureJars, javaCommand } from '../../deploy/dev/jars.js';
import { accepts, ServerProcess, withFreePorts } from '../../deploy/dev/process.js';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import { eventually } from '../support/eventually.js';

const run = promisify(execFile);
const NODES = [1, 2, 3] as const;

/** Three brokers, so that leaders and coordinators can move. */
export interface KafkaCluster {
  readonly brokers: readonly string[];
  /** Kills one broker and starts it again. */
  bounce(node: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  destroy(): Promise<void>;
}

export async function startCluster(): Promise<KafkaCluster> {
  const { kafka: jars } = await ensureJars();
  return withFreePorts(NODES.length * 2, async (ports) => {
    const folder = await temporaryFolder('kafka-cluster');
    const cluster = new Cluster(jars, folder, ports);
    try {
      await cluster.start();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  });
}

class Cluster implements KafkaCluster {
  readonly #processes = new Map<number, ServerProcess>();

  constructor(
    readonly jars: string,
    readonly folder: string,
    readonly ports: readonly number[],
  ) {}

  get brokers(): readonly string[] {
    return NODES.map((node) => `127.0.0.1:${this.#port(node)}`);
  }

  async start(): Promise<void> {
    const id = randomBytes(16).toString('base64url');
    await Promise.all(NODES.map((node) => this.#format(node, id)));
    await Promise.all(NODES.map((node) => this.#startNode(node)));
    await this.#allKnown();
  }

  async bounce(node: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.#processes.get(node)?.end(signal, 30_000);
    await this.#startNode(node);
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#processes.values()].map((each) => each.end('SIGKILL', 1_000)));
    await removeFolder(this.folder);
  }

  async #format(node: number, id: string): Promise<void> {
    const home = this.#home(node);
    await mkdir(home);
    const controllers = NODES.map((each) => `${each}@127.0.0.1:${this.#controllerPort(each)}`).join();
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': node,
      'controller.quorum.voters': controllers,
      listeners: `PLAINTEXT://127.0.0.1:${this.#port(node)},CONTROLLER://127.0.0.1:${this.#controllerPort(node)}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${this.#port(node)}`,
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAINTEXT',
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'log.dirs': join(home, 'data'),
      'auto.create.topics.enable': false,
      'offsets.topic.num.partitions': 3,
      'transaction.state.log.num.partitions': 3,
      'transaction.state.log.min.isr': 2,
      'group.initial.rebalance.delay.ms': 0,
      'group.min.session.timeout.ms': 500,
      'broker.session.timeout.ms': 3000,
      'broker.heartbeat.interval.ms': 500,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    await writeFile(this.#settingsFile(node), `${lines.join('\n')}\n`);
    const format = ['kafka.tools.StorageTool', 'format', '-t', id, '-c', this.#settingsFile(node)];
    await run(javaCommand(), ['-cp', join(this.jars, '*'), ...format], { cwd: home });
  }

  /** A broker accepts connections before it may hold a topic's copies: each must know of all. */
  async #allKnown(): Promise<void> {
    for (const broker of this.brokers) {
      const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();
      const known = async () => {
        await admin.connect();
        return (await admin.describeCluster()).brokers.length === NODES.length;
      };
      try {
        await eventually(known, { timeoutMs: 90_000, what: `${broker} to know all brokers` });
      } finally {
        await admin.disconnect();
      }
    }
  }

  async #startNode(node: number): Promise<void> {
    const options = ['-Xmx384m', '-XX:+UseSerialGC', '-cp', join(this.jars, '*')];
    const server = new ServerProcess({
      name: `Kafka ${node}`,
      command: javaCommand(),
      args: [...options, 'kafka.Kafka', this.#settingsFile(node)],
      cwd: this.#home(node),
      logFile: join(this.#home(node), 'kafka.log'),
      endSignal: 'SIGKILL',
    });
    this.#processes.set(node, server);
    await server.waitUntil(() => accepts(this.#port(node)), 180_000);
  }

  #home(node: number): string {
    return join(this.folder, `node-${node}`);
  }
  #settingsFile(node: number): string {
    return join(this.#home(node), 'server.properties');
  }
  #port(node: number): number {
    return this.ports[node - 1] ?? 0;
  }
  #controllerPort(node: number): number {
    return this.ports[NODES.length + node - 1] ?? 0;
  }
}
