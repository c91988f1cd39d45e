import { STORE_FORMAT, compareKeys, type StateBacking, type StoreMeta } from './backing.js';
import type { ByteState, StateCodec } from './contract.js';

/** One record of the changelog: null bytes are a tombstone. */
export interface StateChange {
  readonly key: string;
  readonly bytes: Buffer | null;
}

/** What the backing is told of the changelog it is a cache of. */
export type StoreIdentity = Pick<StoreMeta, 'cluster' | 'birth' | 'schemas'>;

export interface StoreLimits {
  /** The local store is written after so many committed transactions … */
  readonly flushTransactions: number;
  /** … or so many changed records … */
  readonly flushRecords: number;
  /** … or so many bytes of them, whichever comes first. */
  readonly flushBytes: number;
  /** Decoded records kept at hand … */
  readonly cachedRecords: number;
  /** … with so many bytes as they are written. */
  readonly cachedBytes: number;
}

/** So many that most links are written once for a change and its outcome; more saves no time (bench/README.md). */
export const STORE_LIMITS: StoreLimits = {
  flushTransactions: 50,
  flushRecords: 8000,
  flushBytes: 16 << 20,
  cachedRecords: 4000,
  cachedBytes: 32 << 20,
};

/** A record of so many bytes is large: what becomes of it is counted, for a few of them are as much as thousands of others. */
const LARGE_BYTES = 64 << 10;
/** Sizes of large records that are remembered. */
const MAX_SIZES = 10_000;

const NO_ENTRIES: readonly string[] = [];

interface Entry<T> {
  /** Null: deleted; undefined: not read from its bytes yet. */
  record: T | null | undefined;
  /** Null until asked for or sealed, and for a tombstone. */
  bytes: Buffer | null;
}

/** Changes above the backing: what was put or deleted, and what that does to the index. */
class Layer<T> {
  readonly records = new Map<string, Entry<T>>();
  readonly index = new Map<string, Map<string, boolean>>();
  /** Index entries that have got a key. */
  readonly gaining = new Set<string>();
  /** Of the records, once they are sealed. */
  bytes = 0;

  markIndex(entry: string, key: string, there: boolean): void {
    if (there) this.gaining.add(entry);
    let keys = this.index.get(entry);
    if (keys === undefined) this.index.set(entry, (keys = new Map()));
    mergeKey(keys, key, there);
  }

  /** Adds what it says of an index entry, if anything; true if keys may have come. */
  noteChanges(entry: string, changes: IndexChanges[]): boolean {
    const own = this.index.get(entry);
    if (own === undefined) return false;
    changes.push(own);
    return this.gaining.has(entry);
  }

  mergeFrom(newer: Layer<T>): void {
    this.bytes += newer.bytes;
    for (const [key, entry] of newer.records) this.records.set(key, entry);
    for (const entry of newer.gaining) this.gaining.add(entry);
    for (const [entry, keys] of newer.index) {
      const mine = this.index.get(entry);
      if (mine === undefined) this.index.set(entry, keys);
      else for (const [key, there] of keys) mergeKey(mine, key, there);
    }
  }
}

/**
 * The state of a sync: layers in memory above a local store that never runs ahead of Kafka (I3).
 *
 *     put ─▶ current ──seal()──▶ committing ──committed()──▶ committed ──flush()──▶ backing
 *               └──────────────discard()──────────┘
 *
 * `seal` gives the changelog's messages of one transaction; `committed` says that Kafka has them; the backing is
 * written now and then, together with the changelog offset that it then stands at. Records are immutable: a change is
 * a new record put under the same key.
 */
export class StateStore<T> implements ByteState<T> {
  private current = new Layer<T>();
  private committing: Layer<T>[] = [];
  private committedLayer = new Layer<T>();
  private committedTransactions = 0;
  private offset: number;
  private cache = new Map<string, T>();
  private cacheBefore = new Map<string, T>();
  private cachedBytes = 0;
  /** Bytes of the large records, as they were last read or written. */
  private readonly largeBytes = new Map<string, number>();
  private touched = 0;

  constructor(
    private readonly backing: StateBacking,
    private readonly codec: StateCodec<T>,
    /** Which changelog it is the state of; asked for when the backing is written. */
    private readonly identity: () => StoreIdentity,
    private readonly nowMs: () => number,
    private readonly limits: StoreLimits = STORE_LIMITS,
  ) {
    this.offset = backing.meta()?.offset ?? 0;
  }

  /** First offset of the changelog that is in no layer. */
  get changelogOffset(): number {
    return this.offset;
  }

  /** Bytes of large records that were read since the last transaction was sealed, each time they were. */
  get touchedBytes(): number {
    return this.touched;
  }

  get(key: string): T | undefined {
    if (this.largeBytes.size > 0) this.touched += this.largeBytes.get(key) ?? 0;
    const layered = this.layered(key);
    if (layered !== undefined) return this.recordOf(layered);
    const cached = this.cache.get(key) ?? this.cacheBefore.get(key);
    if (cached !== undefined) return cached;
    const bytes = this.backing.get(key);
    if (bytes === undefined) return undefined;
    const record = this.codec.decode(bytes);
    if (bytes.length >= LARGE_BYTES && !this.largeBytes.has(key)) this.touched += bytes.length;
    this.remember(key, record, bytes.length);
    return record;
  }

  bytes(key: string): Buffer | undefined {
    if (this.largeBytes.size > 0) this.touched += this.largeBytes.get(key) ?? 0;
    const layered = this.layered(key);
    if (layered !== undefined) return this.bytesOf(layered) ?? undefined;
    const bytes = this.backing.get(key);
    if (bytes !== undefined && bytes.length >= LARGE_BYTES && !this.largeBytes.has(key)) {
      this.touched += bytes.length;
      this.noteLarge(key, bytes.length);
    }
    return bytes;
  }

  putBytes(key: string, bytes: Buffer, gone: readonly string[], come: readonly string[]): void {
    const { current } = this;
    for (const entry of gone) current.markIndex(entry, key, false);
    for (const entry of come) current.markIndex(entry, key, true);
    current.records.set(key, { record: undefined, bytes });
  }

  put(key: string, record: T): void {
    this.replace(key, record, null);
  }

  delete(key: string): void {
    this.replace(key, null, null);
  }

  indexed(entry: string, options: { readonly after?: string; readonly limit?: number } = {}): string[] {
    const after = options.after ?? null;
    const limit = options.limit ?? Number.MAX_SAFE_INTEGER;
    const changes: IndexChanges[] = [];
    let gains = this.current.noteChanges(entry, changes);
    for (let at = this.committing.length - 1; at >= 0; at--) {
      gains = this.committing[at]!.noteChanges(entry, changes) || gains;
    }
    gains = this.committedLayer.noteChanges(entry, changes) || gains;
    if (changes.length === 0) return this.backing.indexed(entry, after, limit);
    const found: string[] = [];
    /** Everything stored up to here has been looked at; null: all there is. */
    let until: string | null = after;
    for (;;) {
      const page = this.backing.indexed(entry, until, limit);
      for (const key of page) if (newest(changes, key) !== false) found.push(key);
      until = page.length < limit ? null : page[page.length - 1]!;
      if (until === null || found.length >= limit) break;
    }
    return (gains ? withGains(found, changes, after, until) : found).slice(0, limit);
  }

  /** Nothing but this record has been put since the last seal. */
  hasOnlyChanged(key: string): boolean {
    const { records } = this.current;
    return records.size === 0 || (records.size === 1 && records.has(key));
  }

  /** Ends the present transaction's changes and gives what the changelog has to say of them. */
  seal(): StateChange[] {
    const layer = this.current;
    const changes: StateChange[] = [];
    for (const [key, entry] of layer.records) {
      const bytes = this.bytesOf(entry);
      this.measure(layer, key, bytes);
      changes.push({ key, bytes });
    }
    this.touched = 0;
    this.committing.push(layer);
    this.current = new Layer();
    return changes;
  }

  /** Kafka has the oldest sealed transaction; `offset` follows its last record in the changelog. */
  committed(offset: number): void {
    const layer = this.committing.shift();
    if (layer !== undefined) this.committedLayer.mergeFrom(layer);
    this.offset = offset;
    this.committedTransactions++;
    if (this.committedTransactions >= this.limits.flushTransactions || this.isFull()) this.flush();
  }

  /** Takes records read from the changelog, up to before `offset`. */
  restore(changes: Iterable<StateChange>, offset: number): void {
    for (const { key, bytes } of changes) {
      this.replace(key, bytes === null ? null : this.codec.decode(bytes), bytes);
      this.measure(this.current, key, bytes);
    }
    this.touched = 0;
    this.committedLayer.mergeFrom(this.current);
    this.current = new Layer();
    this.offset = offset;
    if (this.isFull()) this.flush();
  }

  /** Writes what Kafka has to the backing. */
  flush(): void {
    const layer = this.committedLayer;
    this.committedTransactions = 0;
    const bytesOf = function* (): Generator<readonly [string, Buffer | null]> {
      for (const [key, { bytes }] of layer.records) yield [key, bytes];
    };
    this.backing.write({ records: bytesOf(), index: layer.index }, this.meta());
    this.committedLayer = new Layer();
    for (const [key, { record, bytes }] of layer.records) {
      // What was never read as a record is read from its bytes when it is wanted.
      if (record === null || record === undefined) this.forget(key);
      else this.remember(key, record, bytes?.length ?? 0);
    }
  }

  /** Forgets everything, the backing included: the changelog is read from its start. */
  clear(): void {
    this.discard();
    this.committedLayer = new Layer();
    this.cache.clear();
    this.cacheBefore.clear();
    this.cachedBytes = 0;
    this.largeBytes.clear();
    this.backing.clear();
    this.offset = 0;
  }

  /** Forgets everything that Kafka may not have. */
  discard(): void {
    this.current = new Layer();
    this.committing = [];
    this.touched = 0;
  }

  /** Writes what Kafka has and closes the backing. */
  async close(): Promise<void> {
    this.discard();
    this.flush();
    await this.backing.close();
  }

  private meta(): StoreMeta {
    return { format: STORE_FORMAT, ...this.identity(), offset: this.offset, writtenAtMs: this.nowMs() };
  }

  private replace(key: string, record: T | null, bytes: Buffer | null): void {
    const { codec, current } = this;
    const old = this.get(key);
    if (old !== undefined && record !== null && codec.sameEntries(old, record)) {
      current.records.set(key, { record, bytes });
      return;
    }
    const were = old === undefined ? NO_ENTRIES : codec.indexEntries(old);
    const are = record === null ? NO_ENTRIES : codec.indexEntries(record);
    for (const entry of were) if (!are.includes(entry)) current.markIndex(entry, key, false);
    for (const entry of are) if (!were.includes(entry)) current.markIndex(entry, key, true);
    current.records.set(key, { record, bytes });
  }

  private recordOf(entry: Entry<T>): T | undefined {
    if (entry.record === undefined) entry.record = this.codec.decode(entry.bytes!);
    return entry.record ?? undefined;
  }

  private bytesOf(entry: Entry<T>): Buffer | null {
    if (entry.bytes === null && entry.record !== null) entry.bytes = this.codec.encode(entry.record!);
    return entry.bytes;
  }

  private layered(key: string): Entry<T> | undefined {
    const own = this.current.records.get(key);
    if (own !== undefined) return own;
    for (let at = this.committing.length - 1; at >= 0; at--) {
      const entry = this.committing[at]!.records.get(key);
      if (entry !== undefined) return entry;
    }
    return this.committedLayer.records.get(key);
  }

  private isFull(): boolean {
    const { bytes, records } = this.committedLayer;
    return records.size >= this.limits.flushRecords || bytes >= this.limits.flushBytes;
  }

  private measure(layer: Layer<T>, key: string, bytes: Buffer | null): void {
    const size = bytes?.length ?? 0;
    layer.bytes += size;
    if (size >= LARGE_BYTES) this.noteLarge(key, size);
    else if (this.largeBytes.size > 0) this.largeBytes.delete(key);
  }

  private noteLarge(key: string, size: number): void {
    if (this.largeBytes.size >= MAX_SIZES) this.largeBytes.clear();
    this.largeBytes.set(key, size);
  }

  /** Two generations: the older is dropped when the younger is full. */
  private remember(key: string, record: T, size: number): void {
    const { cachedBytes, cachedRecords } = this.limits;
    if (size >= LARGE_BYTES) this.noteLarge(key, size);
    // One that is as large as all that may be kept would only drive out the others.
    if (size > cachedBytes / 2) return this.forget(key);
    if (this.cache.size >= cachedRecords / 2 || this.cachedBytes + size > cachedBytes / 2) {
      this.cacheBefore = this.cache;
      this.cache = new Map();
      this.cachedBytes = 0;
    }
    this.cachedBytes += size;
    this.cache.set(key, record);
  }

  private forget(key: string): void {
    this.cache.delete(key);
    this.cacheBefore.delete(key);
  }
}

/** An entry that came and went, or went and came, is as it was before both. */
function mergeKey(older: Map<string, boolean>, key: string, there: boolean): void {
  const was = older.get(key);
  if (was === undefined) older.set(key, there);
  else if (was !== there) older.delete(key);
}

type IndexChanges = ReadonlyMap<string, boolean>;

/** What the newest layer that knows of the key says. */
function newest(changes: readonly IndexChanges[], key: string): boolean | undefined {
  for (const layer of changes) {
    const there = layer.get(key);
    if (there !== undefined) return there;
  }
  return undefined;
}

/** With the keys that came, after `after`; what lies behind `until`, unless that is null, comes with the next page. */
function withGains(
  found: readonly string[],
  changes: readonly IndexChanges[],
  after: string | null,
  until: string | null,
): readonly string[] {
  const known = new Set(found);
  for (const layer of changes) {
    for (const [key, there] of layer) {
      if (!there || known.has(key) || newest(changes, key) !== true) continue;
      if (after !== null && compareKeys(key, after) <= 0) continue;
      if (until !== null && compareKeys(key, until) >= 0) continue;
      known.add(key);
    }
  }
  return known.size === found.length ? found : [...known].sort(compareKeys);
}
