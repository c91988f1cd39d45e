import { DuologError } from '../../src/errors/duolog-error.js';
import type { LogRecord, TopicSpec } from '../../src/log/contract.js';

/** What an open transaction has in a topic. */
export interface Pending {
  readonly topic: Topic;
  readonly records: LogRecord[];
}

/** One topic of the broker in memory. */
export class Topic {
  /** Committed records in offset order; offsets have gaps (markers, aborted and compacted records). */
  records: LogRecord[] = [];
  earliest = 0;
  end = 0;
  readonly open = new Set<Pending>();

  constructor(readonly spec: TopicSpec) {}

  /** Nothing from here on may be read yet (the last stable offset). */
  get stable(): number {
    let stable = this.end;
    for (const { records } of this.open) stable = Math.min(stable, records[0]!.offset);
    return stable;
  }

  /** Index of the first record at or after the offset. */
  indexOf(offset: number): number {
    let low = 0;
    let high = this.records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.records[middle]!.offset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  verifyOffset(offset: number): void {
    if (offset < this.earliest || offset > this.end) {
      throw new DuologError('KAFKA_OFFSET_OUT_OF_RANGE', `${this.spec.name} has no offset ${offset}`);
    }
  }
}
