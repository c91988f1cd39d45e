import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, packageRoot } from './paths.js';

const run = promisify(execFile);

export interface Jars {
  /** A folder of Kafka's class path. */
  readonly kafka: string;
  /** A folder with the schema registry's runner jar. */
  readonly registry: string;
}

/** The jars of the local stack, downloaded through Maven the first time. @throws Error naming Maven's complaint. */
export async function ensureJars(): Promise<Jars> {
  const folder = await jarsFolder();
  if (!existsSync(folder)) await download(folder);
  return { kafka: join(folder, 'kafka'), registry: join(folder, 'registry') };
}

export async function jarsAreThere(): Promise<boolean> {
  return existsSync(await jarsFolder());
}

const pom = join(packageRoot(), 'deploy/dev/pom.xml');

/** Named by the pom's hash: another version of anything in it is another folder. */
async function jarsFolder(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(pom));
  return join(cacheFolder(), `jars-${hash.digest('hex').slice(0, 16)}`);
}

async function download(folder: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const partial = await mkdtemp(`${folder}-partial-`);
  try {
    await run('mvn', ['-q', '-B', '-f', pom, 'generate-resources', `-Dtarget=${partial}`], {
      maxBuffer: 16 * 1024 * 1024,
    });
    // Whole or not at all: two checkouts may download at the same time, and the first one wins.
    await rename(partial, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } catch (error) {
    const { stdout, message } = error as { stdout?: string; message: string };
    throw new Error(`Maven could not download Kafka and the schema registry: ${stdout || message}`, { cause: error });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** The java to run: JAVA_HOME's, else the one on the path. */
export function javaCommand(): string {
  const home = process.env.JAVA_HOME;
  return home ? join(home, 'bin', 'java') : 'java';
}
