/**
 * How values of a type travel into a statement and how two of them are compared: the one table of it.
 *
 * | type                                                     | sent as  | compared as                                       |
 * |----------------------------------------------------------|----------|---------------------------------------------------|
 * | boolean, integers, numeric, floats, dates, times, uuid, bytea | itself   | itself (NaN equals NaN, -0 equals 0, 12.5 equals 12.50) |
 * | text, varchar                                            | text     | text by its bytes, whatever the column's collation |
 * | char(n)                                                  | text     | without trailing spaces, by its bytes             |
 * | citext, json, jsonb, xml, enum, array, interval, range, … | text     | the type's own text, by its bytes                 |
 *
 * No cast carries a length: `::varchar(10)` would cut a text in silence, an assignment raises an error.
 */
export interface ColumnForm {
  /** Type of the array parameter that carries the column's values. */
  readonly parameter: string;
  /** The value of the column's type, from an element of that array. */
  fromElement(element: string): string;
  /** What is compared in an expectation, from an expression of the column's type. */
  comparable(expression: string): string;
  /** Whether `=` between column and value is the same everywhere and can use an index. */
  readonly hasEquality: boolean;
}

const itself = (expression: string): string => expression;

const SENT_AS_THEMSELVES: ReadonlySet<string> = new Set([
  'bool',
  'int2',
  'int4',
  'int8',
  'numeric',
  'float4',
  'float8',
  'date',
  'time',
  'timestamp',
  'timestamptz',
  'uuid',
  'bytea',
]);

const WITHOUT_EQUALITY: ReadonlySet<string> = new Set(['json', 'xml', 'point', 'polygon', 'line']);

/** `schema` and `name` are those of the type itself, or of the type under a domain. */
export function columnForm(schema: string, name: string, qualifiedType: string): ColumnForm {
  if (schema === 'pg_catalog' && SENT_AS_THEMSELVES.has(name)) {
    return { parameter: `${qualifiedType}[]`, fromElement: itself, comparable: itself, hasEquality: true };
  }
  if (schema === 'pg_catalog' && (name === 'text' || name === 'varchar')) {
    return {
      parameter: 'pg_catalog.text[]',
      fromElement: itself,
      comparable: (expression) => `CAST(${expression} AS pg_catalog.text) COLLATE "C"`,
      hasEquality: true,
    };
  }
  if (schema === 'pg_catalog' && name === 'bpchar') {
    return {
      parameter: 'pg_catalog.text[]',
      fromElement: (element) => `CAST(${element} AS pg_catalog.bpchar)`,
      comparable: (expression) => `CAST(${expression} AS pg_catalog.bpchar) COLLATE "C"`,
      hasEquality: true,
    };
  }
  return {
    parameter: 'pg_catalog.text[]',
    fromElement: (element) => `CAST(${element} AS ${qualifiedType})`,
    comparable: (expression) => `CAST(${expression} AS pg_catalog.text) COLLATE "C"`,
    hasEquality: !(schema === 'pg_catalog' && WITHOUT_EQUALITY.has(name)),
  };
}
