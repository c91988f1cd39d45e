import type { TaskStatus } from '../tasks/task-loop.js';

export interface Readiness {
  readonly ready: boolean;
  /** Tasks that are not ready, with their phase and the code of what stopped them. */
  readonly waitingFor: readonly string[];
}

/**
 * Ready is a process whose tasks all run or stand by. A task that waits for its lease counts as a standby once it has
 * waited for longer than a lease outlives its holder: before, it may yet be the first to have it.
 */
export function readiness(tasks: readonly TaskStatus[], uptimeMs: number, sessionTimeoutMs: number): Readiness {
  const standBy = uptimeMs > 2 * sessionTimeoutMs;
  const waitingFor = tasks
    .filter(({ phase, error }) => phase !== 'running' && !(phase === 'waiting' && error === null && standBy))
    .map(({ name, phase, error }) => `${name}: ${phase}${error === null ? '' : ` (${error.code})`}`);
  return { ready: waitingFor.length === 0, waitingFor };
}
