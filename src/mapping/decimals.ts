import {
  Inconvertible,
  NOT_A_NUMBER,
  NOT_EXACT,
  OUT_OF_FLOAT32,
  precisionTooLarge,
  scaleTooLarge,
} from './inconvertible.js';

/** Exact decimal arithmetic on texts, as far as carrying values needs it. */

interface Decimal {
  /** The digits without the point, with sign. */
  readonly unscaled: bigint;
  /** Digits behind the point. */
  readonly scale: number;
}

const DECIMAL_TEXT = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/;

function parse(text: string): Decimal | null {
  const found = DECIMAL_TEXT.exec(text);
  if (found === null) return null;
  const whole = found[2] ?? '';
  const fraction = found[3] ?? '';
  if (whole === '' && fraction === '') return null;
  const unscaled = BigInt(whole + fraction) * (found[1] === '-' ? -1n : 1n);
  const scale = fraction.length - Number(found[4] ?? 0);
  return scale >= 0 ? { unscaled, scale } : { unscaled: unscaled * 10n ** BigInt(-scale), scale: 0 };
}

function format(unscaled: bigint, scale: number): string {
  if (scale <= 0) return String(unscaled * 10n ** BigInt(-scale));
  const negative = unscaled < 0n;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0');
  return `${negative ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** The decimal type that a text is brought to; a null scale keeps the digits as they are. */
export interface DecimalShape {
  readonly precision: number | null;
  readonly scale: number | null;
}

/** True when a decimal has no digits but a word: NaN, Infinity, -Infinity. */
function isSpecialNumber(text: string): boolean {
  return text === 'NaN' || text === 'Infinity' || text === '-Infinity';
}

/** A number's text in the form of a decimal type: exactly its scale, or the reason why it does not fit. */
export function decimalText(text: string, shape: DecimalShape, truncate: boolean): string | Inconvertible {
  if (isSpecialNumber(text)) return text;
  const decimal = parse(text);
  if (decimal === null) return NOT_A_NUMBER;
  if (shape.scale === null) return format(decimal.unscaled, decimal.scale);
  let unscaled = decimal.unscaled;
  if (decimal.scale < shape.scale) unscaled *= 10n ** BigInt(shape.scale - decimal.scale);
  else if (decimal.scale > shape.scale) {
    const factor = 10n ** BigInt(decimal.scale - shape.scale);
    if (!truncate && unscaled % factor !== 0n) return scaleTooLarge(shape.scale);
    unscaled /= factor;
  }
  if (shape.precision !== null && (unscaled < 0n ? -unscaled : unscaled) >= 10n ** BigInt(shape.precision)) {
    return precisionTooLarge(shape.precision, shape.scale);
  }
  return format(unscaled, shape.scale);
}

/** The whole number that a text is, or null when it is none; `5.00` is 5. */
export function wholeNumber(text: string): bigint | null {
  const decimal = parse(text);
  if (decimal === null) return null;
  const factor = 10n ** BigInt(decimal.scale);
  return decimal.unscaled % factor === 0n ? decimal.unscaled / factor : null;
}

/** The floating point number that shows the same digits, or the reason why there is none. */
export function exactFloat(text: string): number | string | Inconvertible {
  if (isSpecialNumber(text)) return text;
  const decimal = parse(text);
  if (decimal === null) return NOT_A_NUMBER;
  const float = Number(text);
  if (!Number.isFinite(float)) return NOT_EXACT;
  const back = parse(String(float));
  if (back === null || !sameNumber(back, decimal)) return NOT_EXACT;
  return float === 0 ? 0 : float;
}

function sameNumber(left: Decimal, right: Decimal): boolean {
  const scale = Math.max(left.scale, right.scale);
  const scaled = (decimal: Decimal): bigint => decimal.unscaled * 10n ** BigInt(scale - decimal.scale);
  return scaled(left) === scaled(right);
}

/** The float32 next to a number, as the number with its shortest digits: the form in which databases show a float32. */
export function shortestFloat32(value: number): number | Inconvertible {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) return OUT_OF_FLOAT32;
  for (let digits = 1; digits <= 9; digits++) {
    const shortest = Number(rounded.toPrecision(digits));
    if (Math.fround(shortest) === rounded) return shortest === 0 ? 0 : shortest;
  }
  return rounded;
}
