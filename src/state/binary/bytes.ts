import { int64 } from '../../model/value.js';

/** Texts up to this length are written a character at a time: quicker than a call out of JavaScript. */
const SHORT_TEXT = 60;
/** The high 28 bits below this make a half that a number holds exactly. */
const EXACT_HIGH = 2 ** 26;
const EXACT_DOUBLE = 2 ** 52;

/** Reads Avro's binary forms from one message. Its texts are parts of one text, which is made at once: that is quicker. */
export class BinaryReader {
  at = 0;
  private buffer: Buffer = Buffer.alloc(0);
  /** The whole message, a character a byte. */
  private latin = '';

  begin(buffer: Buffer, at: number): void {
    this.buffer = buffer;
    this.at = at;
    this.latin = '';
  }

  get bytes(): Buffer {
    return this.buffer;
  }

  byte(): number {
    return this.buffer[this.at++]!;
  }

  /** A long that a number holds exactly. */
  long(): number {
    const { buffer } = this;
    let byte = buffer[this.at++]!;
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let raw = byte & 0x7f;
    let factor = 128;
    do {
      byte = buffer[this.at++]!;
      raw += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte >= 0x80);
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  }

  /** Any long: a bigint where a number is not exact. */
  integer(): number | bigint {
    const { buffer } = this;
    let at = this.at;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 56; shift += 7) {
      const byte = buffer[at++]!;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else high |= (byte & 0x7f) << (shift - 28);
      if (byte < 0x80) {
        if (high >= EXACT_HIGH) break;
        this.at = at;
        const half = high * 0x8000000 + (low >>> 1);
        return low & 1 ? -half - 1 : half;
      }
    }
    return this.bigInteger();
  }

  double(): number {
    const value = this.buffer.readDoubleLE(this.at);
    this.at += 8;
    return value;
  }

  text(): string {
    const length = this.long();
    const { at, buffer } = this;
    const end = at + length;
    // Also where there is no end: NaN is what stands behind the last byte.
    if (!(length >= 0 && end <= buffer.length)) throw new Error('a text ends beyond its message');
    this.at = end;
    for (let each = at; each < end; each++) if (buffer[each]! > 0x7f) return buffer.toString('utf8', at, end);
    if (this.latin === '') this.latin = buffer.toString('latin1');
    return this.latin.substring(at, end);
  }

  textOrNull(): string | null {
    return this.long() === 0 ? null : this.text();
  }

  longOrNull(): number | null {
    return this.long() === 0 ? null : this.long();
  }

  texts(): readonly string[] {
    if (this.buffer[this.at] === 0) {
      this.at++;
      return NO_TEXTS;
    }
    const count = this.count();
    // Every text takes a byte at least: a count that is not true must not make an array of its size.
    if (count > this.buffer.length - this.at) throw new Error('more texts than bytes');
    const texts = new Array<string>(count);
    for (let each = 0; each < count; each++) texts[each] = this.text();
    for (let more = this.count(); more > 0; more = this.count()) for (; more > 0; more--) texts.push(this.text());
    return texts;
  }

  /** Items of the next block of an array or map; 0 at its end. */
  count(): number {
    const count = this.long();
    if (count >= 0) return count;
    this.long();
    return -count;
  }

  private bigInteger(): number | bigint {
    let shift = 0n;
    let raw = 0n;
    for (;;) {
      const byte = this.buffer[this.at++];
      if (byte === undefined) throw new Error('truncated integer');
      raw |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7n;
    }
    return int64((raw >> 1n) ^ -(raw & 1n));
  }
}

const NO_TEXTS: readonly string[] = Object.freeze([]);

/**
 * Writes Avro's binary forms. What goes beyond the end of the buffer is not written but counted, so that the caller
 * sees how much room is missing.
 */
export class BinaryWriter {
  at = 0;
  private buffer: Buffer = Buffer.alloc(0);

  begin(buffer: Buffer, at: number): void {
    this.buffer = buffer;
    this.at = at;
  }

  get bytes(): Buffer {
    return this.buffer;
  }

  byte(value: number): void {
    this.buffer[this.at++] = value;
  }

  /** A long that a number holds exactly, below 2^52. */
  long(value: number): void {
    const { buffer } = this;
    let at = this.at;
    if (value >= -0x40000000 && value < 0x40000000) {
      let raw = value >= 0 ? value << 1 : (~value << 1) | 1;
      while (raw > 0x7f) {
        buffer[at++] = (raw & 0x7f) | 0x80;
        raw >>>= 7;
      }
      buffer[at++] = raw;
    } else {
      let raw = value >= 0 ? value * 2 : -value * 2 - 1;
      while (raw > 0x7f) {
        const rest = Math.floor(raw / 128);
        buffer[at++] = (raw - rest * 128) | 0x80;
        raw = rest;
      }
      buffer[at++] = raw;
    }
    this.at = at;
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number' && value < EXACT_DOUBLE && value > -EXACT_DOUBLE) return this.long(value);
    const big = BigInt(value);
    let rest = BigInt.asUintN(64, (big << 1n) ^ (big >> 63n));
    while (rest > 0x7fn) {
      this.buffer[this.at++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buffer[this.at++] = Number(rest);
  }

  double(value: number): void {
    if (this.at + 8 <= this.buffer.length) this.buffer.writeDoubleLE(value, this.at);
    this.at += 8;
  }

  text(text: string): void {
    const { length } = text;
    if (length <= SHORT_TEXT && this.ascii(text, length)) return;
    const bytes = Buffer.byteLength(text);
    this.long(bytes);
    if (this.at + bytes <= this.buffer.length) this.buffer.write(text, this.at, bytes, 'utf8');
    this.at += bytes;
  }

  textOrNull(text: string | null): void {
    if (text === null) return this.byte(0);
    this.byte(2);
    this.text(text);
  }

  longOrNull(value: number | null): void {
    if (value === null) return this.byte(0);
    this.byte(2);
    this.long(value);
  }

  texts(texts: readonly string[]): void {
    if (texts.length > 0) {
      this.long(texts.length);
      for (const text of texts) this.text(text);
    }
    this.byte(0);
  }

  /** Once more what stands at `from`, up to `to`. */
  again(from: number, to: number): void {
    const { buffer } = this;
    for (let each = from; each < to; each++) buffer[this.at++] = buffer[each]!;
  }

  /** False, and nothing written, where a character is not ASCII. */
  private ascii(text: string, length: number): boolean {
    const { buffer } = this;
    let at = this.at;
    buffer[at++] = length << 1;
    for (let each = 0; each < length; each++) {
      const code = text.charCodeAt(each);
      if (code > 0x7f) return false;
      buffer[at++] = code;
    }
    this.at = at;
    return true;
  }
}
