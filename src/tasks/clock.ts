import { setTimeout as sleep } from 'node:timers/promises';

/** Time as the tasks see it; the simulation has its own. The decision never sees any of it. */
export interface Clock {
  nowMs(): number;
  /** Resolves after the time or when the signal aborts, whichever comes first. */
  pause(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  pause: (milliseconds, signal) =>
    sleep(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
};
