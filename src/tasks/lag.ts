import type { TaskLabels } from './stage-metrics.js';
import type { TaskPhase } from './task-loop.js';

interface Entry {
  readonly labels: TaskLabels;
  /** Commit time up to which all is done; null when nothing more is known to wait. */
  sinceMicros: number | null;
}

interface TaskLag {
  readonly bySystem: Map<string, Entry>;
  /** Its last life ended with an error, and it has not worked since. */
  inTrouble: boolean;
  /** Another process has the task, or none should. */
  away: boolean;
}

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
    // One in trouble waits for its lease because nobody can have it, until somebody is known to.
    lag.away = phase === 'stopped' || (phase === 'waiting' && (lag.away || !lag.inTrouble));
    if (phase === 'running') lag.inTrouble = false;
    if (phase !== 'pausing' && phase !== 'failed') return;
    lag.inTrouble = true;
    // Its first life may have ended before it could tell anything.
    if (lag.bySystem.size === 0) this.behind(task, task.system, null);
    for (const entry of lag.bySystem.values()) entry.sinceMicros ??= this.nowMs() * 1000;
  }

  /** Another process has the task: what we knew of it is old. */
  elsewhere(task: TaskLabels): void {
    const lag = this.of(task);
    lag.away = true;
    lag.inTrouble = false;
    lag.bySystem.clear();
  }

  *seconds(): Generator<{ readonly labels: TaskLabels; readonly seconds: number }> {
    const nowSeconds = this.nowMs() / 1000;
    for (const { away, bySystem } of this.tasks.values()) {
      if (away) continue;
      for (const { labels, sinceMicros } of bySystem.values()) {
        yield { labels, seconds: sinceMicros === null ? 0 : Math.max(0, nowSeconds - sinceMicros / 1e6) };
      }
    }
  }

  private of({ stage, sync, system }: TaskLabels): TaskLag {
    const name = `${stage}/${sync}/${system}`;
    let lag = this.tasks.get(name);
    if (lag === undefined) this.tasks.set(name, (lag = { bySystem: new Map(), inTrouble: false, away: false }));
    return lag;
  }
}
