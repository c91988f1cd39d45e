/** What whoever counts can be told of. Every method is optional, quick and must not throw. */
export interface LogObserver {
  /** `durationMs` from the begin of the transaction to its acknowledged end. */
  transactionCommitted?(commit: {
    readonly task: 'source' | 'stream';
    readonly messages: number;
    readonly bytes: number;
    readonly durationMs: number;
  }): void;
  transactionFailed?(commit: { readonly task: 'source' | 'stream'; readonly code: string }): void;
  /** A fetch failed and is tried again. */
  fetchRetried?(): void;
  fetched?(fetch: { readonly records: number; readonly durationMs: number }): void;
  leaseGained?(group: string): void;
  leaseLost?(group: string): void;
}
