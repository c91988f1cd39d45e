/** A full transaction id (xid8) as a number: exact up to 2^53 transactions. */
export type TransactionId = number;

/** Which transactions a query sees: `pg_current_snapshot()`. */
export class TransactionSnapshot {
  private constructor(
    /** Every transaction below it has ended. */
    readonly xmin: TransactionId,
    /** No transaction from it on is seen. */
    readonly xmax: TransactionId,
    readonly running: ReadonlySet<TransactionId>,
  ) {}

  /** @throws RangeError for a text of another form than `xmin:xmax:running,…`. */
  static parse(text: string): TransactionSnapshot {
    const match = /^(\d+):(\d+):([\d,]*)$/.exec(text);
    if (match === null) throw new RangeError(`"${text}" is not a transaction snapshot`);
    const running = match[3] === '' ? [] : match[3]!.split(',').map(Number);
    return new TransactionSnapshot(Number(match[1]), Number(match[2]), new Set(running));
  }

  /** True for a committed transaction whose effects this snapshot shows. */
  sees(transaction: TransactionId): boolean {
    return transaction < this.xmin || (transaction < this.xmax && !this.running.has(transaction));
  }
}

const CYCLE = 0x1_0000_0000;

/** The stream's 32-bit id as a full one: the one nearest to `reference`, as no live id is 2^31 away from another. */
export function widen(shortId: number, reference: TransactionId): TransactionId {
  const candidate = reference - (reference % CYCLE) + shortId;
  if (candidate - reference > CYCLE / 2) return candidate - CYCLE;
  if (reference - candidate > CYCLE / 2) return candidate + CYCLE;
  return candidate;
}
