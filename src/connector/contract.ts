import type { Row } from '../model/value.js';
import type { TableShape } from '../model/table.js';
import type { EntitySystemPlan } from '../plan/plan.js';

/**
 * What a connector is: a catalogue, a source and a sink for one kind of system.
 * Connectors know Duolog only through this file, the model, the plan and the errors.
 *
 *   source.next() ─▶ changes + the position that follows them ─▶ (Kafka) ─▶ source.acknowledge(position)
 *   sink.apply(commands) ─▶ data, outcomes, offset and epoch in one transaction of the target
 */
export interface Connector {
  readonly capabilities: Capabilities;
  catalogue(): Catalogue;
  source(options: SourceOptions): Source;
  sink(options: SinkOptions): Sink;
  close(): Promise<void>;
}

/** What a kind of system can do, as data. */
export interface Capabilities {
  /** Changes come in commit order with our own writes recognised in the stream. */
  readonly ordered: boolean;
  readonly transactions: boolean;
}

// ---------------------------------------------------------------- catalogue

/** What is wrong with the set-up of a system, and the statement that would mend it. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'ok';
  /** Stable, documented: `wal-level`, `slot`, `publication`, `replica-identity`, `right`, `match-index`, … */
  readonly check: string;
  readonly message: string;
  /** A statement for the system's own console, or null where none helps. */
  readonly statement: string | null;
}

export interface Catalogue {
  /** Shapes of the entities' tables. @throws DuologError TABLE_NOT_FOUND, COLUMN_NOT_FOUND, TABLE_WITHOUT_KEY. */
  tables(entities: readonly TableReference[]): Promise<readonly TableShape[]>;
  /** Whether a table has any row that our role may see. */
  hasRows(table: string): Promise<boolean>;
  /** Everything that must be right before a run, good news included. */
  check(entities: readonly EntitySystemPlan[], use: SystemUse): Promise<readonly Finding[]>;
  /** What a first run would create in the system (publication, slot, bookkeeping tables), as statements. */
  plan(entities: readonly EntitySystemPlan[], use: SystemUse): Promise<readonly string[]>;
  /** What the system keeps for this prefix when nobody runs any more and that costs it something, and how to end that. */
  remains(prefix: string): Promise<readonly { readonly message: string; readonly statement: string }[]>;
  close(): Promise<void>;
}

/** What a system's set-up depends on beyond its tables. */
export interface SystemUse {
  readonly prefix: string;
  /** By entity: the columns of each match rule, which an insert is guarded by. */
  readonly match: Readonly<Record<string, readonly (readonly string[])[]>>;
  /** An earlier run has stored how far it has read: what the system keeps for that must be there. */
  readonly hasPosition: boolean;
}

export interface TableReference {
  readonly entity: string;
  readonly table: string;
}

// ---------------------------------------------------------------- source

export type Operation = 'insert' | 'update' | 'delete' | 'read';

/** Marks a change as written by us: the outcome `applied` of that command. */
export interface Origin {
  readonly sync: string;
  /** Null for rows that our transaction changed beside its commands (a trigger's): they are edits. */
  readonly command: string | null;
  readonly link: string | null;
}

export type SourceEvent = Change | OutcomeEvent | EndEvent;

/** A row changed, or was read by a snapshot. */
export interface Change {
  readonly kind: 'change';
  readonly table: TableShape;
  readonly operation: Operation;
  readonly key: string;
  /** Where the system itself told that the key changed: `to` on the delete of the old key, `from` on the update under the new one. */
  readonly keyChange: { readonly from: string } | { readonly to: string } | null;
  /** The old image as far as the system sends it (replica identity), else null. */
  readonly before: Row | null;
  /** The new image; null for a delete. */
  readonly after: Row | null;
  /** Columns of `after` that the system did not send because they did not change (large values). */
  readonly unchanged: readonly string[];
  /** Commit time in microseconds since 1970; null for `read`. */
  readonly commitTimeMicros: number | null;
  readonly transaction: string;
  /** Place in the system's order, unique per event, sortable as text. */
  readonly position: string;
  readonly origin: Origin | null;
}

/** A command's outcome where no row change carries it: unchanged, refused, failed (and applied, if no row shows it). */
export interface OutcomeEvent {
  readonly kind: 'outcome';
  readonly table: TableShape;
  readonly outcome: Outcome;
  readonly commitTimeMicros: number;
  readonly transaction: string;
  readonly position: string;
}

/**
 * `transaction`: a transaction that deleted rows of this entity is complete. `snapshot-begin`: the entity's table is read
 * from its beginning, and every change that the reading may not see comes behind this. `snapshot`: every row of the entity's
 * snapshot has been sent. `gap`: what came before may be incomplete, and a snapshot follows; its transaction is the
 * request that it answers.
 */
export interface EndEvent {
  readonly kind: 'end';
  readonly table: TableShape;
  readonly end: 'transaction' | 'snapshot-begin' | 'snapshot' | 'gap';
  readonly commitTimeMicros: number | null;
  readonly transaction: string;
  readonly position: string;
}

/** Where a source stands: text of its own making, stored in Kafka with the events that precede it. */
export type Position = string;

/** Somebody asked for a comparison of what is known with what is there. */
export interface ResyncRequest {
  readonly id: string;
  /** Null: all that are captured. */
  readonly entities: readonly string[] | null;
}

/** Where a source shall go on. */
export interface Resume {
  readonly position: Position | null;
  readonly heartbeat: Position | null;
  /** A request not yet done: these entities are read again behind a `gap`; where changes have been lost, all. */
  readonly resync?: ResyncRequest | null;
}

export type SourceBatch =
  | {
      readonly kind: 'events';
      readonly events: readonly SourceEvent[];
      /** Follows the last event. */
      readonly position: Position;
    }
  | {
      /** Nothing happened up to here; commits as a heartbeat so that the system may forget. */
      readonly kind: 'heartbeat';
      readonly position: Position;
      readonly timeMicros: number;
    };

export interface SourceOptions {
  readonly system: string;
  readonly prefix: string;
  readonly entities: readonly EntitySystemPlan[];
  /** Limits on one batch; a batch may end inside a transaction. */
  readonly maxBatchEvents: number;
  readonly maxBatchBytes: number;
}

export interface Source {
  /**
   * Ends an older holder's connection and begins after `resume`; without a position it begins with a snapshot.
   * @throws DuologError SLOT_LOST (never with a `resync`) and others: see docs/errors.md.
   */
  open(resume: Resume): Promise<void>;
  /** The next batch, or null when nothing came within `maxWaitMs`. Batches come in the system's order. */
  next(maxWaitMs: number): Promise<SourceBatch | null>;
  /** Everything up to this position is committed in Kafka: the system may forget it (I1). */
  acknowledge(position: Position): Promise<void>;
  /** For people and metrics: the phase, snapshot progress, what is waited for, bytes the system holds back for us. */
  status(): SourceStatus;
  close(): Promise<void>;
}

export interface SourceStatus {
  readonly phase: 'closed' | 'waiting-for-transactions' | 'snapshot' | 'streaming';
  /** Human-readable details, e.g. the transaction waited for. */
  readonly detail: string | null;
  readonly snapshot: Readonly<
    Record<string, { readonly rows: number; readonly estimate: number | null; readonly done: boolean }>
  >;
  /** Bytes of log the system keeps for us; null when unknown. */
  readonly retainedBytes: number | null;
  /** Commit time of the newest event seen; null before the first. */
  readonly newestCommitTimeMicros: number | null;
}

// ---------------------------------------------------------------- sink

/** What a system shall do. `expect` is compared IS NOT DISTINCT FROM; if anything differs nothing is written (I7). */
export interface Command {
  readonly id: string;
  readonly link: string;
  readonly entity: string;
  readonly operation: 'insert' | 'update' | 'delete';
  /** Null for an insert whose key the system makes. */
  readonly key: string | null;
  /** Column to new value; empty for a delete. */
  readonly set: Row;
  /** Column to the value we have seen; empty for an insert. */
  readonly expect: Row;
  /** An insert is refused where a row shows all values of any of these. */
  readonly absent: readonly Row[];
  readonly madeAtMicros: number;
  /** Asked for again because its outcome may have been lost: whoever still has the first one waiting leaves this out. */
  readonly again?: boolean;
}

export type Outcome = {
  readonly command: string;
  readonly link: string;
  readonly entity: string;
} & (
  | { readonly status: 'applied' | 'unchanged'; readonly key: string }
  /** The expectation failed: `met` is the image met (null: no such row) under `key`. */
  | { readonly status: 'refused'; readonly key: string | null; readonly met: Row | null; readonly reason: string }
  /** The system's own error, without values; `code` is the system's (SQLSTATE). `blockingKey`: the row in the way of a unique constraint. */
  | {
      readonly status: 'failed';
      readonly key: string | null;
      readonly code: string;
      readonly message: string;
      readonly constraint: string | null;
      readonly column: string | null;
      readonly blockingKey: string | null;
    }
);

/** A command with its place in the command topic. */
export interface QueuedCommand {
  readonly offset: number;
  readonly command: Command;
}

/**
 * Which commands are answered, as stored in the target beside the data (I4):
 * all below `lowest`, and those in `answered` above it (sorted, bounded).
 */
export interface SinkProgress {
  readonly lowest: number;
  readonly answered: readonly number[];
}

export interface SinkOptions {
  readonly system: string;
  readonly sync: string;
  readonly prefix: string;
  readonly entities: readonly EntitySystemPlan[];
  /** Names this process for whoever looks at the target's sessions. */
  readonly owner: string;
}

export interface OpenedSink {
  readonly epoch: number;
  /** Null on the very first opening. */
  readonly progress: SinkProgress | null;
  /** Identity of the command topic the progress belongs to (the state's birth id); null on the first opening. */
  readonly birth: string | null;
  /** Outcomes of entities that are not captured, committed in the target but maybe not yet published. */
  readonly unpublished: readonly Outcome[];
}

export interface ApplyResult {
  /** One for each command that is answered, in the order of the batch. */
  readonly outcomes: readonly { readonly offset: number; readonly outcome: Outcome }[];
  /** Offsets whose row is locked by somebody's open transaction: nothing was written, try again later. */
  readonly deferred: readonly number[];
}

export interface Sink {
  /** Takes over from any earlier holder: ends its session, raises the epoch, reads the progress. */
  open(birth: string): Promise<OpenedSink>;
  /**
   * Writes a batch (at most one command a physical row) and its progress in one transaction, guarded by the epoch.
   * `progressAfter` turns the offsets answered into the progress to store.
   * @throws DuologError SINK_FENCED, SINK_UNREACHABLE (nothing written), SINK_COMMIT_UNKNOWN (close and open again).
   */
  apply(
    batch: readonly QueuedCommand[],
    progressAfter: (answered: readonly number[]) => SinkProgress,
  ): Promise<ApplyResult>;
  close(): Promise<void>;
}
