import { type KafkaOptions, type LocalKafka, startKafka } from './kafka.js';
import { type LocalPostgres, type PostgresOptions, startPostgres } from './postgres.js';
import { type LocalRegistry, startRegistry } from './registry.js';

export { type KafkaOptions, type LocalKafka, startKafka } from './kafka.js';
export {
  type LocalPostgres,
  type PostgresOptions,
  type PostgresVersion,
  type StopMode,
  startPostgres,
} from './postgres.js';
export { type LocalRegistry, startRegistry } from './registry.js';

export interface LocalStack<Names extends string> {
  readonly kafka: LocalKafka;
  readonly registry: LocalRegistry;
  readonly postgres: Readonly<Record<Names, LocalPostgres>>;
  /** Ends everything at once and removes the data. */
  destroy(): Promise<void>;
}

/** Starts a broker, a registry and the named Postgres servers side by side; if one fails, none stays. */
export async function startStack<Names extends string>(options: {
  readonly kafka?: KafkaOptions;
  readonly postgres: Readonly<Record<Names, PostgresOptions>>;
}): Promise<LocalStack<Names>> {
  const names = Object.keys(options.postgres) as Names[];
  const started: { destroy(): Promise<void> }[] = [];
  const keep = async <T extends { destroy(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const server = await starting;
    started.push(server);
    return server;
  };
  const destroy = async () => {
    await Promise.all(started.map((server) => server.destroy()));
  };
  const results = await Promise.allSettled([
    keep(startKafka(options.kafka)),
    keep(startRegistry()),
    Promise.all(names.map(async (name) => [name, await keep(startPostgres(options.postgres[name]))] as const)),
  ] as const);
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) {
    await destroy();
    throw failure.reason;
  }
  const [kafka, registry, servers] = results.map((result) => (result.status === 'fulfilled' ? result.value : null)) as [
    LocalKafka,
    LocalRegistry,
    (readonly [Names, LocalPostgres])[],
  ];
  return { kafka, registry, postgres: Object.fromEntries(servers) as Record<Names, LocalPostgres>, destroy };
}
