import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasSeal, isSealed, looksWhole, sealStore } from './wholeness.js';

/** A folder for one local store, held by this process. */
export interface StoreFolder {
  readonly path: string;
  /**
   * After the store was closed in order: the next process may use it, even after a restart of the machine. Where the
   * time that `over` gives is too short for that, it is left as a killed process leaves it.
   */
  release(over?: AbortSignal): Promise<void>;
}

/** A store left alone for longer than this is no use any more: the changelog has gone on. */
const ABANDONED_AFTER_MS = 24 * 3_600_000;
const OWNED = /^owned-([0-9a-f]+)-(\d+)-(\d+)-(\d+)$/;

let taken = 0;

/**
 * Takes a store that no living process holds, or a new one, below the folder. Renaming is the lock: its name tells the
 * owner, and only one can rename it. A store whose owner was killed is whole; one whose machine has restarted without a
 * clean end may be torn, because it is written without sync, and is removed unread; so is one that was closed in order and
 * is not what it was then.
 */
export async function takeStoreFolder(base: string): Promise<StoreFolder> {
  mkdirSync(base, { recursive: true });
  const path = join(base, `owned-${bootId()}-${process.pid}-${startOf(process.pid)}-${taken++}`);
  for (const { name } of newestFirst(base)) {
    if (!isFree(name)) continue;
    if (isTorn(name)) {
      rmSync(join(base, name), { recursive: true, force: true });
      continue;
    }
    if (!tryRename(join(base, name), path)) continue;
    const isKilled = OWNED.test(name) && !hasSeal(path);
    if (isKilled ? looksWhole(path) : await isSealed(path)) return held(base, path);
    rmSync(path, { recursive: true, force: true });
  }
  mkdirSync(path);
  return held(base, path);
}

function held(base: string, path: string): StoreFolder {
  return { path, release: (over) => release(base, path, over) };
}

async function release(base: string, path: string, over?: AbortSignal): Promise<void> {
  // Never written to: nothing to hand on.
  if (!existsSync(join(path, 'data.mdb'))) return rmSync(path, { recursive: true, force: true });
  if (!(await sealStore(path, over))) return;
  for (let number = 0; ; number++) {
    if (tryRename(path, join(base, `closed-${number}`))) return;
    if (number > 100) return;
  }
}

function newestFirst(base: string): { readonly name: string; readonly ageMs: number }[] {
  const found = readdirSync(base)
    .filter((name) => OWNED.test(name) || name.startsWith('closed-'))
    .map((name) => ({ name, ageMs: ageMs(join(base, name)) }))
    .sort((left, right) => left.ageMs - right.ageMs);
  for (const { name, ageMs } of found) {
    if (ageMs > ABANDONED_AFTER_MS && isFree(name)) rmSync(join(base, name), { recursive: true, force: true });
  }
  return found.filter(({ ageMs }) => ageMs <= ABANDONED_AFTER_MS);
}

function ageMs(path: string): number {
  try {
    // LMDB writes through a memory map, which may not touch the file's time: the folder's own is as good a guess.
    const times = [path, join(path, 'data.mdb')].map((each) => statSync(each, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    return Date.now() - Math.max(...times);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function isFree(name: string): boolean {
  const owner = OWNED.exec(name);
  if (owner === null) return true;
  const [, boot, pid, start] = owner;
  return boot !== bootId() || startOf(Number(pid)) !== start;
}

function isTorn(name: string): boolean {
  const owner = OWNED.exec(name);
  return owner !== null && owner[1] !== bootId();
}

/** False where another was faster, or the name is taken. */
function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}

let boot: string | null = null;

/**
 * Differs after each restart of the machine. Only Linux has one: elsewhere every process counts as a restart, reads the
 * changelog anew, and two of them must not share a folder.
 */
function bootId(): string {
  boot ??= readBootId();
  return boot;
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
      .replace(/[^0-9a-f]/g, '')
      .slice(0, 16);
  } catch {
    return process.hrtime.bigint().toString(16);
  }
}

/** When a process began, so that a number given again is not taken for the old process; "0" where there is none. */
function startOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return fields.slice(fields.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
  } catch {
    return pid === process.pid ? '1' : '0';
  }
}
