/**
 * What the tasks need of Kafka, and nothing else: transactions, leases, reading from an offset.
 * Every topic of Duolog has one partition. `src/kafka` is the real thing, `test/simulation` an in-memory one.
 */
export interface LogMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Defaults to now. */
  readonly timestampMs?: number;
}

export interface LogRecord {
  readonly topic: string;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestampMs: number;
}

export interface TopicMessages {
  readonly topic: string;
  readonly messages: readonly LogMessage[];
}

export interface LogTransaction {
  /** Order within a topic is kept. */
  readonly sends: readonly TopicMessages[];
  /** Group offsets are for tools only (lag in Kafka's own views); tasks resume from their own records. */
  readonly consumed?: {
    readonly group: string;
    readonly offsets: readonly { readonly topic: string; readonly offset: number }[];
  };
  /** Names the commit for the fail points. */
  readonly task: 'source' | 'stream';
}

export interface LogProducer {
  /**
   * All or nothing. @throws DuologError KAFKA_FENCED (another has the task), KAFKA_COMMIT_UNKNOWN (close the task),
   * KAFKA_UNREACHABLE (nothing committed, the task must be opened again), KAFKA_MESSAGE_TOO_LARGE.
   * `offsets`: by topic, the offset after the last message of this commit.
   */
  commit(transaction: LogTransaction): Promise<{ readonly offsets: ReadonlyMap<string, number> }>;
  close(): Promise<void>;
}

/**
 * Adds records without a transaction: for what is true by itself, harmless when told twice, and told again by whoever
 * cannot say that it was told. It costs one request where a transaction costs three, and fences nobody.
 */
export interface LogAppender {
  /**
   * Order within a topic is kept, each record is there once, for readers at once, and in all copies when this resolves.
   * @throws DuologError KAFKA_UNREACHABLE, KAFKA_NOT_ALLOWED, KAFKA_TOPIC_MISSING, KAFKA_MESSAGE_TOO_LARGE: a first part may be there,
   * and the appender is of no more use.
   */
  append(sends: readonly TopicMessages[]): Promise<void>;
  close(): Promise<void>;
}

export interface PollOptions {
  readonly maxRecords: number;
  readonly maxWaitMs: number;
}

/** Reads committed records of some topics from explicit offsets. Between topics there is no order. */
export interface LogReader {
  /**
   * Records in offset order per topic; empty when nothing came in time.
   * @throws DuologError KAFKA_OFFSET_OUT_OF_RANGE: never a silent jump.
   */
  poll(options: PollOptions): Promise<readonly LogRecord[]>;
  /** The offset after everything known to be committed and readable, per topic, as of the last fetch. */
  position(topic: string): number;
  pause(topics: readonly string[]): void;
  resume(topics: readonly string[]): void;
  close(): Promise<void>;
}

/** The right to run a task, given by a consumer group of its own: one member has it, the others stand by. */
export interface Lease {
  /** Resolves when this process holds the task; rejects when the signal aborts. Calls `onElsewhere` when another has it. */
  acquire(signal: AbortSignal, onElsewhere?: () => void): Promise<Tenure>;
}

export interface Tenure {
  /** Aborts when Kafka gave the task to another. */
  readonly lost: AbortSignal;
  /** Leaves the group, so that a standby takes over at once. */
  release(): Promise<void>;
}

export interface TopicSpec {
  readonly name: string;
  readonly cleanup: 'delete' | 'compact';
  /** Retention for tools' topics in ms; null keeps records until they are trimmed. */
  readonly retentionMs: number | null;
  /** A record may carry several rows at once, as the state of a link does: its messages may be larger than a row's. */
  readonly large?: boolean;
}

export interface TopicFinding {
  readonly topic: string;
  readonly state: 'missing' | 'ok' | 'different';
  readonly message: string;
}

export interface Log {
  /** Fences every earlier producer of this id and aborts its open transaction. */
  producer(transactionalId: string): Promise<LogProducer>;
  appender(): Promise<LogAppender>;
  lease(group: string): Lease;
  reader(start: readonly { readonly topic: string; readonly offset: number }[]): Promise<LogReader>;
  /**
   * All records from the offset on that were committed before the call, maybe some later ones, in batches; returns the
   * offset that follows.
   * Compacted topics included. Transactions still open in the topic are waited for.
   */
  readToEnd(
    topic: string,
    offset: number,
    onRecords: (records: readonly LogRecord[]) => void | Promise<void>,
    /** Breaks off, with the signal's reason; what was handed out stays. */
    signal?: AbortSignal,
  ): Promise<number>;
  /** The first offset there is, and the one behind everything readable: a commit shows there a moment after its acknowledgement. */
  bounds(topic: string): Promise<{ readonly earliest: number; readonly end: number }>;
  /** The first offset of a record at least as young as the time; null where all are older. */
  offsetAt(topic: string, timestampMs: number): Promise<number | null>;
  /** Deletes records below the offset. */
  trim(topic: string, offset: number): Promise<void>;
  clusterId(): Promise<string>;
  /** Creates what is missing, reports what differs. @throws DuologError TOPIC_SETTINGS_WRONG with the command that mends it. */
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>;
  inspectTopics(topics: readonly TopicSpec[]): Promise<readonly TopicFinding[]>;
  close(): Promise<void>;
}
