import type { ColumnType } from '../../src/model/table.js';

/** A column's type as pg_type knows it; for a domain, the base type below all domains, with the typmod that holds there. */
export interface CatalogueType {
  /** Name within pg_catalog, or null for a type of the user's own (enum, composite, extension). */
  readonly builtIn: string | null;
  /** -1 where the type has none. */
  readonly typmod: number;
  /** Qualified as format_type() says it: `numeric(12,2)`, `app.colour`. */
  readonly formatted: string;
}

/**
 * How a Postgres type is carried:
 *
 * | Postgres                                 | kind                                       |
 * |------------------------------------------|--------------------------------------------|
 * | boolean, smallint, integer, bigint, real, double precision | boolean … float64        |
 * | oid                                      | int64                                      |
 * | numeric                                  | decimal (NaN and infinity as texts)        |
 * | text, varchar, char, name, "char"        | text                                       |
 * | date, timestamp, timestamptz, time       | the same                                   |
 * | uuid, json, jsonb, bytea                 | uuid, json, json, bytes                    |
 * | domains                                  | as their base type                         |
 * | arrays, enums, ranges, composites, interval, timetz, money, xml, inet, bit, tsvector, extensions' types … | native: Postgres' own text |
 */
export function columnType(type: CatalogueType): ColumnType {
  switch (type.builtIn) {
    case 'bool':
      return { kind: 'boolean' };
    case 'int2':
      return { kind: 'int16' };
    case 'int4':
      return { kind: 'int32' };
    case 'int8':
    case 'oid':
      return { kind: 'int64' };
    case 'float4':
      return { kind: 'float32' };
    case 'float8':
      return { kind: 'float64' };
    case 'numeric':
      return { kind: 'decimal', ...precisionAndScale(type.typmod) };
    case 'text':
    case 'name':
    case 'char':
      return { kind: 'text', maxLength: null };
    case 'varchar':
      return { kind: 'text', maxLength: type.typmod < 4 ? null : type.typmod - 4 };
    case 'bpchar':
      return type.typmod < 4
        ? { kind: 'text', maxLength: null }
        : { kind: 'text', maxLength: type.typmod - 4, padded: true };
    case 'date':
    case 'timestamp':
    case 'timestamptz':
    case 'time':
    case 'uuid':
    case 'json':
      return { kind: type.builtIn };
    case 'jsonb':
      return { kind: 'json' };
    case 'bytea':
      return { kind: 'bytes' };
    default:
      return { kind: 'native', nativeType: type.formatted };
  }
}

/** A numeric's typmod holds precision above 16 bits and, since Postgres 15, a scale from -1000 to 1000 in the low 11. */
function precisionAndScale(typmod: number): { readonly precision: number | null; readonly scale: number | null } {
  if (typmod < 4) return { precision: null, scale: null };
  const packed = typmod - 4;
  const low = packed & 0x7ff;
  return { precision: (packed >> 16) & 0xffff, scale: low > 1023 ? low - 2048 : low };
}
