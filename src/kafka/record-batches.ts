import type { Untyped } from './module-cache.js';

/** A record as kafkajs's decoder gives it. */
export interface DecodedMessage {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly isControlRecord: boolean;
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
}

export interface DecodedRecordBatch {
  readonly firstOffset: string;
  readonly lastOffsetDelta: number;
  readonly records: readonly DecodedMessage[];
}

interface AbortedTransaction {
  readonly firstOffset: string;
  readonly producerId: string;
}

/** The records of a fetch, with the offset that follows all of its batches; null where the old format has no batches. */
export type RecordSet = DecodedMessage[] & { readonly nextOffset?: number | null };

interface PackageDecoder {
  readonly buffer: Buffer;
  readInt32(): number;
  readBytes(length: number): Buffer;
  canReadBytes(length: number): boolean;
}

const MAGIC_AT = 16;
const RECORD_BATCH_MAGIC = 2;
const RECORD_BATCH_OVERHEAD = 49;
/** A control record's key: version, then its type. */
const CONTROL_TYPE_AT = 2;
const ABORT = 0;

/** Reads all record batches of one partition's answer; the last one may be cut off by the fetch's limit. */
export async function recordSet(
  decoder: PackageDecoder,
  original: {
    readonly Decoder: new (buffer: Buffer) => PackageDecoder;
    readonly decodeBatch: (decoder: PackageDecoder) => Promise<DecodedRecordBatch>;
    readonly decodeMessageSet: (decoder: Untyped) => Promise<DecodedMessage[]>;
  },
): Promise<RecordSet> {
  const size = peekInt32(decoder);
  if (size <= 0 || !decoder.canReadBytes(4 + size)) {
    decoder.readInt32();
    return [];
  }
  if (magicOf(decoder) !== RECORD_BATCH_MAGIC) return original.decodeMessageSet(decoder);
  decoder.readInt32();
  const batches = new original.Decoder(decoder.readBytes(size));
  const records: DecodedMessage[] = [];
  let nextOffset: number | null = null;
  while (batches.canReadBytes(RECORD_BATCH_OVERHEAD)) {
    try {
      const batch = await original.decodeBatch(batches);
      for (const record of batch.records) records.push(record);
      nextOffset = Number(batch.firstOffset) + batch.lastOffsetDelta + 1;
    } catch (error) {
      if ((error as Error).name === 'KafkaJSPartialMessageError') break;
      throw error;
    }
  }
  return Object.assign(records, { nextOffset });
}

function peekInt32(decoder: PackageDecoder & { readonly offset?: number }): number {
  return decoder.buffer.readInt32BE(decoder.offset ?? 0);
}

function magicOf(decoder: PackageDecoder & { readonly offset?: number }): number {
  return decoder.buffer.readInt8((decoder.offset ?? 0) + 4 + MAGIC_AT);
}

/** Takes out the records of aborted transactions; control records stay in. */
export function filterAbortedMessages<M extends DecodedMessage>(fetched: {
  readonly messages: M[];
  readonly abortedTransactions?: readonly AbortedTransaction[] | null;
}): M[] {
  const { messages, abortedTransactions } = fetched;
  if (abortedTransactions === undefined || abortedTransactions === null || abortedTransactions.length === 0) {
    return messages;
  }
  const toCome = abortedTransactions
    .map(({ firstOffset, producerId }) => ({ firstOffset: Number(firstOffset), producerId }))
    .sort((one, other) => one.firstOffset - other.firstOffset);
  const aborting = new Set<string>();
  let at = 0;
  return messages.filter((message) => {
    const offset = Number(message.offset);
    for (let next = toCome[at]; next !== undefined && next.firstOffset <= offset; next = toCome[++at]) {
      aborting.add(next.producerId);
    }
    if (aborting.size === 0) return true;
    const { producerId, inTransaction } = message.batchContext;
    if (message.isControlRecord) {
      if (message.key?.readInt16BE(CONTROL_TYPE_AT) === ABORT) aborting.delete(producerId);
      return true;
    }
    return !(inTransaction && aborting.has(producerId));
  });
}

/** What one fetch brought for one partition; the methods are those that the package's consumer calls. */
export class CorrectedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly fetchedOffset: string;
  readonly highWatermark: string;
  readonly rawMessages: readonly DecodedMessage[];
  readonly messagesWithinOffset: readonly DecodedMessage[];
  readonly messages: readonly DecodedMessage[];
  readonly #nextOffset: number;

  constructor(
    topic: string,
    fetchedOffset: string,
    partition: {
      readonly partition: number;
      readonly highWatermark: string;
      readonly abortedTransactions?: readonly AbortedTransaction[] | null;
      readonly messages: RecordSet;
    },
  ) {
    const from = Number(fetchedOffset);
    const { messages } = partition;
    this.topic = topic;
    this.partition = partition.partition;
    this.fetchedOffset = fetchedOffset;
    this.highWatermark = partition.highWatermark;
    this.rawMessages = messages;
    // A batch is returned whole although the fetch began in its middle.
    const firstWithin = messages.findIndex((message) => Number(message.offset) >= from);
    const within = firstWithin === 0 ? messages : firstWithin < 0 ? [] : messages.slice(firstWithin);
    this.messagesWithinOffset = within;
    const { abortedTransactions = null } = partition;
    this.messages = filterAbortedMessages({ messages: within, abortedTransactions }).filter(
      (message) => !message.isControlRecord,
    );
    const last = messages.at(-1);
    this.#nextOffset = Math.max(from, messages.nextOffset ?? (last === undefined ? from : Number(last.offset) + 1));
  }

  isEmpty(): boolean {
    return this.messages.length === 0;
  }

  isEmptyIncludingFiltered(): boolean {
    return this.messagesWithinOffset.length === 0;
  }

  isEmptyDueToFiltering(): boolean {
    return this.isEmpty() && this.#nextOffset > Number(this.fetchedOffset);
  }

  isEmptyControlRecord(): boolean {
    return this.isEmpty() && this.messagesWithinOffset.some(({ isControlRecord }) => isControlRecord);
  }

  isEmptyDueToLogCompactedMessages(): boolean {
    return this.isEmptyIncludingFiltered() && this.#nextOffset > Number(this.fetchedOffset);
  }

  firstOffset(): string | null {
    return this.messagesWithinOffset[0]?.offset ?? null;
  }

  lastOffset(): string {
    const nothingFetched = this.#nextOffset === Number(this.fetchedOffset);
    return String((nothingFetched ? Number(this.highWatermark) : this.#nextOffset) - 1);
  }

  offsetLag(): string {
    return String(Number(this.highWatermark) - 1 - Number(this.lastOffset()));
  }

  offsetLagLow(): string {
    const first = this.firstOffset();
    return first === null ? '0' : String(Number(this.highWatermark) - 1 - Number(first));
  }
}
