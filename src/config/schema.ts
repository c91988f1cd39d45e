import { z } from 'zod';
import { durationMs, name, nonEmpty, sizeBytes } from './scalars.js';
import { syncSchema } from './sync-schema.js';

/** The whole configuration file. Descriptions here are the documentation: docs/configuration.md is made of them. */

const brokers = z
  .union([nonEmpty, z.array(nonEmpty).min(1)])
  .transform((value) =>
    (typeof value === 'string' ? value.split(',') : value)
      .map((broker) => broker.trim())
      .filter((broker) => broker !== ''),
  );

const tlsFiles = z.strictObject({
  ca: nonEmpty.optional().meta({ description: 'File with the certificates of the authorities to trust (PEM).' }),
  certificate: nonEmpty.optional().meta({ description: 'File with our own certificate (PEM).' }),
  key: nonEmpty.optional().meta({ description: 'File with the key of our own certificate (PEM).' }),
});

const tlsSchema = z
  .union([z.boolean().transform((on): z.output<typeof tlsFiles> | null => (on ? {} : null)), tlsFiles])
  .default(null);

/** File names are made absolute by `loadConfiguration`; `readTls` reads them. */
export type TlsConfiguration = z.output<typeof tlsSchema>;

const saslSchema = z.strictObject({
  mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).meta({ description: 'SASL mechanism.' }),
  username: nonEmpty.meta({ description: 'User name.' }),
  password: nonEmpty.meta({ description: 'Password; write `${KAFKA_PASSWORD}` and keep it in the environment.' }),
});

const httpUrls = nonEmpty.refine(
  (text) => text.split(',').every((part) => /^https?:\/\//.test(part.trim()) && URL.canParse(part.trim())),
  'must be a url such as http://registry:8081, or several with commas',
);

const registryObject = z.strictObject({
  url: httpUrls.meta({ description: 'Address of the Confluent-compatible API, or several with commas.' }),
  username: nonEmpty.optional().meta({ description: 'User name for basic authentication.' }),
  password: nonEmpty.optional().meta({ description: 'Password for basic authentication.' }),
});

const registrySchema = z.union([
  httpUrls.transform((url): z.output<typeof registryObject> => ({ url })),
  registryObject,
]);

const kafkaSchema = z
  .strictObject({
    brokers: brokers.meta({ description: 'Brokers as `host:port`, a list or a text with commas.' }),
    schemaRegistry: registrySchema.meta({ description: 'The schema registry: its url, or an object with its login.' }),
    clientId: nonEmpty.default('duolog').meta({ description: 'How this process names itself to the brokers.' }),
    tls: tlsSchema.meta({ description: '`true` for TLS with the usual authorities, or an object with files.' }),
    sasl: saslSchema.optional().meta({ description: 'Login at the brokers.' }),
    replicationFactor: z.int().min(1).max(9).default(3).meta({
      description: 'Copies of each topic that Duolog creates; never more than there are brokers.',
    }),
    minInsyncReplicas: z.int().min(1).max(9).default(2).meta({
      description: 'Copies that must have a record before it counts as written; where there are fewer brokers, fewer.',
    }),
    sessionTimeout: durationMs.prefault('6s').meta({
      description:
        'After this long without a sign of life a process loses its tasks to a standby; at least what the brokers allow (`group.min.session.timeout.ms`).',
    }),
    transactionTimeout: durationMs.prefault('30s').meta({
      description: 'The brokers abort a transaction that is open for this long.',
    }),
    requestTimeout: durationMs.prefault('10s').meta({ description: 'How long one request waits for its answer.' }),
    maxMessage: sizeBytes.prefault('1MB').meta({
      description:
        'No batch of records is made larger. At most the brokers’ `message.max.bytes`; a row that does not fit is published as oversize and held.',
    }),
  })
  .transform(({ sessionTimeout, transactionTimeout, requestTimeout, maxMessage, ...kafka }) => ({
    ...kafka,
    sessionTimeoutMs: sessionTimeout,
    transactionTimeoutMs: transactionTimeout,
    requestTimeoutMs: requestTimeout,
    maxMessageBytes: maxMessage,
  }));

const systemSchema = z.discriminatedUnion('connector', [
  z.strictObject({
    connector: z.literal('postgres').meta({ description: 'The kind of system. Now: `postgres`.' }),
    url: nonEmpty.meta({ description: 'Connection url: `postgres://user:password@host:5432/database`.' }),
  }),
]);

const limitsSchema = z
  .strictObject({
    batchRecords: z.int().min(1).max(10_000).default(3000).meta({
      description: 'Events or commands that a task takes for one transaction, at most.',
    }),
    batchBytes: sizeBytes
      .prefault('4MB')
      .meta({ description: 'Bytes that a source takes for one transaction, about.' }),
    batchOutputs: z.int().min(1).max(100_000).default(8000).meta({
      description: 'Commands, records, decisions and holds that a stream task gathers before it commits, about.',
    }),
    pendingCommands: z.int().min(1).max(100_000).default(9000).meta({
      description: 'Commands that a sink has read and not yet answered, at most.',
    }),
    answeredAhead: z.int().min(1).max(100_000).default(10_000).meta({
      description:
        'Answers that a sink may be ahead of the oldest command without one (whose row somebody has locked); at the bound it waits.',
    }),
    idleWait: durationMs
      .prefault('50ms')
      .meta({ description: 'Longest wait for something to do before a task looks around.' }),
    trimEvery: durationMs
      .prefault('30s')
      .meta({ description: 'Time between two trimmings of a topic behind its readers.' }),
  })
  .transform(({ idleWait, trimEvery, ...limits }) => ({ ...limits, idleWaitMs: idleWait, trimEveryMs: trimEvery }));

const retentionSchema = z
  .strictObject({
    changes: durationMs.prefault('7d').meta({
      description: 'How long change topics keep, for subscribers, what Duolog itself has read.',
    }),
    decisions: durationMs.prefault('30d').meta({ description: 'How long decision topics keep their records.' }),
  })
  .transform(({ changes, decisions }) => ({ changesMs: changes, decisionsMs: decisions }));

const httpSchema = z.strictObject({
  host: nonEmpty.default('127.0.0.1').meta({ description: 'Address to listen on; `0.0.0.0` for every one.' }),
  port: z.int().min(0).max(65_535).default(8080).meta({ description: 'Port to listen on; 0 takes a free one.' }),
});

const logSchema = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
    .meta({ description: 'The least severe level that is written.' }),
  format: z.enum(['auto', 'json', 'pretty']).default('auto').meta({
    description: '`json` lines, `pretty` for people, or `auto`: pretty on a terminal, else json.',
  }),
});

const stateSchema = z.strictObject({
  folder: nonEmpty.default('./.duolog').meta({
    description:
      'Folder of the local state stores. They are caches of the changelog topics and may be deleted while nothing runs.',
  }),
});

export const configurationSchema = z.strictObject({
  prefix: name.default('duolog').meta({
    description:
      'Begins the name of every topic and group of Duolog, and is in that of every slot and publication. Two deployments never share one.',
  }),
  kafka: kafkaSchema.meta({ description: 'Kafka and the schema registry.' }),
  systems: z.record(name, systemSchema).meta({ description: 'The systems by name.' }),
  syncs: z.record(name, syncSchema).meta({ description: 'Sets of entities that are decided together, by name.' }),
  state: stateSchema.prefault({}).meta({ description: 'The local state.' }),
  limits: limitsSchema.prefault({}).meta({ description: 'Bounds of what a task takes at once.' }),
  retention: retentionSchema.prefault({}).meta({ description: 'How long topics for subscribers keep their records.' }),
  http: httpSchema.prefault({}).meta({ description: 'Metrics and health checks.' }),
  log: logSchema.prefault({}).meta({ description: 'The log.' }),
});

/** The configuration as the rest of the program sees it: durations in milliseconds, sizes in bytes. */
export type Configuration = z.output<typeof configurationSchema>;
export type KafkaConfiguration = Configuration['kafka'];
