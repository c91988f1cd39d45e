/** What the store keeps below its layers: bytes by key, an index, and where in the changelog it stands. */
export interface StateBacking {
  /** Null for a store that has nothing to go by yet: the whole changelog is read. */
  meta(): StoreMeta | null;
  get(key: string): Buffer | undefined;
  /** Keys under an index entry, in the order of their UTF-8 bytes, after `after`. */
  indexed(entry: string, after: string | null, limit: number): string[];
  /** All or nothing, the meta included. */
  write(batch: BackingBatch, meta: StoreMeta): void;
  clear(): void;
  close(): Promise<void>;
}

export interface BackingBatch {
  /** Null deletes. */
  readonly records: Iterable<readonly [key: string, bytes: Buffer | null]>;
  /** Index entry to keys: true adds, false removes. */
  readonly index: ReadonlyMap<string, ReadonlyMap<string, boolean>>;
}

/** Which changelog the store is a cache of, and up to where. */
export interface StoreMeta {
  readonly format: number;
  readonly cluster: string;
  /** Birth id of the changelog. */
  readonly birth: string;
  /** First offset of the changelog that is not in the store. */
  readonly offset: number;
  readonly writtenAtMs: number;
  /** Ids of the schemas that its records were written under. */
  readonly schemas: readonly number[];
}

/** Raised with the layout of a store; a store of another layout is made anew from the changelog. */
export const STORE_FORMAT = 3;

/** The order of UTF-8 bytes, which is the order of keys in every backing. */
export function compareKeys(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a !== b) return utf8Rank(a) - utf8Rank(b);
  }
  return left.length - right.length;
}

/** Surrogates stand for characters above all others. */
function utf8Rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
