import { indexEntries, sameEntries } from '../../src/decision/entries.js';
import type { LinkRecord, StateRecord } from '../../src/decision/state.js';
import type { State } from '../../src/state/contract.js';

/** State in memory with its indexes; refuses what a real one could not keep apart: records changed after they were put. */
export class MemoryState implements State<StateRecord> {
  private readonly records = new Map<string, StateRecord>();
  private readonly entries = new Map<string, Set<string>>();
  private readonly entriesOf = new Map<string, readonly string[]>();

  get(key: string): StateRecord | undefined {
    return this.records.get(key);
  }

  put(key: string, record: StateRecord): void {
    const entries = indexEntries(record);
    const former = this.records.get(key);
    if (former !== undefined && sameEntries(former, record)) {
      const known = this.entriesOf.get(key) ?? [];
      if (known.join() !== entries.join())
        throw new Error(`${known.join()} are told to be the same as ${entries.join()}`);
    }
    this.unindex(key);
    this.records.set(key, deepFreeze(record));
    this.entriesOf.set(key, entries);
    for (const entry of entries) {
      const keys = this.entries.get(entry) ?? new Set();
      this.entries.set(entry, keys.add(key));
    }
  }

  delete(key: string): void {
    this.unindex(key);
    this.records.delete(key);
  }

  indexed(entry: string, options: { readonly after?: string; readonly limit?: number } = {}): string[] {
    const { after, limit } = options;
    const keys = [...(this.entries.get(entry) ?? [])].sort();
    return keys.filter((key) => after === undefined || key > after).slice(0, limit);
  }

  all(): StateRecord[] {
    return [...this.records.values()];
  }

  links(): LinkRecord[] {
    return this.all().filter((record) => record.kind === 'link');
  }

  private unindex(key: string): void {
    for (const entry of this.entriesOf.get(key) ?? []) {
      const keys = this.entries.get(entry);
      keys?.delete(key);
      if (keys?.size === 0) this.entries.delete(entry);
    }
    this.entriesOf.delete(key);
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
