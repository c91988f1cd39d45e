import { type ChildProcess, type ExecFileOptions, execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { forgetProcess, guardProcess } from './guardian.js';

export interface ProcessOptions {
  /** For messages: `kafka`, `postgres 14`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
  readonly gid?: number;
  /** Standard output and error are appended here. */
  readonly logFile: string;
  /** What ends the process when ours ends. */
  readonly endSignal: NodeJS.Signals;
}

/** A server process of the local stack, in a process group of its own so that a Ctrl-C does not reach it. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #exit: Promise<void>;
  readonly #options: ProcessOptions;

  constructor(options: ProcessOptions) {
    this.#options = options;
    const log = openSync(options.logFile, 'a');
    this.#child = spawn(options.command, options.args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      detached: true,
      stdio: ['ignore', log, log],
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    closeSync(log);
    this.#child.unref();
    const pid = this.#child.pid;
    if (pid !== undefined) guardProcess(pid, options.endSignal);
    this.#exit = new Promise((resolve) => {
      const ended = () => {
        if (pid !== undefined) forgetProcess(pid);
        resolve();
      };
      this.#child.once('exit', ended);
      this.#child.once('error', ended);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends a signal without waiting, e.g. SIGSTOP and SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Sends a signal and waits for the end; after `patienceMs` SIGKILL follows. */
  async end(signal: NodeJS.Signals, patienceMs: number): Promise<void> {
    if (!this.running) return;
    this.#child.ref();
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), patienceMs);
    await this.#exit;
    clearTimeout(timer);
  }

  /** Waits until `ready` says so. @throws Error with the end of the log if the process ends or takes too long. */
  async waitUntil(ready: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (this.running) {
      if (await ready()) return;
      if (Date.now() > deadline) throw this.#failure(`is not ready after ${timeoutMs} ms`);
      await delay(50);
    }
    throw this.#failure('ended while starting');
  }

  #failure(what: string): Error {
    return new Error(`${this.#options.name} ${what}. The end of its log:\n${endOf(this.#options.logFile)}`);
  }
}

/** Runs a command to its end; it ends with this process too. @throws Error with what it wrote where it fails. */
export async function runCommand(command: string, args: readonly string[], options: ExecFileOptions): Promise<void> {
  const running = promisify(execFile)(command, args, options);
  const { pid } = running.child;
  if (pid !== undefined) guardProcess(pid, 'SIGKILL');
  try {
    await running;
  } finally {
    if (pid !== undefined) forgetProcess(pid);
  }
}

/** The last lines of a log, for error messages. */
export function endOf(logFile: string): string {
  try {
    return readFileSync(logFile, 'utf8').split('\n').slice(-25).join('\n');
  } catch {
    return '(no log)';
  }
}

/** Ports that nobody listens on now. Somebody may take one before we do: starters try again then. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('A listening server has no port');
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Whether somebody accepts connections on this port of this machine. */
export async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** As Node, Postgres, Kafka and the registry say it. */
const PORT_TAKEN = /address already in use|EADDRINUSE|BindException|Port \d+ seems to be in use/i;

/** Starts with free ports; if somebody took one meanwhile, starts once more with others. */
export async function withFreePorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      const taken = error instanceof Error && PORT_TAKEN.test(error.message);
      if (!taken || attempt === 3) throw error;
    }
  }
}
