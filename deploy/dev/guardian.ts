import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { packageRoot } from './paths.js';

/**
 * Everything that this process starts or writes for a local stack dies with it. A second small process waits for the
 * end of a pipe, which comes on a crash and on kill -9 too, then ends the processes and removes the folders.
 */
let guardian: (ChildProcess & { stdin: Writable }) | null = null;
const processes = new Map<number, NodeJS.Signals>();
const folders = new Set<string>();

function tell(line: string): void {
  if (guardian === null) {
    const child = spawn(process.execPath, [join(packageRoot(), 'deploy/dev/guardian.mjs')], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: tmpdir(),
      env: { PATH: process.env.PATH ?? '' },
    });
    child.unref();
    // The pipe must not keep this process alive either; a Writable does not say that it is a socket.
    (child.stdin as Writable & { unref?: () => void }).unref?.();
    child.stdin.on('error', () => undefined);
    guardian = child;
    process.on('exit', endAtOnce);
  }
  guardian.stdin.write(`${line}\n`);
}

/** The orderly ends of this process need not wait for the guardian. */
function endAtOnce(): void {
  for (const [pid, signal] of processes) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has gone already.
    }
  }
  for (const folder of folders) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // A process that is just ending still writes there: the guardian tries again.
    }
  }
}

/** From now on `pid` ends with this process, by `signal`. */
export function guardProcess(pid: number, signal: NodeJS.Signals): void {
  processes.set(pid, signal);
  tell(`process ${pid} ${signal}`);
}

export function forgetProcess(pid: number): void {
  processes.delete(pid);
  tell(`forget ${pid}`);
}

/** From now on this folder goes with this process. */
export function guardFolder(folder: string): void {
  folders.add(folder);
  tell(`folder ${folder}`);
}

/** A folder under the system's temporary folder, or another, that goes with this process and that every user may enter. */
export async function temporaryFolder(name: string, under: string = tmpdir()): Promise<string> {
  // Made and guarded in one go: an end in between would leave it behind.
  const folder = mkdtempSync(join(under, `duolog-${name}-`));
  guardFolder(folder);
  await chmod(folder, 0o755);
  return folder;
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  folders.delete(folder);
  tell(`keep ${folder}`);
}
