/**
 * The state of one sync as the decision sees it: records by key, and derived indexes over them.
 * Writes are seen by later reads at once; they become durable with the Kafka transaction (I3).
 */
export interface State<T> {
  get(key: string): T | undefined;
  put(key: string, record: T): void;
  delete(key: string): void;
  /** Keys of the records that carry this index entry, in key order, after `after`, at most `limit`. */
  indexed(entry: string, options?: { readonly after?: string; readonly limit?: number }): string[];
}

/** The same by its bytes, for who can do without the records (src/quiet). */
export interface ByteState<T> extends State<T> {
  /** A record as it is written; undefined where there is none. */
  bytes(key: string): Buffer | undefined;
  /** A record in its written form, with the index entries that it has lost and got. */
  putBytes(key: string, bytes: Buffer, gone: readonly string[], come: readonly string[]): void;
}

/** How records become bytes, and which index entries each carries. A record's entries are a function of the record alone. */
export interface StateCodec<T> {
  encode(record: T): Buffer;
  decode(bytes: Buffer): T;
  indexEntries(record: T): readonly string[];
  /** True only where both records of a key carry the same entries; false may be wrong. Spares making them. */
  sameEntries(left: T, right: T): boolean;
}
