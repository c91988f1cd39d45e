/**
 * Why a value cannot be carried from a column to its field or back. The reason is for people and never holds the value.
 * A class, so that a conversion gives either a plain value or one of these without wrapping the value.
 */
export class Inconvertible {
  constructor(readonly reason: string) {}
}

export const NOT_SENT = new Inconvertible('the system did not send it: it is too large for a message');
export const NOT_A_WHOLE_NUMBER = new Inconvertible('it is not a whole number');
export const NOT_A_NUMBER = new Inconvertible('it is not a number');
export const NOT_EXACT = new Inconvertible('it cannot be held exactly as a floating point number');
export const NOT_A_TRUTH_VALUE = new Inconvertible('it is neither true nor false');
export const NOT_A_DATE = new Inconvertible('it is not a date as YYYY-MM-DD');
export const NOT_A_TIMESTAMP = new Inconvertible('it is not a timestamp as YYYY-MM-DDThh:mm:ssZ');
export const NOT_A_TIME = new Inconvertible('it is not a time as hh:mm:ss');
export const NOT_A_UUID = new Inconvertible('it is not a UUID');
export const NOT_JSON = new Inconvertible('it is not JSON');
export const NOT_HEXADECIMAL = new Inconvertible('it is not hexadecimal text');
export const HAS_TIME_OF_DAY = new Inconvertible(
  'it has a time of day and would lose it as a date (tooLong: truncate would cut it)',
);
export const HAS_NUL_CHARACTER = new Inconvertible('it has a NUL character, which a text column cannot hold');
export const OUT_OF_FLOAT32 = new Inconvertible('it is beyond the range of float32');
export const NOT_IN_VALUE_MAP = new Inconvertible('the value map of the column does not know it (otherwise: hold)');

/** Text longer than its column. */
export function tooLong(maxLength: number): Inconvertible {
  return new Inconvertible(`it is longer than ${maxLength} characters (tooLong: truncate would cut it)`);
}

/** A whole number outside its type. */
export function outOfRange(bits: number): Inconvertible {
  return new Inconvertible(`it is beyond the range of a ${bits}-bit integer`);
}

/** A decimal with too many digits behind the point. */
export function scaleTooLarge(scale: number): Inconvertible {
  return new Inconvertible(
    `it has more than ${scale} digits behind the decimal point (tooLong: truncate would cut them)`,
  );
}

/** A decimal with too many digits before the point. */
export function precisionTooLarge(precision: number, scale: number): Inconvertible {
  return new Inconvertible(`it has more than the ${precision - scale} digits before the decimal point that fit`);
}
