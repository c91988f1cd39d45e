import type { Outcome } from '../connector/contract.js';
import type { DecisionOutput } from '../decision/outputs.js';

/** What a task tells of itself while it works; names and labels are in metrics.ts. */
export interface StageMetrics {
  /** A transaction was committed: records taken in, messages given out, time from taking to committed. */
  committed(records: number, messages: number, seconds: number): void;
  /** Age of the oldest thing this task knows of and has not done, by system; 0 when it has caught up. */
  lag(system: string, seconds: number): void;
  /** Commands read and not yet answered. */
  inFlight(commands: number): void;
  /** Commands whose row somebody else has locked. */
  deferred(commands: number): void;
  outcome(status: Outcome['status']): void;
  decision(entity: string, kind: DecisionOutput['decision']): void;
}

export const NO_METRICS: StageMetrics = {
  committed: () => undefined,
  lag: () => undefined,
  inFlight: () => undefined,
  deferred: () => undefined,
  outcome: () => undefined,
  decision: () => undefined,
};
