import { clockText } from '../model/calendar.js';
import { int64, recordKey, recordKeyParts, type Value } from '../model/value.js';
import type { ColumnType } from '../model/table.js';
import type { FieldType } from '../plan/plan.js';
import { decimalText, exactFloat, shortestFloat32, wholeNumber, type DecimalShape } from './decimals.js';
import * as reason from './inconvertible.js';
import { Inconvertible } from './inconvertible.js';
import * as times from './times.js';

/** A value that is there: null needs no conversion. */
export type Present = Exclude<Value, null>;

/** Carries a value, or says why it cannot. Never called with null. */
export type Conversion = (value: Present) => Value | Inconvertible;

/** Both ways between a column type and a field type. */
export interface ConversionPair {
  readonly toField: Conversion;
  readonly toColumn: Conversion;
}

type Kind<T extends { readonly kind: string }> = T['kind'];
type FieldConversions = Partial<Record<Kind<ColumnType>, (column: ColumnType, field: FieldType) => ConversionPair>>;

const asItIs: Conversion = (value) => value;
const SAME: ConversionPair = { toField: asItIs, toColumn: asItIs };
const asText: Conversion = (value) => String(value);

/**
 * How values go between a column type and a field type, or null where nothing sensible exists.
 * `truncate` cuts text to the column's length, decimals to the scale and timestamps to the day instead of refusing them.
 */
export function conversionPair(column: ColumnType, field: FieldType, truncate: boolean): ConversionPair | null {
  const make = CONVERSIONS[truncate ? 'truncate' : 'hold'][field.kind][column.kind];
  if (make === undefined) return null;
  const pair = make(column, field);
  return column.kind === 'text' && column.padded === true ? padded(pair, column.maxLength ?? 0) : pair;
}

/** The spaces behind the text of a char(n) are the column's own: a field is without them. */
function padded(pair: ConversionPair, length: number): ConversionPair {
  return {
    toField: (value) => pair.toField(String(value).replace(/ +$/, '')),
    toColumn: (value) => {
      const text = pair.toColumn(value);
      return typeof text === 'string' ? text + ' '.repeat(Math.max(0, length - [...text].length)) : text;
    },
  };
}

const INTEGER_BITS = { int16: 16, int32: 32, int64: 64 } as const;

function integerIn(bits: number): (value: bigint | number) => Value | Inconvertible {
  const limit = 2n ** BigInt(bits - 1);
  const refusal = reason.outOfRange(bits);
  if (bits < 64) {
    const numberLimit = Number(limit);
    return (value) => (value >= -numberLimit && value < numberLimit ? int64(value) : refusal);
  }
  return (value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    const whole = BigInt(value);
    return whole >= -limit && whole < limit ? int64(whole) : refusal;
  };
}

const integer64 = integerIn(64);

/** Only a text column has a length. Characters are counted as databases do: code points, not UTF-16 units. */
function fitText(column: ColumnType, truncate: boolean): Conversion {
  const maxLength = column.kind === 'text' ? column.maxLength : null;
  const refusal = reason.tooLong(maxLength ?? 0);
  return (value) => {
    const text = String(value);
    if (text.includes('\0')) return reason.HAS_NUL_CHARACTER;
    if (maxLength === null || text.length <= maxLength) return text;
    const characters = [...text];
    if (characters.length <= maxLength) return text;
    return truncate ? characters.slice(0, maxLength).join('') : refusal;
  };
}

/** A pair through text: `write` gives the text of a field value, `read` understands it. Such a text is never cut. */
function throughText(read: Conversion, write: Conversion): (column: ColumnType) => ConversionPair {
  return (column) => {
    const fit = fitText(column, false);
    return { toField: read, toColumn: (value) => fit(write(value) as Present) };
  };
}

function parsed(parse: (text: string) => Value, refusal: Inconvertible): Conversion {
  return (value) => parse(String(value)) ?? refusal;
}

const readDecimalAsInteger: Conversion = (value) => {
  const whole = wholeNumber(String(value));
  return whole === null ? reason.NOT_A_WHOLE_NUMBER : integer64(whole);
};

const readFloatAsInteger: Conversion = (value) =>
  typeof value === 'number' && Number.isInteger(value) ? integer64(BigInt(value)) : reason.NOT_A_WHOLE_NUMBER;

const readTruth: Conversion = (value) => {
  switch (String(value).trim().toLowerCase()) {
    case 'true':
    case 't':
    case 'yes':
    case 'y':
    case '1':
      return true;
    case 'false':
    case 'f':
    case 'no':
    case 'n':
    case '0':
      return false;
    default:
      return reason.NOT_A_TRUTH_VALUE;
  }
};

const truthToInteger: Conversion = (value) => (value === true ? 1 : 0);

/** Special dates of a database, the same text as a date and as a timestamp. */
function isInfinite(value: Present): boolean {
  return value === 'infinity' || value === '-infinity';
}

function timestampToDate(truncate: boolean): Conversion {
  return (value) => {
    if (isInfinite(value)) return value;
    const { days, micros } = times.splitTimestamp(value as number | bigint);
    return micros === 0 || truncate ? days : reason.HAS_TIME_OF_DAY;
  };
}

const dateToTimestamp: Conversion = (value) =>
  isInfinite(value) ? value : int64(BigInt(value) * times.MICROS_PER_DAY);

const writeDate: Conversion = (value) => (isInfinite(value) ? value : times.dateText(value as number));
const writeTimestamp: Conversion = (value) =>
  isInfinite(value) ? value : times.timestampText(value as number | bigint);
const writeTime: Conversion = (value) => clockText(value as number);
const readDate = parsed((text) => (isInfinite(text) ? text : times.parseDate(text)), reason.NOT_A_DATE);
const readTimestamp = parsed((text) => (isInfinite(text) ? text : times.parseTimestamp(text)), reason.NOT_A_TIMESTAMP);
const readTime = parsed(times.parseTime, reason.NOT_A_TIME);

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const readUuid = parsed((text) => (UUID.test(text.toLowerCase()) ? text.toLowerCase() : null), reason.NOT_A_UUID);
const readBytes = parsed(
  (text) => (/^(?:[0-9a-f]{2})*$/.test(text.toLowerCase()) ? text.toLowerCase() : null),
  reason.NOT_HEXADECIMAL,
);
const readJson: Conversion = (value) => {
  try {
    JSON.parse(String(value));
    return value;
  } catch {
    return reason.NOT_JSON;
  }
};

const floatToFloat32: Conversion = (value) => (typeof value === 'number' ? shortestFloat32(value) : value);

const readFloat: Conversion = (value) => exactFloat(String(value));

const integerToFloat: Conversion = (value) =>
  typeof value === 'number' || BigInt(Number(value)) === value ? Number(value) : reason.NOT_EXACT;

function floatToInteger(bits: number): Conversion {
  const fit = integerIn(bits);
  return (value) =>
    typeof value === 'number' && Number.isInteger(value) ? fit(BigInt(value)) : reason.NOT_A_WHOLE_NUMBER;
}

function integerToInteger(column: ColumnType): ConversionPair {
  if (column.kind === 'int64') return SAME;
  const fit = integerIn(INTEGER_BITS[column.kind as 'int16' | 'int32']);
  return { toField: asItIs, toColumn: (value) => fit(value as number | bigint) };
}

function integerToFloat32(value: Present): Value | Inconvertible {
  const float = integerToFloat(value);
  if (typeof float !== 'number') return float;
  return Math.fround(float) === float ? float : reason.NOT_EXACT;
}

function shapeOf(type: ColumnType | FieldType): DecimalShape {
  return type.kind === 'decimal' ? type : { precision: null, scale: null };
}

function decimalIn(shape: DecimalShape, truncate: boolean): Conversion {
  return (value) => decimalText(String(value), shape, truncate);
}

function decimalToInteger(bits: number): Conversion {
  const fit = integerIn(bits);
  return (value) => {
    const whole = wholeNumber(String(value));
    return whole === null ? reason.NOT_A_WHOLE_NUMBER : fit(whole);
  };
}

function sameDecimal(column: ColumnType, field: FieldType): boolean {
  const left = shapeOf(column);
  const right = shapeOf(field);
  return left.precision === right.precision && left.scale === right.scale;
}

function decimalPair(column: ColumnType, field: FieldType, truncate: boolean): ConversionPair {
  if (sameDecimal(column, field)) return SAME;
  return { toField: decimalIn(shapeOf(field), truncate), toColumn: decimalIn(shapeOf(column), truncate) };
}

const keyToText: Conversion = (value) => recordKey({ key: value }, ['key']);
const textToKey: Conversion = (value) => recordKeyParts(String(value))[0] ?? '';

function stringConversions(truncate: boolean): FieldConversions {
  const readAsText = (back: (column: ColumnType) => Conversion, toField: Conversion = asText) => {
    return (column: ColumnType): ConversionPair => ({ toField, toColumn: back(column) });
  };
  const integer = readAsText((column) => decimalToInteger(INTEGER_BITS[column.kind as 'int16']));
  return {
    text: (column) => ({ toField: asItIs, toColumn: fitText(column, truncate) }),
    native: () => SAME,
    json: readAsText(() => readJson, asItIs),
    uuid: readAsText(() => readUuid, asItIs),
    bytes: readAsText(() => readBytes, asItIs),
    boolean: readAsText(() => readTruth),
    int16: integer,
    int32: integer,
    int64: integer,
    float32: readAsText(() => (value) => {
      const float = exactFloat(String(value));
      return typeof float === 'number' ? shortestFloat32(float) : float;
    }),
    float64: readAsText(() => readFloat),
    decimal: readAsText((column) => decimalIn(shapeOf(column), truncate)),
    date: readAsText(() => readDate, writeDate),
    timestamp: readAsText(() => readTimestamp, writeTimestamp),
    timestamptz: readAsText(() => readTimestamp, writeTimestamp),
    time: readAsText(() => readTime, writeTime),
  };
}

/** A parent's key goes as text, in the form of `recordKey`, whatever its column's type. */
const REFERENCE_CONVERSIONS: FieldConversions = {
  text: (column) => {
    const fit = fitText(column, false);
    return { toField: keyToText, toColumn: (value) => fit(textToKey(value) as Present) };
  },
  uuid: () => ({ toField: keyToText, toColumn: (value) => readUuid(textToKey(value) as Present) }),
  int16: (column) => keyPair(decimalToInteger(INTEGER_BITS[column.kind as 'int16'])),
  int32: (column) => keyPair(decimalToInteger(INTEGER_BITS[column.kind as 'int32'])),
  int64: (column) => keyPair(decimalToInteger(INTEGER_BITS[column.kind as 'int64'])),
  decimal: (column) => keyPair(decimalIn(shapeOf(column), false)),
};

function keyPair(read: Conversion): ConversionPair {
  return { toField: keyToText, toColumn: (value) => read(textToKey(value) as Present) };
}

function integerConversions(): FieldConversions {
  return {
    int16: integerToInteger,
    int32: integerToInteger,
    int64: integerToInteger,
    float32: () => ({ toField: readFloatAsInteger, toColumn: integerToFloat32 }),
    float64: () => ({ toField: readFloatAsInteger, toColumn: integerToFloat }),
    decimal: (column) => ({ toField: readDecimalAsInteger, toColumn: decimalIn(shapeOf(column), false) }),
    text: throughText(readDecimalAsInteger, asText),
    boolean: () => ({
      toField: truthToInteger,
      toColumn: (value) => (value === 1 ? true : value === 0 ? false : reason.NOT_A_TRUTH_VALUE),
    }),
  };
}

function floatConversions(truncate: boolean): FieldConversions {
  const integer = (column: ColumnType): ConversionPair => ({
    toField: integerToFloat,
    toColumn: floatToInteger(INTEGER_BITS[column.kind as 'int16']),
  });
  return {
    float64: () => SAME,
    float32: () => ({ toField: asItIs, toColumn: floatToFloat32 }),
    int16: integer,
    int32: integer,
    int64: integer,
    decimal: (column) => ({ toField: readFloat, toColumn: decimalIn(shapeOf(column), truncate) }),
    text: throughText(readFloat, asText),
  };
}

function decimalConversions(truncate: boolean): FieldConversions {
  const toField = (_column: ColumnType, field: FieldType): Conversion => decimalIn(shapeOf(field), truncate);
  const integer = (column: ColumnType, field: FieldType): ConversionPair => ({
    toField: toField(column, field),
    toColumn: decimalToInteger(INTEGER_BITS[column.kind as 'int16']),
  });
  return {
    decimal: (column, field) => decimalPair(column, field, truncate),
    int16: integer,
    int32: integer,
    int64: integer,
    float64: (column, field) => ({ toField: toField(column, field), toColumn: readFloat }),
    text: (column, field) => throughText(toField(column, field), asText)(column),
  };
}

function booleanConversions(): FieldConversions {
  const integer = (): ConversionPair => ({ toField: readTruth, toColumn: truthToInteger });
  return {
    boolean: () => SAME,
    int16: integer,
    int32: integer,
    int64: integer,
    text: throughText(readTruth, asText),
  };
}

function timeConversions(
  truncate: boolean,
): Pick<Record<Kind<FieldType>, FieldConversions>, 'date' | 'timestamp' | 'time'> {
  const dateFromTimestamp = (): ConversionPair => ({
    toField: timestampToDate(truncate),
    toColumn: dateToTimestamp,
  });
  return {
    date: {
      date: () => SAME,
      timestamp: dateFromTimestamp,
      timestamptz: dateFromTimestamp,
      text: throughText(readDate, writeDate),
    },
    timestamp: {
      timestamp: () => SAME,
      timestamptz: () => SAME,
      date: () => ({ toField: dateToTimestamp, toColumn: timestampToDate(truncate) }),
      text: throughText(readTimestamp, writeTimestamp),
    },
    time: { time: () => SAME, text: throughText(readTime, writeTime) },
  };
}

function conversions(truncate: boolean): Readonly<Record<Kind<FieldType>, FieldConversions>> {
  return {
    string: stringConversions(truncate),
    integer: integerConversions(),
    float: floatConversions(truncate),
    decimal: decimalConversions(truncate),
    boolean: booleanConversions(),
    ...timeConversions(truncate),
    uuid: { uuid: () => SAME, text: throughText(readUuid, asText) },
    json: { json: () => SAME, text: throughText(readJson, asText) },
    bytes: { bytes: () => SAME, text: throughText(readBytes, asText) },
    reference: REFERENCE_CONVERSIONS,
  };
}

const CONVERSIONS = { hold: conversions(false), truncate: conversions(true) } as const;
