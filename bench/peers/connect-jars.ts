import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, packageRoot } from '../../deploy/dev/paths.js';

const run = promisify(execFile);

export interface ConnectJars {
  /** A folder of Connect's class path. */
  readonly connect: string;
  /** A folder with a folder for each plugin. */
  readonly plugins: string;
}

/** Connect and its plugins, downloaded through Maven the first time. @throws Error naming Maven's complaint. */
export async function ensureConnectJars(): Promise<ConnectJars> {
  const pom = join(packageRoot(), 'bench/peers/pom.xml');
  const hash = createHash('sha256').update(await readFile(pom));
  const folder = join(cacheFolder(), `peers-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(folder)) await download(pom, folder);
  return { connect: join(folder, 'connect'), plugins: join(folder, 'plugins') };
}

async function download(pom: string, folder: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const partial = await mkdtemp(`${folder}-partial-`);
  try {
    await run('mvn', ['-q', '-B', '-f', pom, 'generate-resources', `-Dtarget=${partial}`], {
      maxBuffer: 16 * 1024 * 1024,
    });
    await removeOwnJackson(join(partial, 'plugins', 'sink'));
    await rename(partial, folder);
  } catch (error) {
    const { stdout, message } = error as { stdout?: string; message: string };
    throw new Error(`Maven could not download Kafka Connect: ${stdout || message}`, { cause: error });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** With its own jackson the JDBC sink dies: "Jdk8Module not a subtype". Connect's is found instead. */
async function removeOwnJackson(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (/(^|\/)jackson-[^/]*\.jar$/.test(name)) await rm(join(folder, name));
  }
}
