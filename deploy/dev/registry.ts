import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from './guardian.js';
import { ensureJars, javaCommand } from './jars.js';
import { ServerProcess, withFreePorts } from './process.js';

/** A real schema registry (Apicurio) with the Confluent-compatible API at `url`. */
export interface LocalRegistry {
  readonly url: string;
  readonly port: number;
  readonly logFile: string;
  /** Ends the process, keeps the schemas: `start()` goes on with them. */
  stop(): Promise<void>;
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Ends the process at once and removes the schemas. */
  destroy(): Promise<void>;
}

/** Starts a schema registry of its own. @throws Error with the end of its log when it does not come up. */
export async function startRegistry(): Promise<LocalRegistry> {
  const jars = await ensureJars();
  const runner = (await readdir(jars.registry)).find((name) => name.endsWith('-runner.jar'));
  if (runner === undefined) throw new Error(`No runner jar in ${jars.registry}: remove that folder and start again.`);
  return withFreePorts(1, async ([port]) => {
    if (port === undefined) throw new Error('No free port');
    const registry = new Registry(join(jars.registry, runner), await temporaryFolder('registry'), port);
    try {
      await registry.start();
      return registry;
    } catch (error) {
      await registry.destroy();
      throw error;
    }
  });
}

class Registry implements LocalRegistry {
  readonly url: string;
  readonly logFile: string;
  #process: ServerProcess | null = null;

  constructor(
    readonly jar: string,
    readonly folder: string,
    readonly port: number,
  ) {
    this.url = `http://127.0.0.1:${port}/apis/ccompat/v7`;
    this.logFile = join(folder, 'registry.log');
  }

  async start(): Promise<void> {
    if (this.#process?.running) return;
    const server = new ServerProcess({
      name: 'The schema registry',
      command: javaCommand(),
      args: [
        '-Xmx384m',
        '-XX:+UseSerialGC',
        '-Dquarkus.http.host=127.0.0.1',
        `-Dquarkus.http.port=${this.port}`,
        '-Dquarkus.log.level=WARN',
        '-jar',
        this.jar,
      ],
      cwd: this.folder,
      // A file, so that schemas and their ids outlive a restart as they would anywhere else.
      env: { ...process.env, REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(this.folder, 'schemas')}` },
      logFile: this.logFile,
      endSignal: 'SIGKILL',
    });
    this.#process = server;
    await server.waitUntil(() => this.#answers(), 180_000);
  }

  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM', 15_000);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async destroy(): Promise<void> {
    await this.#process?.end('SIGKILL', 1_000);
    await removeFolder(this.folder);
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/subjects`, { signal: AbortSignal.timeout(2_000) });
      return response.ok;
    } catch {
      return false;
    }
  }
}
