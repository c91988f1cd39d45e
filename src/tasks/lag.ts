import type { TaskLabels } from './stage-metrics.js';
import type { TaskPhase } from './task-loop.js';

interface Entry {
  readonly labels: TaskLabels;
  /** Commit time up to which all is done; null when nothing more is known to wait. */
  sinceMicros: number | null;
}

interface TaskLag {
  readonly bySystem: Map<string, Entry>;
  /** Since when the task has been without its lease here. */
  awaySinceMs: number | null;
}

/** A lease that is free comes within seconds; after so long another process had it, and what we knew is old. */
const ELSEWHERE_AFTER_MS = 30_000;

/**
 * How far each task is behind. A task that works tells it; one in trouble was last known to have caught up when the
 * trouble began, and falls behind from then on; one that another process has is not our figure.
 */
export class Lag {
  private readonly tasks = new Map<string, TaskLag>();

  constructor(private readonly nowMs: () => number) {}

  behind(task: TaskLabels, system: string, sinceMicros: number | null): void {
    const { bySystem } = this.of(task);
    const entry = bySystem.get(system);
    if (entry === undefined) bySystem.set(system, { labels: { ...task, system }, sinceMicros });
    else entry.sinceMicros = sinceMicros;
  }

  phase(task: TaskLabels, phase: TaskPhase): void {
    const lag = this.of(task);
    const nowMs = this.nowMs();
    if (phase === 'waiting' || phase === 'stopped') {
      lag.awaySinceMs ??= nowMs;
      return;
    }
    if (lag.awaySinceMs !== null && nowMs - lag.awaySinceMs > ELSEWHERE_AFTER_MS) lag.bySystem.clear();
    lag.awaySinceMs = null;
    if (phase !== 'pausing' && phase !== 'failed') return;
    // Its first life may have ended before it could tell anything.
    if (lag.bySystem.size === 0) this.behind(task, task.system, null);
    for (const entry of lag.bySystem.values()) entry.sinceMicros ??= nowMs * 1000;
  }

  *seconds(): Generator<{ readonly labels: TaskLabels; readonly seconds: number }> {
    const nowSeconds = this.nowMs() / 1000;
    for (const { awaySinceMs, bySystem } of this.tasks.values()) {
      if (awaySinceMs !== null) continue;
      for (const { labels, sinceMicros } of bySystem.values()) {
        yield { labels, seconds: sinceMicros === null ? 0 : Math.max(0, nowSeconds - sinceMicros / 1e6) };
      }
    }
  }

  private of({ stage, sync, system }: TaskLabels): TaskLag {
    const name = `${stage}/${sync}/${system}`;
    let lag = this.tasks.get(name);
    if (lag === undefined) this.tasks.set(name, (lag = { bySystem: new Map(), awaySinceMs: null }));
    return lag;
  }
}
