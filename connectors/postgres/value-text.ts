import { civilFromDays, clockText, twoDigits } from '../../src/model/calendar.js';
import type { ColumnType } from '../../src/model/table.js';
import type { Value } from '../../src/model/value.js';

/** A column value as the text that Postgres reads for it; the reverse of values.ts. */
export function valueText(value: NonNullable<Value>, type: ColumnType): string {
  switch (type.kind) {
    case 'boolean':
      return value === true ? 't' : value === false ? 'f' : String(value);
    case 'date':
      return typeof value === 'number' ? dateText(value) : String(value);
    case 'timestamp':
      return typeof value === 'number' || typeof value === 'bigint' ? timestampText(value, '') : String(value);
    case 'timestamptz':
      return typeof value === 'number' || typeof value === 'bigint' ? timestampText(value, '+00') : String(value);
    case 'time':
      return typeof value === 'number' ? clockText(value) : String(value);
    case 'bytes':
      return `\\x${String(value)}`;
    default:
      return typeof value === 'string' ? value : String(value);
  }
}

/** The same for a part of a record key, which is `String(value)` of the value's form. */
export function keyPartText(part: string, type: ColumnType): string {
  switch (type.kind) {
    case 'date':
    case 'time':
    case 'timestamp':
    case 'timestamptz':
      return /^-?\d+$/.test(part) ? valueText(numberOf(part), type) : part;
    case 'bytes':
      return valueText(part, type);
    default:
      return part;
  }
}

function numberOf(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

const MICROS_PER_DAY = 86_400_000_000;

function timestampText(micros: number | bigint, zone: string): string {
  const [day, clock] = typeof micros === 'number' ? split(micros) : splitLarge(micros);
  const date = dateText(day);
  const time = `${clockText(clock)}${zone}`;
  return date.endsWith(' BC') ? `${date.slice(0, -3)} ${time} BC` : `${date} ${time}`;
}

function split(micros: number): readonly [day: number, clock: number] {
  const day = Math.floor(micros / MICROS_PER_DAY);
  return [day, micros - day * MICROS_PER_DAY];
}

function splitLarge(micros: bigint): readonly [day: number, clock: number] {
  const perDay = BigInt(MICROS_PER_DAY);
  const clock = ((micros % perDay) + perDay) % perDay;
  return [Number((micros - clock) / perDay), Number(clock)];
}

/** Rows of a batch often share their day. */
let lastDay = Number.NaN;
let lastText = '';

/** Days since 1970, `0044-03-15 BC` before year 1. */
function dateText(days: number): string {
  if (days === lastDay) return lastText;
  const { year, month, day } = civilFromDays(days);
  const shown = String(year > 0 ? year : 1 - year).padStart(4, '0');
  lastDay = days;
  lastText = `${shown}-${twoDigits(month)}-${twoDigits(day)}${year > 0 ? '' : ' BC'}`;
  return lastText;
}
