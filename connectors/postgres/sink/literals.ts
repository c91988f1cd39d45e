import type { ColumnType } from '../../../src/model/table.js';
import type { Value } from '../../../src/model/value.js';
import { keyPartText, valueText } from '../value-text.js';

/** Kinds whose texts hold no character that an array literal would need quotes for. */
const PLAIN_KINDS: ReadonlySet<ColumnType['kind']> = new Set([
  'boolean',
  'int16',
  'int32',
  'int64',
  'float32',
  'float64',
  'decimal',
  'date',
  'timestamp',
  'timestamptz',
  'time',
  'uuid',
]);

/** An array literal of one column's values, null as NULL. Written by hand because it is most of what a batch costs. */
export function arrayLiteral(type: ColumnType, values: readonly Value[]): string {
  const plain = PLAIN_KINDS.has(type.kind);
  let literal = '{';
  for (let at = 0; at < values.length; at++) {
    if (at > 0) literal += ',';
    const value = values[at]!;
    if (value === null) literal += 'NULL';
    else if (plain) literal += valueText(value, type);
    else literal += quoted(valueText(value, type));
  }
  return `${literal}}`;
}

/** An array literal of parts of record keys (see `recordKey`), turned into the texts that Postgres reads. */
export function keyArrayLiteral(type: ColumnType, parts: readonly string[]): string {
  let literal = '{';
  for (let at = 0; at < parts.length; at++) {
    const text = quoted(keyPartText(parts[at]!, type));
    literal += at === 0 ? text : `,${text}`;
  }
  return `${literal}}`;
}

function quoted(text: string): string {
  return text.includes('"') || text.includes('\\') ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`;
}
