import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { forgetProcess, guardProcess } from '../../deploy/dev/guardian.js';
import { packageRoot } from '../../deploy/dev/paths.js';
import { builtSources } from './shared.js';

/** A demo as a process of its own; it dies with the test. */
export interface DemoProcess {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  /** Its exit code, null after a signal, once all of its output was read. */
  readonly exited: Promise<number | null>;
  output(): string;
}

interface Started {
  /** Its temporary files are made below: what it leaves behind can be seen, and its processes told by it. */
  readonly folder: string;
  readonly detached?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export async function demoScript(): Promise<string> {
  return join(await builtSources(), 'examples/northwind/demo.js');
}

/** The demo itself, without npm and the preparations. */
export async function startDemo(args: readonly string[], started: Started): Promise<DemoProcess> {
  return runDemo(process.execPath, [await demoScript(), ...args], started);
}

export function runDemo(command: string, args: readonly string[], started: Started): DemoProcess {
  const { folder, detached = false, env = {} } = started;
  const child = spawn(command, args, {
    cwd: packageRoot(),
    detached,
    env: { ...process.env, TMPDIR: folder, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('The demo did not start');
  guardProcess(pid, 'SIGKILL');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', (code) => {
      forgetProcess(pid);
      resolve(code);
    });
  });
  return { pid, kill: (signal) => void child.kill(signal), exited, output: () => output };
}

/** Command lines that name a folder. */
export function processesNaming(folder: string): string[] {
  const all = execFileSync('ps', ['-Ao', 'pid,args'], { encoding: 'utf8' });
  return all.split('\n').filter((line) => line.includes(folder));
}

/** Of these, Kafka, the registry and Postgres. */
export function serversNaming(folder: string): string[] {
  return processesNaming(folder).filter((line) => /java|postgres/.test(line));
}
