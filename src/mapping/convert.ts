import type { ColumnPlan } from '../plan/plan.js';
import type { Value } from '../model/value.js';
import { conversionPair, type Conversion } from './conversions.js';
import { Inconvertible, NOT_IN_VALUE_MAP } from './inconvertible.js';

export { Inconvertible, NOT_SENT } from './inconvertible.js';

/** A value carried over, or the reason (never with the value in it) why it cannot be. */
export type Converted = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly reason: string };

/**
 * One column's conversions, compiled once. Null goes through unless a value map names it.
 * Properties that hold for every value: `toColumn(toField(toColumn(x)))` is `toColumn(x)` wherever they convert,
 * and values of equal type come back as they were.
 */
export interface ColumnConverter {
  /** A column's value as the field's. */
  toField(value: Value): Value | Inconvertible;
  /** A field's value as the column would show it once written. */
  toColumn(value: Value): Value | Inconvertible;
  /**
   * The form in which two of the column's values are to be compared: what the column would show had its own value
   * gone to the field and back. Several spellings of one field value (aliases of a value map, a time of day that
   * a date drops) are thus equal and no edit; a value that does not convert stands for itself.
   */
  comparable(value: Value): Value;
}

const compiled = new WeakMap<ColumnPlan, ColumnConverter>();

/** The converter of a column; made at the first call, then remembered with the plan. */
export function columnConverter(column: ColumnPlan): ColumnConverter {
  let converter = compiled.get(column);
  if (converter === undefined) {
    converter = compile(column);
    compiled.set(column, converter);
  }
  return converter;
}

/** A column's value as the field's, see `columnConverter` for the same without a wrapper. */
export function toField(column: ColumnPlan, value: Value): Converted {
  return wrap(columnConverter(column).toField(value));
}

/** A field's value as the column would show it once written. A reference's field value is the parent's key in that system. */
export function toColumn(column: ColumnPlan, value: Value): Converted {
  return wrap(columnConverter(column).toColumn(value));
}

/** Why this column type cannot hold this field type at all, or null when it can. */
export function conversionProblem(column: Pick<ColumnPlan, 'columnType' | 'fieldType'>): string | null {
  if (conversionPair(column.columnType, column.fieldType, false) !== null) return null;
  const columnType = column.columnType.kind === 'native' ? column.columnType.nativeType : column.columnType.kind;
  return `a column of type ${columnType} cannot hold a field of type ${column.fieldType.kind}`;
}

function wrap(value: Value | Inconvertible): Converted {
  return value instanceof Inconvertible ? { ok: false, reason: value.reason } : { ok: true, value };
}

function compile(column: ColumnPlan): ColumnConverter {
  const pair = conversionPair(column.columnType, column.fieldType, column.tooLong === 'truncate');
  if (pair === null) throw new TypeError(conversionProblem(column) ?? 'no conversion');
  const map = column.values === null ? null : valueMap(column);
  const toFieldValue = map === null ? plain(pair.toField) : mapped(map.toField, pair.toField, column.otherwise);
  const toColumnValue =
    map === null ? plain(pair.toColumn) : settled(map, mapped(map.toColumn, pair.toColumn, column.otherwise));
  return {
    toField: toFieldValue,
    toColumn: toColumnValue,
    comparable: (value) => {
      const field = toFieldValue(value);
      if (field instanceof Inconvertible) return value;
      const back = toColumnValue(field);
      return back instanceof Inconvertible ? value : back;
    },
  };
}

type NullableConversion = (value: Value) => Value | Inconvertible;

function plain(convert: Conversion): NullableConversion {
  return (value) => (value === null ? null : convert(value));
}

interface ValueMap {
  readonly toField: ReadonlyMap<Value, Value>;
  readonly toColumn: ReadonlyMap<Value, Value>;
}

/** Of several entries with the same value on one side the first one counts. */
function valueMap(column: ColumnPlan): ValueMap {
  const toFieldValue = new Map<Value, Value>();
  const toColumnValue = new Map<Value, Value>();
  for (const entry of column.values ?? []) {
    if (!toFieldValue.has(entry.column)) toFieldValue.set(entry.column, entry.field);
    if (!toColumnValue.has(entry.field)) toColumnValue.set(entry.field, entry.column);
  }
  return { toField: toFieldValue, toColumn: toColumnValue };
}

function mapped(
  known: ReadonlyMap<Value, Value>,
  convert: Conversion,
  otherwise: ColumnPlan['otherwise'],
): NullableConversion {
  return (value) => {
    const found = known.get(value);
    if (found !== undefined) return found;
    if (value === null) return null;
    switch (otherwise) {
      case 'hold':
        return NOT_IN_VALUE_MAP;
      case 'null':
        return null;
      case 'keep':
        return convert(value);
    }
  };
}

/** A column value that the map reads as some field value is written in the map's first spelling of it, however it came about. */
function settled(map: ValueMap, convert: NullableConversion): NullableConversion {
  return (value) => {
    const written = convert(value);
    if (written instanceof Inconvertible) return written;
    // A value may well mean null: that is known, too.
    const meaning = written === null ? (map.toField.get(null) ?? null) : map.toField.get(written);
    if (meaning === undefined) return written;
    const first = map.toColumn.get(meaning);
    return first === undefined ? written : first;
  };
}
