import { createRequire } from 'node:module';
import type { Admin, Kafka as KafkaClass, KafkaConfig } from 'kafkajs';
import { correctKafkajs } from './corrections.js';
import { replaceHotPaths } from './fast-path.js';
import { requireKafkajsVersion } from './module-cache.js';
import type {
  Batch as BatchType,
  Cluster as ClusterType,
  ClusterOptions,
  Codec,
  FetchedPartition,
  PackageLogger,
} from './kafkajs-types.js';

/**
 * kafkajs, corrected. Nobody else imports the package: the corrections replace some of its modules and must be in
 * place before any other of its modules is loaded.
 *
 * Besides its public classes we use its cluster, brokers and batches directly: a reader that starts at explicit offsets
 * and a lease that is nothing but a membership have no public form there.
 */
const require = createRequire(import.meta.url);
requireKafkajsVersion(require, '2.2.4');
replaceHotPaths(require);
correctKafkajs(require);

const kafkajs = require('kafkajs') as typeof import('kafkajs');

export const Kafka: typeof KafkaClass = kafkajs.Kafka;
export const { logLevel, ConfigResourceTypes } = kafkajs;
export type { Admin, KafkaConfig };

export const Cluster = require('kafkajs/src/cluster') as new (options: ClusterOptions) => ClusterType;
export const Batch = require('kafkajs/src/consumer/batch') as new (
  topic: string,
  fetchedOffset: string,
  partition: FetchedPartition,
) => BatchType;
export const { createLogger: createPackageLogger } = require('kafkajs/src/loggers') as {
  createLogger(
    this: void,
    options: { readonly level: number; readonly logCreator: KafkaConfig['logCreator'] },
  ): PackageLogger;
};
export const { MemberMetadata, MemberAssignment } = require('kafkajs/src/consumer/assignerProtocol') as {
  MemberMetadata: Codec<{ version: number; topics: string[]; userData: Buffer }>;
  MemberAssignment: Codec<{ version: number; assignment: Record<string, number[]>; userData: Buffer }>;
};
export const defaultSocketFactory = (
  require('kafkajs/src/network/socketFactory') as () => NonNullable<KafkaConfig['socketFactory']>
)();
