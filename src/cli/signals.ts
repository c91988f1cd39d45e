/** What a long command needs to know of SIGTERM and SIGINT. */
export interface StopSignals {
  /** Aborts at the first signal. */
  readonly signal: AbortSignal;
  /** Ends listening. */
  close(): void;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Listens for SIGTERM and SIGINT. The first aborts `signal`; a second one, or `graceMs` after the first, calls
 * `cutShort`, which ends the process at once. That loses nothing: every commit is all or nothing.
 */
export function stopSignals(graceMs: number, cutShort: () => void): StopSignals {
  const stopping = new AbortController();
  let timer: NodeJS.Timeout | null = null;
  const listen = (): void => {
    if (stopping.signal.aborted) return cutShort();
    timer = setTimeout(cutShort, graceMs);
    timer.unref();
    stopping.abort();
  };
  for (const name of SIGNALS) process.on(name, listen);
  return {
    signal: stopping.signal,
    close: () => {
      if (timer !== null) clearTimeout(timer);
      for (const name of SIGNALS) process.off(name, listen);
    },
  };
}
