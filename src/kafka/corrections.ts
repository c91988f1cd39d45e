import { patchModule, replaceModule, type Untyped } from './module-cache.js';
import { CorrectedBatch, type DecodedRecordBatch, filterAbortedMessages, recordSet } from './record-batches.js';
import { type GroupMessages, type SendOptions, sendNumberedMessages } from './send-messages.js';
import { type ProtocolOptions, TransactionProtocol } from './transaction-protocol.js';

/**
 * kafkajs 2.2.4 has defects that break exactly-once. This file puts corrected modules into Node's module cache before
 * anything else loads the package; each correction says what was wrong. They are made for this one version and refuse
 * any other. test/conformance/kafka-uncorrected.test.ts shows on a real broker that they are needed: their tests
 * fail on the package as it is.
 *
 * What of the package we do not use is not corrected: its consumer's handling of offsets, compression other than gzip,
 * static membership.
 */

interface Replacement {
  readonly module: string;
  readonly reason: string;
  readonly make: (original: Untyped, require: NodeJS.Require) => unknown;
}

const REPLACEMENTS: readonly Replacement[] = [
  {
    module: 'consumer/filterAbortedMessages',
    reason:
      'Aborted records reach read-committed readers: the list of aborted transactions is taken to be sorted by first ' +
      'offset, but brokers return it in the order of the aborts; of two transactions opened before the first record ' +
      'only one is seen; a record whose key is four zero bytes is taken for an abort marker.',
    make: () => filterAbortedMessages,
  },
  {
    module: 'protocol/requests/fetch/v4/decodeMessages',
    reason:
      'The header of a record batch says up to which offset it reaches (lastOffsetDelta), also where compaction has ' +
      'taken its last records or all of them. The package forgets it and then cannot get past such batches.',
    make: (original: Untyped, require) => {
      const Decoder = require('kafkajs/src/protocol/decoder');
      const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder') as (
        decoder: unknown,
      ) => Promise<DecodedRecordBatch>;
      return (decoder: Untyped) => recordSet(decoder, { Decoder, decodeBatch, decodeMessageSet: original });
    },
  },
  {
    module: 'consumer/batch',
    reason:
      'Takes the last offset of a fetch from its records (see decodeMessages): a batch without any is for ever next.',
    make: () => CorrectedBatch,
  },
  {
    module: 'protocol/requests/addPartitionsToTxn/v0/response',
    reason:
      'One topic that is missing or forbidden makes the broker refuse all: the others with OPERATION_NOT_ATTEMPTED, ' +
      'and the package throws whichever comes first.',
    make: (original: Untyped) => ({
      ...original,
      parse: (answer: AddPartitionsAnswer) => original.parse({ ...answer, errors: tellingErrors(answer.errors) }),
    }),
  },
  {
    module: 'producer/eosManager/index',
    reason:
      'AddPartitionsToTxn, AddOffsetsToTxn and EndTxn are sent once, and a failed EndTxn leaves the producer stuck. ' +
      'The errors of a coordinator that moves are looked up by names that the package does not use ' +
      '(NOT_COORDINATOR for NOT_COORDINATOR_FOR_GROUP), so that they are never retried.',
    make: (original: Untyped) => (options: ProtocolOptions) =>
      options.transactional ? new TransactionProtocol(options) : original(options),
  },
  {
    module: 'producer/sendMessages',
    reason: 'Sequence numbers are taken anew for a second try, so that a leader that moves can get messages twice.',
    make: (original: Untyped, require) => {
      const groupMessages = require('kafkajs/src/producer/groupMessagesPerPartition') as GroupMessages;
      return (options: SendOptions & { readonly eosManager: TransactionProtocol }) =>
        options.eosManager.isTransactional() ? sendNumberedMessages(options, groupMessages) : original(options);
    },
  },
];

interface Patch {
  readonly module: string;
  readonly reason: string;
  readonly apply: (exports: Untyped, module: NodeJS.Module, require: NodeJS.Require) => void;
}

const PATCHES: readonly Patch[] = [
  {
    module: 'network/requestQueue/index',
    reason:
      'Arms a timer after every answer although nothing waits, with a negative delay: a core spins, and newer Nodes warn.',
    apply: (exports) => {
      exports.prototype.scheduleCheckPendingRequests = scheduleCheckPendingRequests;
    },
  },
  {
    module: 'network/connectionPool',
    reason:
      'Two requests that find a connection closed open it twice: one socket is used before it is connected, the other ' +
      'is forgotten and keeps the process alive.',
    apply: (exports) => {
      exports.prototype.getConnection = getConnection;
    },
  },
  {
    module: 'consumer/consumerGroup',
    reason:
      'An offset out of range is answered by committing the default offset and reading on from there: records are ' +
      'skipped or read again without a word. It has to end the consumer.',
    apply: (exports, _module, require) => {
      const { KafkaJSNonRetriableError } = require('kafkajs/src/errors');
      exports.prototype.recoverFromOffsetOutOfRange = async (error: Error) => {
        throw new KafkaJSNonRetriableError(error, { cause: error });
      };
    },
  },
];

/** Puts the corrections in place; the modules that they build on must be there already. */
export function correctKafkajs(require: NodeJS.Require): void {
  for (const { module, make } of REPLACEMENTS) replaceModule(require, module, make);
  for (const { module, apply } of PATCHES) patchModule(require, module, apply);
}

interface AddPartitionsAnswer {
  readonly errors: readonly { readonly partitionErrors: readonly { readonly errorCode: number }[] }[];
}

const OPERATION_NOT_ATTEMPTED = 55;

/** The errors that say why; the rest of them only where they stand alone. */
function tellingErrors(errors: AddPartitionsAnswer['errors']): AddPartitionsAnswer['errors'] {
  const telling = errors.map((topic) => ({
    ...topic,
    partitionErrors: topic.partitionErrors.filter(({ errorCode }) => errorCode !== OPERATION_NOT_ATTEMPTED),
  }));
  return telling.some(({ partitionErrors }) => partitionErrors.some(({ errorCode }) => errorCode !== 0))
    ? telling
    : errors;
}

const connecting = new WeakMap<object, Promise<unknown>>();

/** One connect at a time for each connection. */
async function getConnection(this: Untyped, index = 0): Promise<unknown> {
  const connection = this.pool[index];
  if (connection.isConnected()) return connection;
  let attempt = connecting.get(connection);
  if (attempt === undefined) {
    attempt = (connection.connect() as Promise<unknown>).finally(() => connecting.delete(connection));
    connecting.set(connection, attempt);
  }
  await attempt;
  return connection;
}

/** Checks again when the broker's throttling ends; what waits for a free place is sent when an answer comes in. */
function scheduleCheckPendingRequests(this: Untyped): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const throttledForMs = this.throttledUntil - Date.now();
  if (throttledForMs <= 0 && !this.canSendSocketRequestImmediately()) return;
  this.throttleCheckTimeoutId = setTimeout(
    () => {
      this.throttleCheckTimeoutId = null;
      this.checkPendingRequests();
    },
    Math.max(throttledForMs, 1),
  );
}
