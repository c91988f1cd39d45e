import pg from 'pg';
import { type LocalKafka, type LocalPostgres, type LocalRegistry, startStack } from '../deploy/dev/stack.js';
import { treeCpuMicros } from './process-usage.js';

/** The servers of one measurement, new each time: nothing of an earlier one is in a log or a cache. */
export interface Servers {
  readonly kafka: LocalKafka;
  readonly registry: LocalRegistry;
  readonly source: Database;
  readonly target: Database;
  /** Processor time so far of each that takes part: the broker and both databases. */
  cpuMicros(): Readonly<Record<'kafka' | 'source' | 'target', number>>;
  destroy(): Promise<void>;
}

export interface Database {
  readonly url: string;
  readonly server: LocalPostgres;
  /** For single queries of the bench itself. */
  readonly pool: pg.Pool;
}

/** Durable, as a server that matters is: fsync on. */
const settings = {
  shared_buffers: '256MB',
  max_wal_size: '8GB',
  // When a row was committed is then known without a trigger.
  track_commit_timestamp: 'on',
} as const;

export async function startServers(): Promise<Servers> {
  const stack = await startStack({
    kafka: { heapMegabytes: 1024 },
    postgres: { source: { version: 18, settings }, target: { version: 18, settings } },
  });
  const database = async (name: 'source' | 'target'): Promise<Database> => {
    const url = await stack.postgres[name].createDatabase(name);
    const pool = new pg.Pool({ connectionString: url, max: 2 });
    pool.on('error', () => undefined);
    return { url, server: stack.postgres[name], pool };
  };
  try {
    const [source, target] = [await database('source'), await database('target')];
    const micros = (pid: number | undefined) => (pid === undefined ? 0 : treeCpuMicros(pid));
    return {
      kafka: stack.kafka,
      registry: stack.registry,
      source,
      target,
      cpuMicros: () => ({
        kafka: micros(stack.kafka.pid),
        source: micros(source.server.pid),
        target: micros(target.server.pid),
      }),
      destroy: async () => {
        await Promise.all([source.pool.end(), target.pool.end()]);
        await stack.destroy();
      },
    };
  } catch (error) {
    await stack.destroy();
    throw error;
  }
}
