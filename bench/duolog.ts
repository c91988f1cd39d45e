import { mkdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { removeFolder, temporaryFolder } from '../deploy/dev/guardian.js';
import { endOf, freePorts, ServerProcess } from '../deploy/dev/process.js';
import { configuration, type DuologCase } from './duolog-configuration.js';
import { type Equality, untilEqual } from './equality.js';
import { commitLatencies } from './latency.js';
import type { Expected, Replicator } from './replicator.js';
import type { Servers } from './servers.js';

const commandLine = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const READY_WITHIN_MS = 120_000;

interface Running {
  readonly role: string;
  readonly process: ServerProcess;
  readonly url: string;
  readonly logFile: string;
}

/** The shipped `duolog run`, in one process or a process a role. */
export class DuologReplicator implements Replicator {
  readonly name = 'duolog';
  readonly variant: string;
  readonly path: DuologCase['path'];
  readonly processCount: number;
  protected running: Running[] = [];
  private starts = 0;

  static async create(servers: Servers, wanted: DuologCase): Promise<DuologReplicator> {
    return new DuologReplicator(servers, wanted, await temporaryFolder('bench'));
  }

  constructor(
    protected readonly servers: Servers,
    private readonly wanted: DuologCase,
    private readonly folder: string,
  ) {
    this.path = wanted.path;
    this.processCount = wanted.processes;
    this.variant = wanted.path === 'one-way' ? `target ${wanted.captured ? '' : 'not '}captured` : '';
  }

  async start(): Promise<number> {
    this.starts++;
    const file = join(this.folder, 'duolog.yaml');
    await writeFile(file, configuration(this.wanted));
    // The source last: what it reads is then at once somebody's work, and the clock begins with it.
    const roles = rolesOf(this.wanted);
    const ports = await freePorts(roles.length);
    this.running = roles.slice(0, -1).map((role, index) => this.spawn(role, file, ports[index] ?? 0));
    await Promise.all(this.running.filter(({ role }) => role === 'stream').map(untilReady));
    const source = this.spawn(roles.at(-1) ?? '', file, ports.at(-1) ?? 0);
    this.running.push(source);
    return this.sourceBeganMs(source);
  }

  async pause(): Promise<void> {
    await Promise.all(this.running.map(({ process }) => process.end('SIGTERM', 20_000)));
    this.running = [];
  }

  resume(): Promise<number> {
    return this.start();
  }

  processes(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.running.flatMap(({ role, process }) => (process.pid === undefined ? [] : [[nameOf(role), process.pid]])),
    );
  }

  async untilArrived({ last, timeoutMs }: Expected): Promise<Equality> {
    const equality = await untilEqual(this.servers, { last, timeoutMs, gaveUp: () => this.gaveUp() });
    if (equality.equal || this.gaveUp() !== null) return equality;
    return { ...equality, problem: `${equality.problem}\n${await this.status()}` };
  }

  latencies(sinceMs: number): Promise<readonly number[]> {
    const both = this.path === 'two-way' ? [this.servers.target, this.servers.source] : [this.servers.target];
    return commitLatencies(both, sinceMs);
  }

  async destroy(): Promise<void> {
    await this.pause();
    await removeFolder(this.folder);
  }

  /** Why there is no use in waiting for it any longer. */
  protected gaveUp(): string | null {
    const ended = this.running.find(({ process }) => !process.running);
    return ended === undefined ? null : `duolog (${ended.role}) ended by itself:\n${endOf(ended.logFile)}`;
  }

  /** What its tasks do and what it holds, for a run that does not come to an end. */
  private async status(): Promise<string> {
    const texts = await Promise.all(
      this.running.map(async ({ url, role }) => `${role}: ${await (await fetch(`${url}/status`)).text()}`),
    );
    return texts.join('\n');
  }

  private spawn(role: string, file: string, port: number): Running {
    const name = nameOf(role);
    const logFile = join(this.folder, `${name}-${this.starts}.log`);
    const profiles = process.env['BENCH_PROFILES'];
    const profiling = profiles === undefined ? [] : profileOptions(profiles, `${name}-${this.starts}`);
    const server = new ServerProcess({
      name: `duolog (${role})`,
      command: process.execPath,
      args: ['--enable-source-maps', ...profiling, commandLine, 'run', '--roles', role, '--config', file],
      cwd: this.folder,
      env: {
        ...process.env,
        KAFKA_BROKERS: this.servers.kafka.brokers.join(','),
        SCHEMA_REGISTRY_URL: this.servers.registry.url,
        SOURCE_URL: this.servers.source.url,
        TARGET_URL: this.servers.target.url,
        STATE_FOLDER: join(this.folder, `state-${name}`),
        HTTP_PORT: String(port),
      },
      logFile,
      endSignal: 'SIGKILL',
    });
    return { role, process: server, url: `http://127.0.0.1:${port}`, logFile };
  }

  /** From the log: each task says when it runs. */
  private async sourceBeganMs({ logFile, process }: Running): Promise<number> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (process.running && Date.now() < deadline) {
      const line = readFileSync(logFile, 'utf8')
        .split('\n')
        .find((each) => each.includes('"task":"source source"') && each.includes('"msg":"running"'));
      if (line !== undefined) return new Date((JSON.parse(line) as { time: number | string }).time).getTime();
      await delay(10);
    }
    throw new Error(`duolog's source does not run:\n${endOf(logFile)}`);
  }
}

function rolesOf({ path, processes }: DuologCase): readonly string[] {
  if (path === 'to-kafka') return ['source'];
  return processes === 1 ? ['source,stream,sink'] : ['sink', 'stream', 'source'];
}

function nameOf(role: string): string {
  return role.includes(',') ? 'all' : role;
}

/** BENCH_PROFILES=FOLDER keeps a V8 profile of each process there, for whoever wants to know where the time goes. */
function profileOptions(folder: string, name: string): string[] {
  mkdirSync(folder, { recursive: true });
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${name}.cpuprofile`, '--cpu-prof-interval=500'];
}

async function untilReady({ process, url }: Running): Promise<void> {
  await process.waitUntil(async () => {
    try {
      return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) })).ok;
    } catch {
      return false;
    }
  }, READY_WITHIN_MS);
}
