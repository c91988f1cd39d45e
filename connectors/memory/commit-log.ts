import type { Outcome } from '../../src/connector/contract.js';
import type { Row } from '../../src/model/value.js';

/** One row's change in the log, as a database would describe it. */
export interface LoggedChange {
  readonly table: string;
  readonly operation: 'insert' | 'update' | 'delete';
  readonly key: string;
  readonly before: Row | null;
  readonly after: Row | null;
  readonly keyChange: { readonly from: string } | { readonly to: string } | null;
}

export interface LoggedTransaction {
  /** 1 for the first transaction ever committed, then without gaps. */
  readonly number: number;
  readonly commitTimeMicros: number;
  readonly changes: readonly LoggedChange[];
  /** Set by our own sink: whose transaction this is and what became of its commands (I8). */
  readonly mark: { readonly sync: string; readonly outcomes: readonly Outcome[] } | null;
}

/** Committed transactions in commit order, kept until the reader says that it needs them no more. */
export class CommitLog {
  private readonly transactions: LoggedTransaction[] = [];
  private forgotten = 0;
  private lastTimeMicros = 0;

  constructor(private readonly nowMicros: () => number) {}

  append(changes: readonly LoggedChange[], mark: LoggedTransaction['mark']): void {
    if (changes.length === 0 && mark === null) return;
    this.lastTimeMicros = Math.max(this.nowMicros(), this.lastTimeMicros);
    this.transactions.push({ number: this.end + 1, commitTimeMicros: this.lastTimeMicros, changes, mark });
  }

  /** Number of the newest transaction; 0 before the first. */
  get end(): number {
    return this.forgotten + this.transactions.length;
  }

  /** Number of the newest transaction that is not there any more. */
  get forgottenTo(): number {
    return this.forgotten;
  }

  at(number: number): LoggedTransaction | undefined {
    return this.transactions[number - this.forgotten - 1];
  }

  /** Drops the transactions up to and including this number: nobody can read them again (I1). */
  forget(number: number): void {
    const count = Math.min(number, this.end) - this.forgotten;
    if (count <= 0) return;
    this.transactions.splice(0, count);
    this.forgotten += count;
  }
}
