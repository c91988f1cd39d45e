const PLAIN = /^(-?)(\d+)(?:\.(\d+))?$/;

/**
 * The two's-complement bytes of Avro's `decimal`, or null where the text is not a number with exactly that scale
 * (NaN, Infinity, other digits): those go as text.
 */
export function decimalBytes(text: string, scale: number): Buffer | null {
  const match = PLAIN.exec(text);
  if (match === null) return null;
  const whole = match[2]!;
  const fraction = match[3] ?? '';
  if (fraction.length !== scale || (whole.length > 1 && whole.startsWith('0'))) return null;
  const digits = whole + fraction;
  const negative = match[1] === '-';
  if (digits.length <= 15) {
    const unscaled = Number(digits);
    // "-0.00" would come back without its sign.
    if (negative && unscaled === 0) return null;
    return numberBytes(negative ? -unscaled : unscaled);
  }
  const unscaled = BigInt(digits);
  if (negative && unscaled === 0n) return null;
  return bigBytes(negative ? -unscaled : unscaled);
}

/** The text of Avro's `decimal`, with all digits of its scale. */
export function decimalText(bytes: Buffer, scale: number): string {
  const unscaled = bytes.length === 0 ? 0 : bytes.length <= 6 ? bytes.readIntBE(0, bytes.length) : bigFromBytes(bytes);
  const negative = unscaled < 0;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0');
  const sign = negative ? '-' : '';
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function numberBytes(value: number): Buffer {
  let length = 1;
  let limit = 128;
  while (value >= limit || value < -limit) {
    length++;
    limit *= 256;
  }
  if (length > 6) return bigBytes(BigInt(value));
  const bytes = Buffer.allocUnsafe(length);
  bytes.writeIntBE(value, 0, length);
  return bytes;
}

function bigBytes(value: bigint): Buffer {
  const bits = (value < 0n ? -value - 1n : value).toString(2).length + 1;
  const length = Math.ceil(bits / 8);
  const hex = BigInt.asUintN(length * 8, value)
    .toString(16)
    .padStart(length * 2, '0');
  return Buffer.from(hex, 'hex');
}

function bigFromBytes(bytes: Buffer): bigint {
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`));
}
