import type { Value } from '../../../src/model/value.js';
import type { ValueDecoder } from '../values.js';

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const NULL_MARK = 0x4e;

/** What stands behind a backslash for bytes that COPY does not send as they are. */
const ESCAPES: Readonly<Record<number, number>> = {
  0x62: 0x08,
  0x66: 0x0c,
  0x6e: 0x0a,
  0x72: 0x0d,
  0x74: 0x09,
  0x76: 0x0b,
};

/**
 * One line of COPY … TO STDOUT (text format) as values, in the order of `decoders`; `fill` is called for each.
 * Columns without a backslash, nearly all, are decoded where they lie.
 */
export function readCopyLine(
  line: Buffer,
  decoders: readonly ValueDecoder[],
  fill: (column: number, value: Value) => void,
): void {
  let start = 0;
  for (let column = 0; column < decoders.length; column++) {
    let end = start;
    let escaped = false;
    for (let byte = line[end]!; byte !== TAB && byte !== NEWLINE; byte = line[++end]!) {
      if (byte === BACKSLASH) {
        escaped = true;
        end += 1;
      }
    }
    if (!escaped) fill(column, decoders[column]!(line, start, end));
    else if (end - start === 2 && line[start + 1] === NULL_MARK) fill(column, null);
    else {
      const plain = unescaped(line, start, end);
      fill(column, decoders[column]!(plain, 0, plain.length));
    }
    start = end + 1;
  }
}

function unescaped(line: Buffer, start: number, end: number): Buffer {
  const plain = Buffer.allocUnsafe(end - start);
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = line[at]!;
    if (byte !== BACKSLASH) plain[length++] = byte;
    else {
      const behind = line[++at]!;
      plain[length++] = ESCAPES[behind] ?? behind;
    }
  }
  return plain.subarray(0, length);
}
