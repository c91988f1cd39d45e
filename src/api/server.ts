import { fastify, type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { DuologError } from '../errors/duolog-error.js';

/** What the API shows of the running process. */
export interface ApiSources {
  readonly metrics: Pick<Registry, 'metrics' | 'contentType'>;
  /** Lives as long as no task has met an error that ends the process. */
  healthy(): boolean;
  /** Every task of this process holds its lease or stands by for it, and nothing waits for a person. */
  readiness(): { readonly ready: boolean; readonly waitingFor: readonly string[] };
  /** For `duolog status`: JSON without any record's values. */
  status(): unknown;
}

export interface ApiOptions {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
}

export interface Api {
  /** `http://127.0.0.1:8080` with the real port. */
  readonly url: string;
  close(): Promise<void>;
}

const REQUEST_TIMEOUT_MS = 5_000;
const MAX_BODY_BYTES = 1024;
const MAX_CONNECTIONS = 100;

/**
 * Serves /metrics, /healthz, /readyz and /status. It only reads, takes no body worth the name, and gives up on slow clients.
 * @throws DuologError API_PORT_TAKEN when the address cannot be listened on.
 */
export async function startApi(options: ApiOptions, sources: ApiSources): Promise<Api> {
  const server = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  });
  server.server.maxConnections = MAX_CONNECTIONS;
  addRoutes(server, sources);
  try {
    const url = await server.listen({ host: options.host, port: options.port });
    return { url, close: () => server.close() };
  } catch (cause) {
    await server.close();
    const place = `${options.host}:${options.port}`;
    throw new DuologError('API_PORT_TAKEN', `The API cannot listen on ${place}.`, { cause });
  }
}

function addRoutes(server: FastifyInstance, sources: ApiSources): void {
  server.get('/metrics', async (_request, reply) => {
    void reply.type(sources.metrics.contentType);
    return sources.metrics.metrics();
  });
  server.get('/healthz', async (_request, reply) => {
    const healthy = sources.healthy();
    void reply.code(healthy ? 200 : 503);
    return { healthy };
  });
  server.get('/readyz', async (_request, reply) => {
    const readiness = sources.readiness();
    void reply.code(readiness.ready ? 200 : 503);
    return readiness;
  });
  server.get('/status', async (_request, reply) => {
    void reply.header('cache-control', 'no-store');
    return sources.status();
  });
}
