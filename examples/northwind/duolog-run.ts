import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import { endOf, freePorts, ServerProcess } from '../../deploy/dev/process.js';
import { exampleFolder } from './northwind-data.js';
import type { Servers } from './servers.js';

/** `duolog run` on duolog.yaml, as a process of its own. */
export interface DuologRun {
  readonly logFile: string;
  readonly metricsUrl: string;
  readonly running: boolean;
  /** The last lines of its log. */
  endOfLog(): string;
  /** SIGTERM, and its orderly end. */
  stop(): Promise<void>;
}

/** Built beside this file. */
const commandLine = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export const configurationFile = join(exampleFolder, 'duolog.yaml');

/** Starts Duolog and waits until it says that it is ready. @throws Error with the end of its log. */
export async function runDuolog(servers: Servers): Promise<DuologRun> {
  const folder = await temporaryFolder('demo');
  const [port] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const logFile = join(folder, 'duolog.log');
  const duolog = new ServerProcess({
    name: 'Duolog',
    command: process.execPath,
    args: ['--enable-source-maps', commandLine, 'run', '--config', configurationFile],
    cwd: folder,
    env: {
      ...process.env,
      ...duologEnvironment(servers),
      DUOLOG_STATE_FOLDER: join(folder, 'state'),
      DUOLOG_HTTP_PORT: String(port),
    },
    logFile,
    endSignal: 'SIGKILL',
  });
  const stop = async () => {
    await duolog.end('SIGTERM', 15_000);
    await removeFolder(folder);
  };
  try {
    await duolog.waitUntil(() => answers(`${url}/readyz`), 60_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    logFile,
    metricsUrl: `${url}/metrics`,
    get running() {
      return duolog.running;
    },
    endOfLog: () => endOf(logFile),
    stop,
  };
}

/** What duolog.yaml asks of the environment. */
export function duologEnvironment(servers: Servers): { readonly [name: string]: string } {
  return {
    KAFKA_BROKERS: servers.brokers.join(','),
    SCHEMA_REGISTRY_URL: servers.registry,
    ERP_URL: servers.erp,
    CRM_URL: servers.crm,
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
