import type { Client } from './log.js';

/** Thrown out of a round trip whose connection was cut. */
export class ConnectionLost extends Error {}

/**
 * One task's process. It runs only while it is stepped: at every round trip it stops once its allowance is used up,
 * and there it can be ended for good (its promises never settle, as if the machine were off), cut off, or left behind.
 */
export class SimulatedProcess implements Client {
  /** Records of each topic that the next fetches may bring, and a part of a topic's name that brings none. */
  records: number | null = null;
  slow: string | null = null;
  private allowance = 0;
  private cutAfter: number | null = null;
  private readonly waiting: (() => void)[] = [];
  private onStopped: (() => void) | null = null;
  private dead = false;
  private started = false;
  /** False once its last step found nothing to do. */
  busy = true;
  /** Taken for dead by the broker, and yet alive. */
  leftBehind = false;
  /** Errors by which the task's lives ended. */
  readonly errors: string[] = [];
  /** Those that must not happen whatever befalls the process. */
  readonly defects: Error[] = [];

  /** @param main begins the process's life, which calls `idle` after each step */
  constructor(
    readonly name: string,
    private readonly main: (process: SimulatedProcess) => void,
  ) {}

  /** Lets the process run until it has made so many round trips or has finished a step. */
  async step(roundTrips: number): Promise<void> {
    if (this.dead) return;
    this.allowance = roundTrips;
    this.busy = true;
    const stopped = new Promise<void>((resolve) => {
      this.onStopped = resolve;
    });
    if (!this.started) {
      this.started = true;
      this.main(this);
    } else {
      for (const resume of this.waiting.splice(0)) resume();
    }
    await stopped;
  }

  /** Between two steps, and where the process pauses. */
  async idle(): Promise<void> {
    await this.stop();
  }

  async roundTrip(point: string): Promise<void> {
    if (this.allowance <= 0) await this.stop();
    this.allowance -= 1;
    if (this.cutAfter !== null && this.cutAfter-- <= 0) {
      this.cutAfter = null;
      throw new ConnectionLost(point);
    }
  }

  fetchLimit(topic: string): number {
    if (this.slow !== null && topic.includes(this.slow)) return 0;
    return this.records ?? Number.POSITIVE_INFINITY;
  }

  /** The power goes off: nothing of it ever happens again. */
  end(): void {
    this.dead = true;
    this.waiting.length = 0;
  }

  /** The process ended by itself, for good. */
  fail(): void {
    this.end();
    this.onStopped?.();
  }

  isMember(): boolean {
    return !this.dead && !this.leftBehind;
  }

  cut(after: number): void {
    this.cutAfter = after;
  }

  private stop(): Promise<void> {
    return new Promise((resume) => {
      this.waiting.push(resume);
      const stopped = this.onStopped;
      this.onStopped = null;
      stopped?.();
    });
  }
}
