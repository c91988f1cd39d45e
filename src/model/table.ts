/** A column's type, the same for every kind of system. `text` with a `note` is the documented text form of a type without one of its own. */
export type ColumnType =
  | { readonly kind: 'boolean' | 'int16' | 'int32' | 'int64' | 'float32' | 'float64' }
  | { readonly kind: 'decimal'; readonly precision: number | null; readonly scale: number | null }
  /** `padded`: shown with spaces up to its length, which mean nothing: char(n). */
  | { readonly kind: 'text'; readonly maxLength: number | null; readonly padded?: boolean }
  | { readonly kind: 'date' | 'timestamp' | 'timestamptz' | 'time' | 'uuid' | 'json' | 'bytes' }
  /** A type carried as its system's own text: enum, array, interval, range, xml, … */
  | { readonly kind: 'native'; readonly nativeType: string };

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** The system's own name of the type, for people: `character varying(40)`. */
  readonly nativeType: string;
  readonly nullable: boolean;
  /** The database fills it on insert: default, sequence, identity or generated. */
  readonly hasDefault: boolean;
  /** Never writable: a generated column. */
  readonly generated: boolean;
  readonly comment: string | null;
}

/** What a system's catalogue says of a table. Order of columns is the table's own. */
export interface TableShape {
  readonly system: string;
  readonly entity: string;
  /** Qualified name in the system: `public.company`. */
  readonly table: string;
  readonly columns: readonly Column[];
  /** Key columns in key order; their values are a record's key. */
  readonly key: readonly string[];
  readonly comment: string | null;
}
