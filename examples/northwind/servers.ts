import { startKafka, startPostgres, startRegistry } from '../../deploy/dev/stack.js';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import { isLoaded, loadCrm, loadErp } from './load.js';

/** Where the demo's parts are: started here, or named by the environment. */
export interface Servers {
  readonly brokers: readonly string[];
  readonly registry: string;
  readonly erp: string;
  readonly crm: string;
  /** The databases are somebody's own: what we leave in them is to be named. */
  readonly ownDatabases: boolean;
}

export interface ServerStarters {
  kafka(): Promise<readonly string[]>;
  registry(): Promise<string>;
  database(name: 'erp' | 'crm'): Promise<string>;
  /** Ends what was started here. */
  destroy(): Promise<void>;
}

/** Each part is started unless its variable is set: KAFKA_BROKERS, SCHEMA_REGISTRY_URL, ERP_URL, CRM_URL. */
export function serverStarters(env: NodeJS.ProcessEnv): ServerStarters {
  const started: { destroy(): Promise<void> }[] = [];
  const keep = <T extends { destroy(): Promise<void> }>(server: T): T => {
    started.push(server);
    return server;
  };
  return {
    kafka: async () =>
      env.KAFKA_BROKERS ? answeringBrokers(env.KAFKA_BROKERS.split(',')) : keep(await startKafka()).brokers,
    registry: async () =>
      env.SCHEMA_REGISTRY_URL ? answeringRegistry(env.SCHEMA_REGISTRY_URL) : keep(await startRegistry()).url,
    database: async (name) =>
      env[`${name.toUpperCase()}_URL`] ??
      // Two versions, because systems that are to agree seldom are of the same age.
      keep(await startPostgres({ version: name === 'erp' ? 14 : 18 })).createDatabase(name),
    destroy: async () => {
      await Promise.all(started.map((server) => server.destroy()));
    },
  };
}

/** @throws Error when none of them answers. */
async function answeringBrokers(brokers: readonly string[]): Promise<readonly string[]> {
  const retry = { retries: 2 };
  const kafka = new Kafka({ clientId: 'northwind-demo', brokers: [...brokers], logLevel: logLevel.NOTHING, retry });
  const admin = kafka.admin();
  try {
    await admin.connect();
    await admin.describeCluster();
  } catch (cause) {
    throw new Error(`No Kafka answers at ${brokers.join(', ')} (KAFKA_BROKERS).`, { cause });
  } finally {
    await admin.disconnect();
  }
  return brokers;
}

/** @throws Error when it does not answer as a registry does. */
async function answeringRegistry(url: string): Promise<string> {
  try {
    const response = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
  } catch (cause) {
    throw new Error(`No schema registry answers at ${url} (SCHEMA_REGISTRY_URL).`, { cause });
  }
  return url;
}

/** Fills a database with its part of Northwind, unless that was done before. */
export async function loadOnce(name: 'erp' | 'crm', url: string): Promise<void> {
  if (name === 'erp' && !(await isLoaded(url, 'customer'))) await loadErp(url);
  if (name === 'crm' && !(await isLoaded(url, 'company'))) await loadCrm(url);
}
