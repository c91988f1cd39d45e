import type { Change, EndEvent, Outcome, OutcomeEvent } from '../../../src/connector/contract.js';
import { DuologError } from '../../../src/errors/duolog-error.js';
import type { TableShape } from '../../../src/model/table.js';
import { readMark, syncOfMark } from '../marks.js';
import type { SourcePosition } from '../position.js';
import type { BatchQueue } from './batch-queue.js';
import { decodeChanges, eventPosition, ORDINALS_PER_MESSAGE, type TransactionFacts } from './change-decoder.js';
import { HeldTransaction, type ReleasedChange } from './held-transaction.js';
import { type Lsn, readLsn, sortableLsn } from './lsn.js';
import { type Relation, type RelationMessage, readRelation } from './relation.js';

/** What the reader needs to know and tell beside the stream itself. */
export interface StreamSurroundings {
  readonly prefix: string;
  readonly queue: BatchQueue;
  /** Own transactions are held in memory up to this. */
  readonly holdBytes: number;
  /** The shape of an entity as the stream has it now; undefined where it is not captured. */
  shape(entity: string): TableShape | undefined;
  /** At once, or later where the catalogue must be asked: no message is looked at until then. */
  relation(message: RelationMessage): Relation | Promise<Relation>;
  /** A key changed by a transaction, before anything after it. */
  changed(entity: string, key: string, transaction: number): void;
  truncated(entity: string): void;
  watermark(content: string): void;
  /** The stream stands between two transactions. */
  boundary(): void;
  /** Waiting for room or an answer: the socket must not go on. */
  blocked(blocked: boolean): void;
  failed(error: unknown): void;
}

/** Prefix of the messages by which a snapshot finds its chunks' place in the stream. */
export function watermarkPrefix(slot: string): string {
  return `duolog-snapshot:${slot}`;
}

interface OpenTransaction extends TransactionFacts {
  readonly lsn: Lsn;
  readonly id: number;
  /** Sent before the restart: ordinals up to it are passed over; infinite for all of it. */
  readonly sentTo: number;
  /** Ordinal of the message read last. */
  ordinal: number;
  held: HeldTransaction | null;
  /** Shapes of the entities that lost rows, by entity. */
  readonly deleted: Map<string, TableShape>;
  readonly watermarks: string[];
}

/** Size of an event without an image. */
const SMALL_EVENT_BYTES = 200;

/**
 * Follows pgoutput's messages, transaction by transaction, and puts the events they mean into the queue: changes,
 * outcomes of our own transactions (I8), ends. What was sent before a restart is passed over (I2).
 */
export class StreamReader {
  readonly #relations = new Map<number, Relation>();
  readonly #backlog: Buffer[] = [];
  readonly #watermarkPrefix: string;
  readonly #resumeLsn: Lsn;
  readonly #resumeOrdinal: number | null;
  #transaction: OpenTransaction | null = null;
  /** A held transaction on its way out, and what follows it. */
  #releasing: Iterator<ReleasedChange, readonly Outcome[] | void> | null = null;
  #asking = false;
  #stopped = false;
  /** Commit time of the newest transaction seen. */
  newestCommitTimeMicros: number | null = null;

  constructor(
    slot: string,
    resume: SourcePosition,
    private readonly around: StreamSurroundings,
    private readonly hasRoom: () => boolean,
  ) {
    this.#watermarkPrefix = watermarkPrefix(slot);
    this.#resumeLsn = resume.lsn;
    this.#resumeOrdinal = resume.ordinal;
  }

  /** True between two transactions, with nothing waiting to be looked at. */
  get betweenTransactions(): boolean {
    return this.#transaction === null && this.#backlog.length === 0 && !this.#asking;
  }

  /** Takes the next message; copies it if it cannot be looked at yet. */
  receive(message: Buffer): void {
    if (this.#stopped) return;
    if (this.#asking || this.#releasing !== null || this.#backlog.length > 0) this.#backlog.push(Buffer.from(message));
    else this.#process(message);
  }

  /** Goes on with what waits, as far as there is room. */
  pump(): void {
    while (!this.#stopped && !this.#asking && (this.#releasing !== null || this.#backlog.length > 0)) {
      if (this.#releasing !== null) {
        if (!this.hasRoom()) break;
        this.#releaseNext();
      } else this.#process(this.#backlog.shift()!);
    }
    this.around.blocked(this.#asking || this.#releasing !== null || this.#backlog.length > 0);
  }

  /** Looks at nothing any more and removes what is on disk. */
  stop(): void {
    this.#stopped = true;
    this.#backlog.length = 0;
    this.#transaction?.held?.remove();
  }

  #process(message: Buffer): void {
    try {
      this.#dispatch(message);
    } catch (error) {
      this.stop();
      this.around.failed(error);
    }
  }

  #dispatch(message: Buffer): void {
    switch (message[0]) {
      case 0x49: // Insert
      case 0x55: // Update
      case 0x44: // Delete
        return this.#row(message);
      case 0x42: // Begin
        return this.#begin(message);
      case 0x43: // Commit
        return this.#commit();
      case 0x52: // Relation
        return this.#relation(message);
      case 0x4d: // Message
        return this.#message(message);
      case 0x54: // Truncate
        return this.#truncate(message);
      case 0x59: // Type
      case 0x4f: // Origin
        return;
      default:
        throw new DuologError('INTERNAL', `pgoutput sent a message of unknown kind ${message[0]}`);
    }
  }

  #begin(message: Buffer): void {
    const lsn = readLsn(message, 1);
    const commitTimeMicros = message.readInt32BE(9) * 0x1_0000_0000 + message.readUInt32BE(13) + POSTGRES_EPOCH_MICROS;
    const id = message.readUInt32BE(17);
    this.newestCommitTimeMicros = commitTimeMicros;
    this.#transaction = {
      lsn,
      id,
      sentTo: this.#sentTo(lsn),
      ordinal: 0,
      held: null,
      deleted: new Map(),
      watermarks: [],
      commitTimeMicros,
      transaction: String(id),
      place: sortableLsn(lsn),
    };
  }

  #sentTo(lsn: Lsn): number {
    if (lsn > this.#resumeLsn) return -1;
    if (lsn < this.#resumeLsn || this.#resumeOrdinal === null) return Number.POSITIVE_INFINITY;
    return this.#resumeOrdinal;
  }

  #row(message: Buffer): void {
    const transaction = this.#transaction!;
    transaction.ordinal += ORDINALS_PER_MESSAGE;
    if (transaction.sentTo === Number.POSITIVE_INFINITY) return;
    const relation = this.#relations.get(message.readUInt32BE(1))!;
    if (relation.shapes.length === 0) return;
    if (transaction.held !== null) transaction.held.add(message, transaction.ordinal);
    else {
      this.#bytes = message.length;
      decodeChanges(message, relation, transaction, transaction.ordinal, this.#push);
    }
  }

  /** Size of the message whose changes are pushed. */
  #bytes = 0;

  readonly #push = (change: Change, ordinal: number): void => {
    const transaction = this.#transaction!;
    const { entity } = change.table;
    if (change.operation === 'delete') transaction.deleted.set(entity, change.table);
    this.around.changed(entity, change.key, transaction.id);
    if (ordinal > transaction.sentTo) this.around.queue.event(change, this.#bytes, transaction.lsn, ordinal);
  };

  #message(message: Buffer): void {
    const transactional = (message[1]! & 1) === 1;
    if (!transactional || this.#transaction === null) return;
    const transaction = this.#transaction;
    transaction.ordinal += ORDINALS_PER_MESSAGE;
    const prefixEnd = message.indexOf(0, 10);
    const prefix = message.toString('utf8', 10, prefixEnd);
    const content = () => message.toString('utf8', prefixEnd + 5);
    if (prefix === this.#watermarkPrefix) transaction.watermarks.push(content());
    if (transaction.sentTo === Number.POSITIVE_INFINITY) return;
    const sync = syncOfMark(prefix, this.around.prefix);
    if (sync !== null) this.#mark(transaction, sync, content());
  }

  #mark(transaction: OpenTransaction, sync: string, content: string): void {
    const mark = readMark(content);
    if (mark.kind === 'first') {
      // Held already: a mark without its end, or of another sync; what is held then are edits.
      if (transaction.held !== null) return;
      transaction.held = new HeldTransaction(sync, this.around.holdBytes, (message, ordinal, receive) =>
        decodeChanges(message, this.#relations.get(message.readUInt32BE(1))!, transaction, ordinal, receive),
      );
      return;
    }
    const { held } = transaction;
    if (held === null || held.sync !== sync) return;
    held.addOutcomes(mark.outcomes);
    if (mark.part === mark.parts) this.#release(held.release());
  }

  #release(changes: Iterator<ReleasedChange, readonly Outcome[] | void>): void {
    this.#releasing = changes;
    this.pump();
  }

  /** The next change of the held transaction; behind its last one the outcomes that no change carries. */
  #releaseNext(): void {
    try {
      const next = this.#releasing!.next();
      if (next.done !== true) {
        this.#bytes = next.value.bytes;
        this.#push(next.value.change, next.value.ordinal);
        return;
      }
      const transaction = this.#transaction!;
      transaction.held!.remove();
      transaction.held = null;
      this.#releasing = null;
      if (next.value) this.#pushOutcomes(transaction, next.value);
    } catch (error) {
      this.stop();
      this.around.failed(error);
    }
  }

  #pushOutcomes(transaction: OpenTransaction, outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      const ordinal = transaction.ordinal++;
      const table = this.around.shape(outcome.entity);
      // A target's entity that is not captured has its outcomes published by the sink.
      if (table === undefined || ordinal <= transaction.sentTo) continue;
      const event: OutcomeEvent = {
        kind: 'outcome',
        table,
        outcome,
        commitTimeMicros: transaction.commitTimeMicros,
        transaction: transaction.transaction,
        position: eventPosition(transaction.place, ordinal),
      };
      this.around.queue.event(event, outcomeBytes(outcome), transaction.lsn, ordinal);
    }
  }

  #commit(): void {
    const transaction = this.#transaction!;
    if (transaction.held !== null) {
      this.#backlog.unshift(COMMIT_AGAIN);
      this.#release(transaction.held.releaseAsEdits());
      return;
    }
    transaction.ordinal += ORDINALS_PER_MESSAGE;
    for (const table of transaction.deleted.values()) {
      const ordinal = transaction.ordinal++;
      if (ordinal <= transaction.sentTo) continue;
      const end: EndEvent = {
        kind: 'end',
        table,
        end: 'transaction',
        commitTimeMicros: transaction.commitTimeMicros,
        transaction: transaction.transaction,
        position: eventPosition(transaction.place, ordinal),
      };
      this.around.queue.event(end, SMALL_EVENT_BYTES, transaction.lsn, ordinal);
    }
    this.#transaction = null;
    if (transaction.lsn >= this.#resumeLsn) this.around.queue.commit(transaction.lsn);
    for (const watermark of transaction.watermarks) this.around.watermark(watermark);
    this.around.boundary();
  }

  #truncate(message: Buffer): void {
    const transaction = this.#transaction!;
    transaction.ordinal += ORDINALS_PER_MESSAGE;
    if (transaction.ordinal <= transaction.sentTo) return;
    const count = message.readUInt32BE(1);
    for (let index = 0; index < count; index++) {
      const relation = this.#relations.get(message.readUInt32BE(6 + 4 * index));
      for (const shape of relation?.shapes ?? []) this.around.truncated(shape.entity);
    }
  }

  #relation(message: Buffer): void {
    const relation = this.around.relation(readRelation(message));
    if (!(relation instanceof Promise)) {
      this.#relations.set(relation.id, relation);
      return;
    }
    this.#asking = true;
    this.around.blocked(true);
    relation.then(
      (known) => {
        this.#relations.set(known.id, known);
        this.#asking = false;
        this.pump();
      },
      (error: unknown) => {
        this.stop();
        this.around.failed(error);
      },
    );
  }
}

const COMMIT_AGAIN = Buffer.from([0x43]);

/** 2000-01-01 in microseconds since 1970. */
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000;

function outcomeBytes(outcome: Outcome): number {
  if (outcome.status !== 'refused' || outcome.met === null) return SMALL_EVENT_BYTES;
  let bytes = SMALL_EVENT_BYTES;
  for (const value of Object.values(outcome.met)) bytes += typeof value === 'string' ? value.length : 8;
  return bytes;
}
