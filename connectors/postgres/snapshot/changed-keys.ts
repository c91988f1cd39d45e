import { type TransactionId, type TransactionSnapshot, widen } from './transaction-snapshot.js';

/**
 * Which keys of the table being snapshot the stream has shown changed, and by which transaction: a commit can be in the
 * log, and delivered, before a snapshot sees it, and a chunk's row must not come after it with the older image.
 *
 * No chunk is used whose snapshot's xmin is below `floor`: every transaction below it is then seen and need not be
 * remembered. At the bound everything is forgotten and the floor is put above it, so chunks wait for those transactions.
 */
export class ChangedKeys {
  #entity: string | null = null;
  readonly #changedBy = new Map<string, TransactionId>();
  /** The transaction id taken after `begin()`, plus one; null until it is known. */
  #known: TransactionId | null = null;
  /** Everything remembered below it was forgotten at the bound. */
  #forgotten: TransactionId = 0;
  #reference: TransactionId = 0;

  constructor(private readonly maxKeys: number) {}

  get floor(): TransactionId {
    return this.#known === null ? Number.POSITIVE_INFINITY : Math.max(this.#known, this.#forgotten);
  }

  get size(): number {
    return this.#changedBy.size;
  }

  /** Begins to remember; `reference` is any recent full transaction id. */
  begin(entity: string, reference: TransactionId): void {
    this.#entity = entity;
    this.#changedBy.clear();
    this.#known = null;
    this.#forgotten = 0;
    this.#reference = reference;
  }

  /** Chunks may be used from `own` on, a transaction id taken after `begin()`. */
  setFloor(own: TransactionId): void {
    this.#known = own + 1;
    this.#reference = own;
  }

  end(): void {
    this.#entity = null;
    this.#changedBy.clear();
  }

  changed(entity: string, key: string, shortId: number): void {
    if (entity !== this.#entity) return;
    const transaction = widen(shortId, this.#reference);
    if (transaction < Math.max(this.#known ?? 0, this.#forgotten)) return;
    if (this.#changedBy.size >= this.maxKeys) this.#forgetAll(transaction);
    else this.#changedBy.set(key, transaction);
  }

  /** True where the stream has shown a change of the key that the chunk does not see. */
  hides(key: string, snapshot: TransactionSnapshot): boolean {
    const transaction = this.#changedBy.get(key);
    return transaction !== undefined && !snapshot.sees(transaction);
  }

  /** Raises the floor to a chunk's xmin and forgets what is below it: later snapshots see that too. */
  passed(snapshot: TransactionSnapshot): void {
    if (snapshot.xmin <= this.floor) return;
    this.#known = snapshot.xmin;
    this.#reference = snapshot.xmax;
    for (const [key, transaction] of this.#changedBy) {
      if (transaction < snapshot.xmin) this.#changedBy.delete(key);
    }
  }

  #forgetAll(latest: TransactionId): void {
    let above = latest;
    for (const transaction of this.#changedBy.values()) above = Math.max(above, transaction);
    this.#changedBy.clear();
    this.#forgotten = Math.max(this.#forgotten, above + 1);
  }
}
