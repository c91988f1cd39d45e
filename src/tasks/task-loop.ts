import { DuologError } from '../errors/duolog-error.js';
import type { Lease, Tenure } from '../log/contract.js';
import type { Clock } from './clock.js';
import type { Task } from './task.js';

/**
 * The life of a task's place in this process:
 *
 *        ┌──────────────────────────── stop ────────────────────────────┐
 *        │                                                              ▼
 *     waiting ──lease──▶ opening ──▶ running ──error, lease lost──▶ closing ──stop──▶ stopped
 *      ▲   │               └───────────────error────────────────────▶ │
 *      │   └ a standby keeps its state up to date meanwhile           │ lease given back
 *      └───────────────────────── pausing ◀───────────────────────────┘
 *
 * Every life begins with a new lease: only an assignment entitles to fence, and nothing is carried on from memory.
 * After an error that says `never` the place has failed and does not try again.
 */
export interface TaskLoopOptions {
  /** For the log and the status: `source crm`. */
  readonly name: string;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly createTask: () => Task;
  /** What a standby does again and again while another process holds the lease. */
  readonly standBy?: (over: AbortSignal) => Promise<void>;
  readonly onChange?: (status: TaskStatus) => void;
  /** Another process has the lease. */
  readonly onElsewhere?: () => void;
  readonly pauses?: TaskPauses;
}

export type TaskPhase = 'waiting' | 'opening' | 'running' | 'closing' | 'pausing' | 'failed' | 'stopped';

export interface TaskStatus {
  readonly name: string;
  readonly phase: TaskPhase;
  /** Of the last life, until the next one is running. */
  readonly error: DuologError | null;
  /** Lives that ended with an error or by losing the lease. */
  readonly restarts: number;
}

export interface TaskPauses {
  /** After the first error in a row; doubles with each further one. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** Where only a person can help. */
  readonly operatorMs: number;
  readonly standByMs: number;
}

export const TASK_PAUSES: TaskPauses = { firstMs: 200, longestMs: 10_000, operatorMs: 30_000, standByMs: 500 };

/** Steps after which a life counts as healthy, so that the next error begins with a short pause again. */
const HEALTHY_STEPS = 20;

export class TaskLoop {
  private readonly stopping = new AbortController();
  private readonly pauses: TaskPauses;
  private current: TaskStatus;
  private failures = 0;
  private ended: Promise<void> | null = null;

  constructor(private readonly options: TaskLoopOptions) {
    this.pauses = options.pauses ?? TASK_PAUSES;
    this.current = { name: options.name, phase: 'waiting', error: null, restarts: 0 };
  }

  status(): TaskStatus {
    return this.current;
  }

  start(): void {
    this.ended ??= this.run();
  }

  /** Finishes the step in hand, closes the task and gives the lease back. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.ended;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const error = await this.life();
      if (this.stopping.signal.aborted) break;
      if (error?.retry === 'never') return this.change({ phase: 'failed', error });
      this.change({ phase: error === null ? 'waiting' : 'pausing', error, restarts: this.current.restarts + 1 });
      await this.options.clock.pause(this.pauseMs(error), this.stopping.signal);
    }
    this.change({ phase: 'stopped' });
  }

  /** One life; gives the error that ended it, or null where the lease was lost or a stop was asked for. */
  private async life(): Promise<DuologError | null> {
    let tenure: Tenure | null = null;
    let task: Task | null = null;
    this.change({ phase: 'waiting' });
    try {
      tenure = await this.acquire();
      this.change({ phase: 'opening' });
      task = this.options.createTask();
      await task.open();
      this.change({ phase: 'running', error: null });
      await this.stepUntilOver(task, tenure);
      return null;
    } catch (error) {
      return this.stopping.signal.aborted && tenure === null ? null : asDuologError(error);
    } finally {
      if (task !== null) this.change({ phase: 'closing' });
      await task?.close();
      await tenure?.release().catch(() => undefined);
    }
  }

  private async stepUntilOver(task: Task, tenure: Tenure): Promise<void> {
    let steps = 0;
    while (!this.stopping.signal.aborted && !tenure.lost.aborted) {
      await task.step();
      if (++steps === HEALTHY_STEPS) this.failures = 0;
    }
  }

  /** Waits for the lease; meanwhile the standby does its work, and has finished it before the lease is used. */
  private async acquire(): Promise<Tenure> {
    const { lease, standBy, onElsewhere, clock } = this.options;
    const acquiring = lease.acquire(this.stopping.signal, onElsewhere);
    if (standBy === undefined) return acquiring;
    const acquired = new AbortController();
    const over = () => acquired.abort();
    acquiring.then(over, over);
    while (!acquired.signal.aborted) {
      // A standby that cannot read is no reason to give up: opening says what is wrong.
      await standBy(acquired.signal).catch(() => undefined);
      await clock.pause(this.pauses.standByMs, acquired.signal);
    }
    return acquiring;
  }

  private pauseMs(error: DuologError | null): number {
    const { firstMs, longestMs, operatorMs } = this.pauses;
    if (error === null || error.retry === 'now') return 0;
    if (error.retry === 'operator') return operatorMs;
    const pauseMs = Math.min(longestMs, firstMs * 2 ** Math.min(this.failures++, 20));
    // Not all tasks at the same moment.
    return pauseMs * (0.75 + Math.random() / 4);
  }

  private change(part: Partial<TaskStatus>): void {
    this.current = { ...this.current, ...part };
    this.options.onChange?.(this.current);
  }
}

function asDuologError(error: unknown): DuologError {
  if (error instanceof DuologError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new DuologError('INTERNAL', message, { cause: error });
}
