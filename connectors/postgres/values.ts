import { daysFromCivil } from '../../src/model/calendar.js';
import type { ColumnType } from '../../src/model/table.js';
import { int64, type Value } from '../../src/model/value.js';

/**
 * Postgres' text form of a value, as bytes, to its comparable form. Stream and snapshot go through the same decoder,
 * so that one value has one form whichever way it came. Sessions have DateStyle ISO, TimeZone UTC, bytea_output hex.
 */
export type ValueDecoder = (bytes: Buffer, start: number, end: number) => Value;

export function valueDecoder(type: ColumnType): ValueDecoder {
  switch (type.kind) {
    case 'boolean':
      return (bytes, start) => bytes[start] === 0x74;
    case 'int16':
    case 'int32':
    case 'int64':
      return decodeInteger;
    case 'float32':
    case 'float64':
      return decodeFloat;
    case 'decimal':
    case 'uuid':
      return (bytes, start, end) => bytes.toString('latin1', start, end);
    case 'date':
      return decodeDate;
    case 'timestamp':
    case 'timestamptz':
      return decodeTimestamp;
    case 'time':
      return decodeTime;
    case 'bytes':
      return (bytes, start, end) => bytes.toString('latin1', start + 2, end);
    case 'text':
    case 'json':
    case 'native':
      return (bytes, start, end) => bytes.toString('utf8', start, end);
  }
}

const ZERO = 0x30;
const MINUS = 0x2d;
/** Digits that a double holds exactly whatever they are. */
const EXACT_DIGITS = 15;

function decodeInteger(bytes: Buffer, start: number, end: number): number | bigint {
  const negative = bytes[start] === MINUS;
  let at = negative ? start + 1 : start;
  if (end - at > EXACT_DIGITS) return int64(BigInt(bytes.toString('latin1', start, end)));
  let value = 0;
  for (; at < end; at++) value = value * 10 + (bytes[at]! - ZERO);
  return negative ? 0 - value : value;
}

/** NaN and the infinities stay texts; -0 becomes 0, which equals it. */
function decodeFloat(bytes: Buffer, start: number, end: number): number | string {
  const text = bytes.toString('latin1', start, end);
  const value = Number(text);
  return Number.isFinite(value) ? value + 0 : text;
}

let cachedDate = -1;
let cachedDays = 0;

/** Days of `YYYY-MM-DD` at `start`; most dates of a stream are the one before. */
function fixedDays(bytes: Buffer, start: number): number {
  const year = twoDigits(bytes, start) * 100 + twoDigits(bytes, start + 2);
  const date = year * 10_000 + twoDigits(bytes, start + 5) * 100 + twoDigits(bytes, start + 8);
  if (date !== cachedDate) {
    cachedDays = daysFromCivil(year, twoDigits(bytes, start + 5), twoDigits(bytes, start + 8));
    cachedDate = date;
  }
  return cachedDays;
}

function twoDigits(bytes: Buffer, at: number): number {
  return bytes[at]! * 10 + bytes[at + 1]! - 11 * ZERO;
}

function decodeDate(bytes: Buffer, start: number, end: number): number | string {
  if (end - start === 10 && bytes[start + 4] === MINUS) return fixedDays(bytes, start);
  const text = bytes.toString('latin1', start, end);
  return longDays(text) ?? text;
}

/** Days of a date with a long year or before Christ (`10000-01-01`, `0044-03-15 BC`); null for infinities. */
function longDays(text: string): number | null {
  const match = /^(\d+)-(\d\d)-(\d\d)/.exec(text);
  if (match === null) return null;
  const year = text.endsWith(' BC') ? 1 - Number(match[1]) : Number(match[1]);
  return daysFromCivil(year, Number(match[2]), Number(match[3]));
}

const MICROS_PER_DAY = 86_400_000_000;
/** Days around 1970 whose microseconds are safe integers. */
const SAFE_DAYS = Math.floor(Number.MAX_SAFE_INTEGER / MICROS_PER_DAY) - 1;

function decodeTimestamp(bytes: Buffer, start: number, end: number): Value {
  if (bytes[start + 4] === MINUS && bytes[start + 10] === 0x20 && bytes[end - 1] !== 0x43) {
    const days = fixedDays(bytes, start);
    return at(days, clockMicros(bytes, start + 11, end));
  }
  const text = bytes.toString('latin1', start, end);
  const days = longDays(text);
  return days === null ? text : at(days, clockMicros(bytes, start + text.indexOf(' ') + 1, end));
}

function at(days: number, micros: number): number | bigint {
  if (days > -SAFE_DAYS && days < SAFE_DAYS) return days * MICROS_PER_DAY + micros;
  return int64(BigInt(days) * BigInt(MICROS_PER_DAY) + BigInt(micros));
}

/** Microseconds of `HH:MM:SS[.ffffff]`, up to the first byte that does not belong to it (`+00`, ` BC`). */
function clockMicros(bytes: Buffer, start: number, end: number): number {
  const seconds = twoDigits(bytes, start) * 3600 + twoDigits(bytes, start + 3) * 60 + twoDigits(bytes, start + 6);
  if (start + 8 >= end || bytes[start + 8] !== 0x2e) return seconds * 1_000_000;
  let fraction = 0;
  let place = 100_000;
  for (let index = start + 9; index < end; index++) {
    const digit = bytes[index]! - ZERO;
    if (digit < 0 || digit > 9) break;
    fraction += digit * place;
    place /= 10;
  }
  return seconds * 1_000_000 + fraction;
}

function decodeTime(bytes: Buffer, start: number, end: number): number {
  return clockMicros(bytes, start, end);
}
