import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { DuologError } from '../errors/duolog-error.js';
import type { KafkaLogOptions } from '../kafka/client.js';
import type { KafkaConfiguration, TlsConfiguration } from './schema.js';

/** The configuration's `kafka` part as the Kafka client takes it. @throws DuologError CONFIG_INVALID for a file that cannot be read. */
export function kafkaLogOptions(kafka: KafkaConfiguration, logger: Logger): KafkaLogOptions {
  const { brokers, clientId, replicationFactor, minInsyncReplicas, sasl } = kafka;
  const { sessionTimeoutMs, transactionTimeoutMs, requestTimeoutMs, maxMessageBytes } = kafka;
  return {
    brokers,
    clientId,
    logger,
    replicationFactor,
    minInsyncReplicas,
    sessionTimeoutMs,
    transactionTimeoutMs,
    requestTimeoutMs,
    maxMessageBytes,
    ...(kafka.tls === null ? {} : { ssl: readTls(kafka.tls) }),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

function readTls(tls: NonNullable<TlsConfiguration>): NonNullable<KafkaLogOptions['ssl']> {
  return {
    ...(tls.ca === undefined ? {} : { ca: readPem(tls.ca) }),
    ...(tls.certificate === undefined ? {} : { cert: readPem(tls.certificate) }),
    ...(tls.key === undefined ? {} : { key: readPem(tls.key) }),
  };
}

function readPem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new DuologError('CONFIG_INVALID', `The file ${file} named under kafka.tls cannot be read.`, { cause });
  }
}
