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

/** What came as text may be anything (`1,5`): only what certainly is a number, a date or the like goes unquoted. */
const PLAIN_TEXT = /^[0-9a-fA-F:.+-]+$/;
const NEEDS_ESCAPE = /["\\]/;

/** An array literal of one column's values, null as NULL. Joined in one go because it is most of what a batch costs. */
export function arrayLiteral(type: ColumnType, values: readonly Value[]): string {
  const texts: string[] = new Array(values.length);
  if (PLAIN_KINDS.has(type.kind)) {
    for (let at = 0; at < values.length; at++) {
      const value = values[at]!;
      const text = value === null ? 'NULL' : valueText(value, type);
      texts[at] = typeof value !== 'string' || PLAIN_TEXT.test(text) ? text : quoted(text);
    }
    return `{${texts.join(',')}}`;
  }
  let plain = true;
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (value === null) return mixedLiteral(type, values);
    const text = valueText(value, type);
    if (plain && NEEDS_ESCAPE.test(text)) plain = false;
    texts[at] = text;
  }
  return textLiteral(texts, plain);
}

/** An array literal of parts of record keys (see `recordKey`), turned into the texts that Postgres reads. */
export function keyArrayLiteral(type: ColumnType, parts: readonly string[]): string {
  const texts = parts.map((part) => keyPartText(part, type));
  if (PLAIN_KINDS.has(type.kind) && texts.every((text) => PLAIN_TEXT.test(text))) return `{${texts.join(',')}}`;
  return textLiteral(texts, !texts.some((text) => NEEDS_ESCAPE.test(text)));
}

function textLiteral(texts: readonly string[], plain: boolean): string {
  if (texts.length === 0) return '{}';
  return plain ? `{"${texts.join('","')}"}` : `{${texts.map(quoted).join(',')}}`;
}

function mixedLiteral(type: ColumnType, values: readonly Value[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : quoted(valueText(value, type)))).join(',')}}`;
}

function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : `"${text}"`;
}
