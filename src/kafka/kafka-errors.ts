import { DuologError } from '../errors/duolog-error.js';

/**
 * What may be done after an answer of Kafka:
 * `busy` – the same again at once, a step of the broker is still under way;
 * `coordinator` – find the coordinator anew, then the same again;
 * `metadata` – find the leaders anew, then the same again; nothing was done;
 * `again` – the same again after a pause; nothing was done;
 * `connection` – the same again, but whether the request took effect is unknown;
 * `fenced` – another producer has taken the transactional id;
 * `fatal` – trying again does not help.
 */
export type Remedy = 'busy' | 'coordinator' | 'metadata' | 'again' | 'connection' | 'fenced' | 'fatal';

const BY_TYPE: Readonly<Record<string, Remedy>> = {
  CONCURRENT_TRANSACTIONS: 'busy',
  NOT_COORDINATOR_FOR_GROUP: 'coordinator',
  GROUP_COORDINATOR_NOT_AVAILABLE: 'coordinator',
  GROUP_LOAD_IN_PROGRESS: 'coordinator',
  UNKNOWN_TOPIC_OR_PARTITION: 'metadata',
  LEADER_NOT_AVAILABLE: 'metadata',
  NOT_LEADER_FOR_PARTITION: 'metadata',
  FENCED_LEADER_EPOCH: 'metadata',
  UNKNOWN_LEADER_EPOCH: 'metadata',
  REPLICA_NOT_AVAILABLE: 'metadata',
  OFFSET_NOT_AVAILABLE: 'metadata',
  KAFKA_STORAGE_ERROR: 'metadata',
  NOT_CONTROLLER: 'metadata',
  // A broker of 4.x that could not yet verify the transaction answers with the first of these.
  NOT_ENOUGH_REPLICAS: 'again',
  CORRUPT_MESSAGE: 'again',
  THROTTLING_QUOTA_EXCEEDED: 'again',
  // The leader has appended it: only a producer with sequences may send it again.
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 'connection',
  REQUEST_TIMED_OUT: 'connection',
  NETWORK_EXCEPTION: 'connection',
  INVALID_PRODUCER_EPOCH: 'fenced',
  INVALID_PRODUCER_ID_MAPPING: 'fenced',
};

const BY_NAME: Readonly<Record<string, Remedy>> = {
  KafkaJSConnectionError: 'connection',
  KafkaJSConnectionClosedError: 'connection',
  KafkaJSRequestTimeoutError: 'connection',
  KafkaJSBrokerNotFound: 'metadata',
  KafkaJSMetadataNotLoaded: 'metadata',
  KafkaJSTopicMetadataNotLoaded: 'metadata',
  KafkaJSNoBrokerAvailableError: 'metadata',
  KafkaJSLockTimeout: 'metadata',
  KafkaJSGroupCoordinatorNotFound: 'coordinator',
};

const LACKING_RIGHT = /AUTHORIZATION_FAILED$|^SASL_AUTHENTICATION_FAILED$|^SECURITY_DISABLED$/;

interface PackageError extends Error {
  readonly type?: string;
}

export function remedy(error: unknown): Remedy {
  const cause = innermost(error);
  return BY_TYPE[cause.type ?? ''] ?? BY_NAME[cause.name] ?? 'fatal';
}

/** The protocol's name of the error (`OFFSET_OUT_OF_RANGE`), or null for one that is not an answer of a broker. */
export function protocolType(error: unknown): string | null {
  return innermost(error).type ?? null;
}

/** The topic is missing; or it is new, or the broker has just started, and it will be known in a moment. */
export function isMissingTopic(error: unknown): boolean {
  return protocolType(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
}

/** The error for whoever runs Duolog. `doing` completes "Kafka refused …": it names topics and groups, never a value. */
export function asDuologError(error: unknown, doing: string): DuologError {
  if (error instanceof DuologError) return error;
  const cause = innermost(error);
  const why = `${doing}: ${cause.type ?? cause.message}`;
  if (LACKING_RIGHT.test(cause.type ?? '') || cause.name === 'KafkaJSSASLAuthenticationError') {
    return new DuologError('KAFKA_NOT_ALLOWED', `Kafka does not allow ${why}`, { cause: error });
  }
  if (cause.type === 'MESSAGE_TOO_LARGE' || cause.type === 'RECORD_LIST_TOO_LARGE') {
    return new DuologError('KAFKA_MESSAGE_TOO_LARGE', `A message is larger than its topic allows, ${why}`, {
      cause: error,
    });
  }
  if (isMissingTopic(error)) {
    return new DuologError('KAFKA_TOPIC_MISSING', `Kafka knows no such topic, ${doing}`, { cause: error });
  }
  switch (remedy(error)) {
    case 'fenced':
      return new DuologError('KAFKA_FENCED', `Another process has taken over, ${why}`, { cause: error });
    case 'fatal':
      return new DuologError('KAFKA_UNREACHABLE', `Kafka refused ${why}`, { cause: error });
    case 'busy':
    case 'coordinator':
    case 'metadata':
    case 'again':
    case 'connection':
      return new DuologError('KAFKA_UNREACHABLE', `Kafka did not answer in time, ${why}`, { cause: error });
  }
}

/** kafkajs wraps errors when it gives up retrying; what happened is inside. */
function innermost(error: unknown): PackageError {
  let current: PackageError = error instanceof Error ? error : new Error(String(error));
  while (BY_TYPE[current.type ?? ''] === undefined && BY_NAME[current.name] === undefined) {
    const { cause } = current;
    if (!(cause instanceof Error)) break;
    current = cause;
  }
  return current;
}
