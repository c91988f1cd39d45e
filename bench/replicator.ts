import type { Awaited, Equality } from './equality.js';
import type { Path } from './figures.js';

/** Whatever keeps the target like the source: Duolog, or one of those that it stands beside. */
export interface Replicator {
  /** `duolog`, `postgres`, `debezium`. */
  readonly name: string;
  /** What tells two of one name apart. */
  readonly variant: string;
  readonly path: Path;
  /** Processes of its own; 0 where it lives in the databases. */
  readonly processCount: number;
  /** Sets everything up on tables that are there and begins the first copy. @returns when it began to read. */
  start(): Promise<number>;
  /** Stops; the place reached is kept. */
  pause(): Promise<void>;
  /** Goes on. @returns when it began to read. */
  resume(): Promise<number>;
  /** Its processes by name, as they are now. */
  processes(): Readonly<Record<string, number>>;
  /** Waits until everything has arrived, and compares. */
  untilArrived(expected: Expected): Promise<Equality>;
  /** What it needs to tell latencies. */
  beforeSteady?(): Promise<void>;
  /** Milliseconds from each source statement since `sinceMs` to the commit at its destination. */
  latencies(sinceMs: number): Promise<readonly number[]>;
  destroy(): Promise<void>;
}

export interface Expected {
  /** Changes since it was resumed, or rows of the first copy. */
  readonly changes: number;
  /** What was changed last, and where it has to arrive. */
  readonly last: readonly Awaited[];
  readonly timeoutMs: number;
}
