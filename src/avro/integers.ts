import { int64, type Value } from '../model/value.js';

/** The high 28 bits below this make a half that a number holds exactly. */
const EXACT_HIGH = 2 ** 26;
/** Zigzag doubles: a number does so exactly below this. */
const EXACT_DOUBLE = 2 ** 52;

/** A place in a message: of avsc (`value-union.ts`), and of the state's own forms (`state/binary/bytes.ts`). */
export interface Cursor {
  readonly buf: Buffer;
  pos: number;
}

/** Zigzag varint: by number arithmetic while that is exact, which covers all times and nearly all keys, else by bigint. */
export function readInteger(from: Cursor): number | bigint {
  const { buf } = from;
  let { pos } = from;
  let low = 0;
  let high = 0;
  for (let shift = 0; shift < 56; shift += 7) {
    const byte = buf[pos++]!;
    if (shift < 28) low |= (byte & 0x7f) << shift;
    else high |= (byte & 0x7f) << (shift - 28);
    if (byte < 0x80) {
      if (high >= EXACT_HIGH) break;
      from.pos = pos;
      const half = high * 0x8000000 + (low >>> 1);
      return low & 1 ? -half - 1 : half;
    }
  }
  return readBigInteger(from);
}

function readBigInteger(from: Cursor): number | bigint {
  let shift = 0n;
  let raw = 0n;
  for (;;) {
    const byte = from.buf[from.pos++];
    if (byte === undefined) throw new Error('truncated integer');
    raw |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) break;
    shift += 7n;
  }
  return int64((raw >> 1n) ^ -(raw & 1n));
}

/** Number arithmetic writes it exactly. */
export function isSmall(value: number): boolean {
  return value < EXACT_DOUBLE && value > -EXACT_DOUBLE;
}

/** Zigzag varint of what number arithmetic does not hold. */
export function writeBigInteger(to: Cursor, value: bigint): void {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  while (rest > 0x7fn) {
    to.buf[to.pos++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  to.buf[to.pos++] = Number(rest);
}

/** A double in its value's form. */
export function doubleValue(value: number): Value {
  if (Number.isFinite(value)) return value === 0 ? 0 : value;
  return String(value);
}
