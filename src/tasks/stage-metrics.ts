import type { Outcome } from '../connector/contract.js';
import type { DecisionOutput } from '../decision/outputs.js';

/** Which task a figure is about; `sync` and `system` are empty where they mean nothing. */
export interface TaskLabels {
  readonly stage: 'source' | 'stream' | 'sink';
  readonly sync: string;
  readonly system: string;
}

/** What a task tells of itself while it works; names and labels are in metrics.ts. */
export interface StageMetrics {
  /** A transaction was committed: records taken in, messages given out, time from taking to committed. */
  committed(records: number, messages: number, seconds: number): void;
  /**
   * The commit time, in microseconds, up to which a system's changes are done, or null when all that is known is done.
   * The lag is the age of that time whenever somebody looks, so that it grows while a task is stuck.
   */
  behind(system: string, sinceMicros: number | null): void;
  /** Commands read and not yet answered. */
  inFlight(commands: number): void;
  /** Commands whose row somebody else has locked. */
  deferred(commands: number): void;
  outcomes(status: Outcome['status'], count: number): void;
  decision(entity: string, kind: DecisionOutput['decision']): void;
}

export const NO_METRICS: StageMetrics = {
  committed: () => undefined,
  behind: () => undefined,
  inFlight: () => undefined,
  deferred: () => undefined,
  outcomes: () => undefined,
  decision: () => undefined,
};
