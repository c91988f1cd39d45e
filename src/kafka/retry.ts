import { setTimeout as delay } from 'node:timers/promises';
import { isMissingTopic, type Remedy, remedy } from './kafka-errors.js';
import type { Cluster } from './kafkajs-types.js';

export interface RetryOptions {
  readonly cluster: Cluster;
  readonly timeoutMs: number;
  /** A topic that is unknown for longer is missing; a new one takes a moment to be known everywhere. */
  readonly missingAfterMs?: number;
  /** Told before each further try; may throw to give up. */
  readonly onRetry?: (remedy: Remedy, error: unknown) => void;
}

/** A step of the broker is seldom longer under way than this. */
const MAX_BUSY_PAUSE_MS = 16;
const MAX_PAUSE_MS = 250;
const MISSING_AFTER_MS = 15_000;

/**
 * Does something with a cluster until it succeeds, the time is over or trying again cannot help; throws the last error.
 * Between tries it brings the metadata up to date where the error says that they are stale.
 */
export async function withRetries<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  const missingAfterMs = Math.min(options.missingAfterMs ?? MISSING_AFTER_MS, options.timeoutMs);
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const what = remedy(error);
      if (what === 'fatal' || what === 'fenced') throw error;
      const pauseMs = pauseAfter(what, tries);
      const limitMs = isMissingTopic(error) ? missingAfterMs : options.timeoutMs;
      if (performance.now() + pauseMs - startMs >= limitMs) throw error;
      options.onRetry?.(what, error);
      await refresh(options.cluster, what);
      await delay(pauseMs);
    }
  }
}

function pauseAfter(what: Remedy, tries: number): number {
  const limit = what === 'busy' ? MAX_BUSY_PAUSE_MS : MAX_PAUSE_MS;
  const pause = Math.min(2 ** Math.min(tries, 10), limit);
  return what === 'busy' ? pause : pause * (0.75 + Math.random() / 2);
}

async function refresh(cluster: Cluster, what: Remedy): Promise<void> {
  if (what !== 'metadata' && what !== 'connection') return;
  try {
    await cluster.refreshMetadata();
  } catch {
    // Nobody answers; the next try will say so.
  }
}
