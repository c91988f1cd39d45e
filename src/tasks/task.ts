import type { SchemaRegistry } from '../avro/registry.js';
import type { Log } from '../log/contract.js';
import type { TopicNames } from '../log/topics.js';
import type { Clock } from './clock.js';
import type { StageMetrics } from './stage-metrics.js';

/**
 * One of the three kinds of task, in one life: opened by whoever holds its lease, stepped until something fails or the
 * lease goes, then closed and thrown away. The next life is a new object: nothing is carried on from memory.
 */
export interface Task {
  /** Fences whoever had the task before, reads where it stands, opens its system. */
  open(): Promise<void>;
  /**
   * One bounded piece of work; false when there was nothing to do.
   * @throws DuologError: the task is to be closed, and opened again as the error's `retry` says.
   */
  step(): Promise<boolean>;
  /** Lets go of everything; never throws. */
  close(): Promise<void>;
}

/** What every task is given. */
export interface TaskContext {
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly topics: TopicNames;
  readonly prefix: string;
  readonly clock: Clock;
  readonly metrics: StageMetrics;
  readonly limits: TaskLimits;
}

/** Bounds on one step; everything that can grow has one. */
export interface TaskLimits {
  /** Events, records or commands taken for one transaction. */
  readonly batchRecords: number;
  /** Bytes of a source's transaction, about. */
  readonly batchBytes: number;
  /** What the decision may say in one transaction before it is committed. */
  readonly batchOutputs: number;
  /** Largest message; a larger row is published as oversize. */
  readonly messageBytes: number;
  /** Longest wait for something to do. */
  readonly idleWaitMs: number;
  /** Commands read and not yet answered. */
  readonly pendingCommands: number;
  /** Answered commands above the lowest unanswered one: at the bound the sink waits for that one. */
  readonly answeredAhead: number;
  /** Time between two trimmings of a topic. */
  readonly trimEveryMs: number;
  /** Records of change topics stay so long for other subscribers. */
  readonly changeRetentionMs: number;
}

export const TASK_LIMITS: TaskLimits = {
  batchRecords: 3000,
  batchBytes: 4 * 1024 * 1024,
  batchOutputs: 8000,
  messageBytes: 1_000_000,
  idleWaitMs: 50,
  pendingCommands: 9000,
  answeredAhead: 10_000,
  trimEveryMs: 30_000,
  changeRetentionMs: 7 * 24 * 3_600_000,
};
