import { compareKeys, type BackingBatch, type StateBacking, type StoreMeta } from './backing.js';

/** A backing within the process: for the simulation, and for looking at a first start without leaving anything behind. */
export class MemoryBacking implements StateBacking {
  private readonly records = new Map<string, Buffer>();
  private readonly index = new Map<string, Set<string>>();
  private written: StoreMeta | null = null;

  meta(): StoreMeta | null {
    return this.written;
  }

  get(key: string): Buffer | undefined {
    return this.records.get(key);
  }

  indexed(entry: string, after: string | null, limit: number): string[] {
    const keys = this.index.get(entry);
    if (keys === undefined) return [];
    const wanted = after === null ? [...keys] : [...keys].filter((key) => compareKeys(key, after) > 0);
    return wanted.sort(compareKeys).slice(0, limit);
  }

  write({ records, index }: BackingBatch, meta: StoreMeta): void {
    for (const [key, bytes] of records) {
      if (bytes === null) this.records.delete(key);
      // A copy: the bytes are a view of a buffer shared with messages.
      else this.records.set(key, Buffer.from(bytes));
    }
    for (const [entry, changes] of index) {
      let keys = this.index.get(entry);
      if (keys === undefined) this.index.set(entry, (keys = new Set()));
      for (const [key, there] of changes) {
        if (there) keys.add(key);
        else keys.delete(key);
      }
      if (keys.size === 0) this.index.delete(entry);
    }
    this.written = meta;
  }

  clear(): void {
    this.records.clear();
    this.index.clear();
    this.written = null;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
