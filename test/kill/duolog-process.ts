import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from '../../deploy/dev/process.js';
import { eventually } from '../support/eventually.js';

export type Role = 'source' | 'stream' | 'sink';
export const ROLES: readonly Role[] = ['source', 'stream', 'sink'];
/** Tasks of each role in the proof's configuration. */
export const TASKS: Readonly<Record<Role, number>> = { source: 2, stream: 1, sink: 2 };

export interface StartSettings {
  readonly configFile: string;
  readonly folder: string;
  readonly roles: readonly Role[];
  readonly name: string;
  /** What DUOLOG_FAIL_POINTS shall be. */
  readonly failPoints?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const commandLine = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** `duolog run` with some roles, as a process of its own that can be killed, frozen and thawed. */
export class DuologProcess {
  readonly logFile: string;
  readonly #server: ServerProcess;

  constructor(readonly settings: StartSettings) {
    const { configFile, env, failPoints, folder, name, roles } = settings;
    this.logFile = join(folder, `${name}.log`);
    this.#server = new ServerProcess({
      name,
      command: process.execPath,
      args: ['--enable-source-maps', commandLine, 'run', '--roles', roles.join(','), '--config', configFile],
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1', DUOLOG_FAIL_POINTS: failPoints ?? '', ...env },
      logFile: this.logFile,
      endSignal: 'SIGKILL',
    });
  }

  get name(): string {
    return this.settings.name;
  }

  get pid(): number | undefined {
    return this.#server.pid;
  }

  get alive(): boolean {
    return this.#server.running;
  }

  /** Stopped by a signal, as `stop` fail points do. */
  get frozen(): boolean {
    if (!this.alive) return false;
    try {
      const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
    } catch {
      return false;
    }
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** Tasks that have said `running` at least once. */
  get tasksThatRan(): number {
    const tasks = new Set<string>();
    for (const line of this.log().split('\n')) {
      const task = /"task":"([^"]+)".*"msg":"running"/.exec(line);
      if (task !== null) tasks.add(task[1]!);
    }
    return tasks.size;
  }

  /** Gone, and not because it was asked to go. */
  get died(): boolean {
    return !this.alive && !this.log().includes('"msg":"stopping"');
  }

  /** Connected, and waiting for its leases or beyond. */
  async started(timeoutMs = 60_000): Promise<void> {
    const ready = () => !this.alive || this.log().includes('"msg":"API listens"');
    await eventually(ready, { what: `${this.name} to start`, timeoutMs, intervalMs: 50 });
  }

  kill(signal: NodeJS.Signals): void {
    this.#server.signal(signal);
  }

  /** SIGKILL, and gone. */
  async destroy(): Promise<void> {
    await this.#server.end('SIGKILL', 1_000);
  }

  /** SIGTERM and an orderly end. */
  async stop(): Promise<void> {
    await this.#server.end('SIGTERM', 15_000);
  }
}
