import { setTimeout as delay } from 'node:timers/promises';

const PATIENCE_MS = 2_000;

/** Waits for a goodbye, but not for ever: the other side notices by itself when we are gone. */
export async function withinPatience(goodbye: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const timeout = delay(PATIENCE_MS, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([goodbye.catch(() => undefined), timeout]);
  timer.abort();
}
