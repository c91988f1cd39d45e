import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { forgetProcess, guardProcess } from '../../deploy/dev/guardian.js';
import { builtSources } from './shared.js';

/** The most output kept of one process, in characters: its end. */
const keptOutput = 2_000_000;

/** A `duolog` command running as a process of its own. */
export interface DuologProcess {
  readonly pid: number;
  /** Standard output and error so far, in the order they came. */
  output(): string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Sends a signal without waiting. */
  kill(signal: NodeJS.Signals): void;
  /** Sends SIGTERM, waits for the end, and gives the exit code. */
  stop(): Promise<number | null>;
}

/**
 * Starts `duolog` from the sources as they are now, e.g. `spawnDuolog(file, ['run', '--roles', 'source'], env)`.
 * The configuration's file is passed as `--config`; null leaves that away.
 */
export async function spawnDuolog(
  configFile: string | null,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<DuologProcess> {
  const main = join(await builtSources(), 'src/cli/main.js');
  const config = configFile === null ? [] : ['--config', configFile];
  const child = spawn(process.execPath, ['--enable-source-maps', main, ...args, ...config], {
    env: { ...process.env, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return watch(child);
}

function watch(child: ChildProcess): DuologProcess {
  const { pid } = child;
  if (pid === undefined) throw new Error('The duolog process did not start');
  guardProcess(pid, 'SIGKILL');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-keptOutput);
    });
  }
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => {
      forgetProcess(pid);
      resolve({ code, signal });
    });
  });
  return {
    pid,
    output: () => output,
    exited,
    kill: (signal) => void child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM');
      return (await exited).code;
    },
  };
}
