/**
 * A column's or field's value in its one comparable form: two values are equal when `===` says so.
 *
 * | type                    | form                                                                     |
 * |-------------------------|--------------------------------------------------------------------------|
 * | boolean                 | boolean                                                                  |
 * | int16, int32            | number                                                                   |
 * | int64                   | number when a safe integer, else bigint                                  |
 * | float32, float64        | number; NaN, Infinity, -Infinity as those texts; -0 becomes 0            |
 * | decimal                 | text with the type's scale ("12.50"); without precision as the system gives it; NaN, Infinity as text |
 * | date                    | days since 1970-01-01 as number; infinity, -infinity as text             |
 * | timestamp, timestamptz  | microseconds since 1970 (UTC for timestamptz), as int64; infinity, -infinity as text |
 * | time                    | microseconds since midnight as number                                    |
 * | bytes                   | lower-case hexadecimal text                                              |
 * | uuid, text, json, text forms of all else | text as the system gives it                             |
 */
export type Value = null | boolean | number | bigint | string;

/** One row of a system: column name to value. A column that is missing was not sent (see `Change.unchanged`). */
export type Row = Readonly<Record<string, Value>>;

/** The form of an int64: a number while that is exact, else a bigint, so that `===` compares. */
export function int64(value: bigint | number): number | bigint {
  if (typeof value === 'number') return value;
  const asNumber = Number(value);
  return Number.isSafeInteger(asNumber) ? asNumber : value;
}

/**
 * The text by which a record is known: the key columns' values in the table's key order,
 * joined by "," (a "," or "\" in a text is escaped by "\").
 */
export function recordKey(row: Row, keyColumns: readonly string[]): string {
  if (keyColumns.length === 1) return escapeKeyPart(row[keyColumns[0]!] ?? null);
  return keyColumns.map((column) => escapeKeyPart(row[column] ?? null)).join(',');
}

/** The parts of a record key, unescaped, as texts in the table's key order. */
export function recordKeyParts(key: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < key.length; at++) {
    const character = key[at]!;
    if (character === '\\') part += key[++at] ?? '';
    else if (character === ',') {
      parts.push(part);
      part = '';
    } else part += character;
  }
  parts.push(part);
  return parts;
}

function escapeKeyPart(value: Value): string {
  const text = String(value);
  return text.includes(',') || text.includes('\\') ? text.replace(/[\\,]/g, '\\$&') : text;
}
