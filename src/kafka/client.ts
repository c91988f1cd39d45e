import type { ConnectionOptions } from 'node:tls';
import type { Logger } from 'pino';
import {
  Cluster,
  createPackageLogger,
  defaultSocketFactory,
  Kafka,
  logLevel,
  type Admin,
  type KafkaConfig,
} from './kafkajs.js';
import { READ_COMMITTED, type Cluster as ClusterType } from './kafkajs-types.js';
import type { LogObserver } from './observer.js';

export interface SaslOptions {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
}

export interface KafkaLogOptions {
  /** `host:port` each. */
  readonly brokers: readonly string[];
  /** How this process names itself to the brokers. */
  readonly clientId: string;
  /** True for TLS with the usual authorities; or Node's options, with the PEM texts of `ca`, `cert`, `key`. */
  readonly ssl?: boolean | ConnectionOptions;
  readonly sasl?: SaslOptions;
  readonly logger: Logger;
  readonly observer?: LogObserver;
  /** After this long without a sign of life a member loses its lease. At least the broker's group.min.session.timeout.ms. */
  readonly sessionTimeoutMs?: number;
  /** The coordinator aborts a transaction after this long; one step of a commit is tried for as long. */
  readonly transactionTimeoutMs?: number;
  /** How long one request waits for its answer. */
  readonly requestTimeoutMs?: number;
  /** The topics' max.message.bytes: no record batch is made larger. */
  readonly maxMessageBytes?: number;
  /** Copies of each topic made by `ensureTopics`; never more than there are brokers. */
  readonly replicationFactor?: number;
  /** Copies that must have a record before it counts as written; one less than there are copies is the most. */
  readonly minInsyncReplicas?: number;
  /** Opens connections in another way, through a tunnel say. */
  readonly socketFactory?: NonNullable<KafkaConfig['socketFactory']>;
}

export type Settings = Omit<
  Required<KafkaLogOptions>,
  'ssl' | 'sasl' | 'observer' | 'socketFactory' | 'replicationFactor' | 'minInsyncReplicas'
> &
  Pick<KafkaLogOptions, 'replicationFactor' | 'minInsyncReplicas'> & { readonly observer: LogObserver };

const METADATA_MAX_AGE_MS = 300_000;
/** A socket that does not open is tried again soon enough; brokers in another place may need more than the default second. */
const CONNECTION_TIMEOUT_MS = 5_000;

/** Makes kafkajs's objects, all with the same connection settings. */
export class Client {
  readonly settings: Settings;
  readonly #config: KafkaConfig;

  constructor(options: KafkaLogOptions) {
    this.settings = {
      brokers: options.brokers,
      clientId: options.clientId,
      logger: options.logger,
      observer: options.observer ?? {},
      sessionTimeoutMs: options.sessionTimeoutMs ?? 6_000,
      transactionTimeoutMs: options.transactionTimeoutMs ?? 30_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
      maxMessageBytes: options.maxMessageBytes ?? 1_048_588,
      ...(options.replicationFactor === undefined ? {} : { replicationFactor: options.replicationFactor }),
      ...(options.minInsyncReplicas === undefined ? {} : { minInsyncReplicas: options.minInsyncReplicas }),
    };
    this.#config = {
      brokers: [...options.brokers],
      clientId: options.clientId,
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: this.settings.requestTimeoutMs,
      // The package pauses so long before it tries anything again; who calls it decides how often.
      retry: { initialRetryTime: 10, maxRetryTime: 1_000, retries: 4 },
      logLevel: options.logger.isLevelEnabled('debug') ? logLevel.DEBUG : logLevel.WARN,
      logCreator: () => forwardTo(options.logger),
      ...(options.ssl === undefined ? {} : { ssl: options.ssl }),
      ...(options.sasl === undefined ? {} : { sasl: saslOf(options.sasl) }),
      socketFactory: options.socketFactory ?? openSocket,
    };
  }

  /** Connections of its own: requests on one connection are answered one after the other, a long poll holds them up. */
  async cluster(): Promise<ClusterType> {
    const cluster = new Cluster({
      enforceRequestTimeout: true,
      ...this.#config,
      socketFactory: this.#config.socketFactory ?? openSocket,
      logger: createPackageLogger({
        level: this.#config.logLevel ?? logLevel.WARN,
        logCreator: this.#config.logCreator,
      }),
      metadataMaxAge: METADATA_MAX_AGE_MS,
      allowAutoTopicCreation: false,
      isolationLevel: READ_COMMITTED,
    });
    await cluster.connect();
    return cluster;
  }

  admin(): Admin {
    return new Kafka(this.#config).admin();
  }

  producer(transactionalId: string) {
    return new Kafka(this.#config).producer({
      transactionalId,
      transactionTimeout: this.settings.transactionTimeoutMs,
      allowAutoTopicCreation: false,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      // Every topic of Duolog has one partition.
      createPartitioner: () => () => 0,
    });
  }
}

/**
 * While a broker is away kafkajs closes a socket that never opened again and again, and listens to it each time:
 * that is no leak, for the next socket takes its place.
 */
const openSocket: NonNullable<KafkaConfig['socketFactory']> = (target) =>
  defaultSocketFactory(target).setMaxListeners(0);

function saslOf({ mechanism, username, password }: SaslOptions): NonNullable<KafkaConfig['sasl']> {
  switch (mechanism) {
    case 'plain':
      return { mechanism, username, password };
    case 'scram-sha-256':
      return { mechanism, username, password };
    case 'scram-sha-512':
      return { mechanism, username, password };
  }
}

/**
 * kafkajs logs as an error what it or we then try again: each transaction that follows another at once, each broker
 * that restarts. What is not mended comes back as an error and is logged by whoever gets it; here it is all debug.
 */
function forwardTo(
  logger: Logger,
): (entry: { readonly namespace: string; readonly log: { readonly message: string } }) => void {
  return ({ namespace, log }) => {
    const { message, ...details } = log;
    const {
      timestamp: _timestamp,
      logger: _logger,
      stack: _stack,
      data: _data,
      ...kept
    } = details as Record<string, unknown>;
    logger.debug({ ...kept, kafkajs: namespace }, message);
  };
}
