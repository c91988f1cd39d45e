/** Something to wait for that may come again and again; a notice while nobody waits is kept for the next. */
export class Signal {
  #noticed = false;
  #waiting: (() => void) | null = null;

  notify(): void {
    this.#noticed = true;
    this.#waiting?.();
  }

  /** Resolves at the next notice, or when the time is over. One waits at a time. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.#noticed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#waiting = null;
    }
    this.#noticed = false;
  }
}
