import { civilFromDays, clockText, daysFromCivil, twoDigits } from '../model/calendar.js';
import { int64 } from '../model/value.js';

/** Texts of dates and times in their ISO 8601 form, to the microsecond and without the limits of `Date`. */

export const MICROS_PER_DAY = 86_400_000_000n;

/** `2024-02-29` for days since 1970; a year outside 0 to 9999 has a sign and six digits. */
export function dateText(days: number): string {
  const { year, month, day } = civilFromDays(days);
  return `${yearText(year)}-${twoDigits(month)}-${twoDigits(day)}`;
}

function yearText(year: number): string {
  if (year >= 0 && year <= 9999) return String(year).padStart(4, '0');
  return `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
}

/** The day and the microseconds of the day of a timestamp. */
export function splitTimestamp(micros: number | bigint): { readonly days: number; readonly micros: number } {
  const whole = BigInt(micros);
  const rest = ((whole % MICROS_PER_DAY) + MICROS_PER_DAY) % MICROS_PER_DAY;
  return { days: Number((whole - rest) / MICROS_PER_DAY), micros: Number(rest) };
}

/** `2024-02-29T13:05:00Z` for microseconds since 1970. */
export function timestampText(micros: number | bigint): string {
  const parts = splitTimestamp(micros);
  return `${dateText(parts.days)}T${clockText(parts.micros)}Z`;
}

const DATE = /^([+-]\d{6}|\d{4})-(\d\d)-(\d\d)$/;
const TIME = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?$/;
const TIMESTAMP = /^(.+?)[T ]([\d:.]+)(?:(Z)|([+-])(\d\d)(?::?(\d\d))?)?$/;

/** Days since 1970, or null when the text is no date of the calendar. */
export function parseDate(text: string): number | null {
  const found = DATE.exec(text);
  if (found === null) return null;
  const year = Number(found[1]);
  const month = Number(found[2]);
  const day = Number(found[3]);
  const days = daysFromCivil(year, month, day);
  const back = civilFromDays(days);
  return back.year === year && back.month === month && back.day === day ? days : null;
}

/** Microseconds since midnight, or null when the text is no time of day. `24:00:00` is the end of the day. */
export function parseTime(text: string): number | null {
  const found = TIME.exec(text);
  if (found === null) return null;
  const hours = Number(found[1]);
  const minutes = Number(found[2]);
  const seconds = Number(found[3] ?? 0);
  const fraction = Number((found[4] ?? '').padEnd(6, '0'));
  if (minutes > 59 || seconds > 59) return null;
  const micros = (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + fraction;
  return micros <= 86_400_000_000 ? micros : null;
}

/** Microseconds since 1970; a text without a zone is taken as UTC. Null when it is no timestamp. */
export function parseTimestamp(text: string): number | bigint | null {
  const dateOnly = parseDate(text);
  if (dateOnly !== null) return int64(BigInt(dateOnly) * MICROS_PER_DAY);
  const found = TIMESTAMP.exec(text);
  if (found === null) return null;
  const days = parseDate(found[1] ?? '');
  const micros = parseTime(found[2] ?? '');
  if (days === null || micros === null) return null;
  const offsetMinutes = Number(found[5] ?? 0) * 60 + Number(found[6] ?? 0);
  const offset = BigInt(offsetMinutes) * 60_000_000n * (found[4] === '-' ? -1n : 1n);
  return int64(BigInt(days) * MICROS_PER_DAY + BigInt(micros) - offset);
}
