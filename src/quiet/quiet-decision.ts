import type { SyncRecord } from '../decision/state.js';
import { TIME_STEP_MICROS } from '../decision/turn.js';
import type { LogMessage } from '../log/contract.js';

/** A link as it is from now on, and what that does to the index. */
export interface QuietPut {
  readonly key: string;
  readonly bytes: Buffer;
  /** Index entries that it does not carry any more. */
  readonly gone: readonly string[];
  /** Index entries that it has got. */
  readonly come: readonly string[];
}

/** What a quiet event makes of the state, and what is to be said about it: as the decision would have it, to the byte. */
export interface QuietDecision {
  /** The system that it tells of, and how far that has come. */
  readonly system: string;
  readonly commitTimeMicros: number | null;
  readonly puts: readonly QuietPut[];
  /** Null where nothing has changed in it. */
  readonly sync: SyncRecord | null;
  readonly outputs: readonly { readonly topic: string; readonly message: LogMessage }[];
}

export const NO_ENTRIES: readonly string[] = Object.freeze([]);

/** The sync record after an event; null where it is as it was. */
export function syncAfter(
  sync: SyncRecord,
  timeMicros: number,
  change: Partial<Pick<SyncRecord, 'lastCommand' | 'lastLink' | 'oldestTombstoneDay'>> | null,
): SyncRecord | null {
  if (change === null && timeMicros - sync.timeMicros <= TIME_STEP_MICROS) return null;
  return { ...sync, ...change, timeMicros: Math.max(sync.timeMicros, timeMicros) };
}
