import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { guardFolder, removeFolder } from '../../deploy/dev/guardian.js';
import { packageRoot } from '../../deploy/dev/paths.js';
import { type PostgresVersion, startKafka, startPostgres, startRegistry } from '../../deploy/dev/stack.js';

const run = promisify(execFile);

/**
 * The servers that test files share, each started when the first file asks for it: a run of one file about Avro does
 * not wait for two databases. Lives in vitest's main process; `shared.ts` asks from the workers.
 */
export class StackServer {
  readonly #started = new Map<string, Promise<string>>();
  readonly #ends: (() => Promise<void>)[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      // A connection kept open could be closed just when a busy worker sends its next question on it.
      response.setHeader('connection', 'close');
      this.#address(request.url ?? '').then(
        (address) => response.end(address),
        (error: unknown) => {
          response.statusCode = 500;
          response.end(error instanceof Error ? error.message : String(error));
        },
      );
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.#server.unref();
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The stack server has no port');
    return `http://127.0.0.1:${address.port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await Promise.allSettled(this.#started.values());
    await Promise.all(this.#ends.map((end) => end()));
  }

  #address(path: string): Promise<string> {
    const known = this.#started.get(path);
    if (known !== undefined) return known;
    const starting = this.#start(path);
    this.#started.set(path, starting);
    return starting;
  }

  async #start(path: string): Promise<string> {
    const postgres = /^\/postgres\/(\d+)$/.exec(path)?.[1];
    if (postgres !== undefined) {
      const server = await startPostgres({ version: Number(postgres) as PostgresVersion, durable: false });
      this.#ends.push(() => server.destroy());
      return server.url('postgres');
    }
    if (path === '/kafka') {
      const kafka = await startKafka();
      this.#ends.push(() => kafka.destroy());
      return kafka.brokers.join(',');
    }
    if (path === '/registry') {
      const registry = await startRegistry();
      this.#ends.push(() => registry.destroy());
      return registry.url;
    }
    if (path === '/build') return this.#build();
    throw new Error(`Nobody here knows ${path}`);
  }

  /** Compiles the sources as they are now, beside node_modules' packages so that imports resolve. */
  async #build(): Promise<string> {
    const folder = join(packageRoot(), 'node_modules', '.cache', `duolog-test-${process.pid}`);
    await mkdir(folder, { recursive: true });
    guardFolder(folder);
    this.#ends.push(() => removeFolder(folder));
    await run(process.execPath, [join(packageRoot(), 'scripts/build.mjs'), '--out', folder]).catch((error) => {
      throw new Error(`The build failed:\n${(error as { stdout: string }).stdout}`, { cause: error });
    });
    return folder;
  }
}
