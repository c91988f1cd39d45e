import { execFile } from 'node:child_process';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A place for data that can become full. */
export interface Volume {
  readonly folder: string;
  /** Null where we may not mount: why not. */
  readonly fixed: string | null;
  /** What could still be written. */
  freeKilobytes(): Promise<number>;
  /** No byte more from now on, but for what is left of a page or two. */
  fill(): Promise<void>;
  empty(): Promise<void>;
}

const SIZE = '4g';

/** A small file system in memory if we may mount one, else an ordinary folder that cannot be filled. */
export async function makeVolume(under: string, name: string): Promise<Volume> {
  const folder = join(under, name);
  await mkdir(folder, { recursive: true });
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=755`, 'tmpfs', folder]);
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    return { folder, fixed: `mount: ${stderr?.trim() || String(error)}`, ...unfillable(name) };
  }
  await chmod(folder, 0o755);
  const freeKilobytes = () => kilobytes(folder, 'avail');
  const resize = (size: string) => run('mount', ['-o', `remount,size=${size}`, folder]);
  return {
    folder,
    fixed: null,
    freeKilobytes,
    fill: async () => {
      // What is there already is the whole of it; servers write on meanwhile, so it may take another try.
      for (let attempt = 0; ; attempt++) {
        const used = await kilobytes(folder, 'used');
        try {
          await resize(`${used + 4 + attempt * 64}k`);
          return;
        } catch (error) {
          if (attempt === 20) throw error;
        }
      }
    },
    empty: async () => {
      await resize(SIZE);
    },
  };
}

export async function removeVolume(volume: Volume): Promise<void> {
  if (volume.fixed === null) await run('umount', ['-l', volume.folder]).catch(() => undefined);
  await rm(volume.folder, { recursive: true, force: true }).catch(() => undefined);
}

async function kilobytes(folder: string, what: 'used' | 'avail'): Promise<number> {
  const { stdout } = await run('df', ['-k', `--output=${what}`, folder]);
  return Number(stdout.trim().split('\n').at(-1));
}

function unfillable(name: string) {
  const refuse = () => Promise.reject(new Error(`${name} is no file system of its own`));
  return { fill: refuse, empty: refuse, freeKilobytes: refuse };
}
