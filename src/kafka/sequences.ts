const MAX_SEQUENCE = 2 ** 31 - 1;

/** A producer's numbers: each partition's messages are counted, so that the broker knows again what is sent twice. */
export class Sequences {
  readonly #next = new Map<string, number>();

  /** The number of the first of `count` messages. */
  take(topic: string, partition: number, count: number): number {
    const key = `${topic}/${partition}`;
    const first = this.#next.get(key) ?? 0;
    const next = first + count;
    this.#next.set(key, next > MAX_SEQUENCE ? next - MAX_SEQUENCE - 1 : next);
    return first;
  }

  clear(): void {
    this.#next.clear();
  }
}
