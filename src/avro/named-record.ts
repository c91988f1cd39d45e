import type { AvroField } from './schema.js';

/** A plain object whose properties may be missing, which is not the same as null. */
type Properties<V> = Readonly<Record<string, V>>;

const NONE: readonly string[] = [];

/**
 * Between an object under a system's own names, some of them missing, and Avro's record, which has all fields under
 * names that Avro allows. Where the names agree and nothing is missing, which is usual, both are the same object.
 */
export class NamedRecord<V> {
  /** The system's own names, in the order of the fields. */
  readonly names: readonly string[];
  /** Own name to Avro's, and back, for those that differ. */
  private readonly toAvro: ReadonlyMap<string, string>;
  private readonly fromAvro: ReadonlyMap<string, string>;

  constructor(fields: readonly AvroField[]) {
    this.names = fields.map(({ name, column }) => column ?? name);
    const renamed = fields.flatMap(({ name, column }) => (column === undefined ? [] : [[column, name] as const]));
    this.toAvro = new Map(renamed);
    this.fromAvro = new Map(renamed.map(([own, avro]) => [avro, own]));
  }

  missing(record: Properties<V>): readonly string[] {
    let missing: string[] | null = null;
    for (const name of this.names) if (record[name] === undefined) (missing ??= []).push(name);
    return missing ?? NONE;
  }

  write(record: Properties<V>, without: readonly string[] = NONE): Properties<V> {
    if (this.toAvro.size === 0 && without.length === 0) return record;
    const written: Record<string, V> = {};
    for (const name of this.names) {
      const value = record[name];
      if (value !== undefined && !without.includes(name)) written[this.toAvro.get(name) ?? name] = value;
    }
    return written;
  }

  read(record: Properties<V>, missing: readonly string[] = NONE): Properties<V> {
    if (this.fromAvro.size === 0 && missing.length === 0) return record;
    const read: Record<string, V> = {};
    for (const name in record) {
      const own = this.fromAvro.get(name) ?? name;
      if (!missing.includes(own)) read[own] = record[name]!;
    }
    return read;
  }
}
