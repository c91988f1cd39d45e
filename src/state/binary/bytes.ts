import { isSmall, readInteger, writeBigInteger, type Cursor } from '../../avro/integers.js';

/** Texts up to this length are written a character at a time: quicker than a call out of JavaScript. */
const SHORT_TEXT = 60;

/** Reads Avro's binary forms from one message. Its texts are parts of one text, which is made at once: that is quicker. */
export class BinaryReader implements Cursor {
  pos = 0;
  buf: Buffer = Buffer.alloc(0);
  /** The whole message, a character a byte. */
  private latin = '';

  begin(buf: Buffer, pos: number): void {
    this.buf = buf;
    this.pos = pos;
    this.latin = '';
  }

  byte(): number {
    return this.buf[this.pos++]!;
  }

  /** A long that a number holds exactly. */
  long(): number {
    const { buf } = this;
    let byte = buf[this.pos++]!;
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let raw = byte & 0x7f;
    let factor = 128;
    do {
      byte = buf[this.pos++]!;
      raw += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte >= 0x80);
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  }

  /** Any long: a bigint where a number is not exact. */
  integer(): number | bigint {
    return readInteger(this);
  }

  double(): number {
    const value = this.buf.readDoubleLE(this.pos);
    this.pos += 8;
    return value;
  }

  text(): string {
    const length = this.long();
    const { pos, buf } = this;
    const end = pos + length;
    // Also where there is no end: NaN is what stands behind the last byte.
    if (!(length >= 0 && end <= buf.length)) throw new Error('a text ends beyond its message');
    this.pos = end;
    for (let each = pos; each < end; each++) if (buf[each]! > 0x7f) return buf.toString('utf8', pos, end);
    if (this.latin === '') this.latin = buf.toString('latin1');
    return this.latin.substring(pos, end);
  }

  textOrNull(): string | null {
    return this.long() === 0 ? null : this.text();
  }

  longOrNull(): number | null {
    return this.long() === 0 ? null : this.long();
  }

  texts(): readonly string[] {
    if (this.buf[this.pos] === 0) {
      this.pos++;
      return NO_TEXTS;
    }
    const count = this.count();
    // Every text takes a byte at least: a count that is not true must not make an array of its size.
    if (count > this.buf.length - this.pos) throw new Error('more texts than bytes');
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
}

const NO_TEXTS: readonly string[] = Object.freeze([]);

/**
 * Writes Avro's binary forms. What goes beyond the end of the buffer is not written but counted, so that the caller
 * sees how much room is missing.
 */
export class BinaryWriter implements Cursor {
  pos = 0;
  buf: Buffer = Buffer.alloc(0);

  begin(buf: Buffer, pos: number): void {
    this.buf = buf;
    this.pos = pos;
  }

  byte(value: number): void {
    this.buf[this.pos++] = value;
  }

  /** A long that a number holds exactly, below 2^52. */
  long(value: number): void {
    const { buf } = this;
    let { pos } = this;
    if (value >= -0x40000000 && value < 0x40000000) {
      let raw = value >= 0 ? value << 1 : (~value << 1) | 1;
      while (raw > 0x7f) {
        buf[pos++] = (raw & 0x7f) | 0x80;
        raw >>>= 7;
      }
      buf[pos++] = raw;
    } else {
      let raw = value >= 0 ? value * 2 : -value * 2 - 1;
      while (raw > 0x7f) {
        const rest = Math.floor(raw / 128);
        buf[pos++] = (raw - rest * 128) | 0x80;
        raw = rest;
      }
      buf[pos++] = raw;
    }
    this.pos = pos;
  }

  integer(value: number | bigint): void {
    if (typeof value === 'number' && isSmall(value)) return this.long(value);
    writeBigInteger(this, BigInt(value));
  }

  double(value: number): void {
    if (this.pos + 8 <= this.buf.length) this.buf.writeDoubleLE(value, this.pos);
    this.pos += 8;
  }

  text(text: string): void {
    const { length } = text;
    if (length <= SHORT_TEXT && this.ascii(text, length)) return;
    const bytes = Buffer.byteLength(text);
    this.long(bytes);
    if (this.pos + bytes <= this.buf.length) this.buf.write(text, this.pos, bytes, 'utf8');
    this.pos += bytes;
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
    const { buf } = this;
    for (let each = from; each < to; each++) buf[this.pos++] = buf[each]!;
  }

  /** False, and nothing written, where a character is not ASCII. */
  private ascii(text: string, length: number): boolean {
    const { buf } = this;
    let { pos } = this;
    buf[pos++] = length << 1;
    for (let each = 0; each < length; each++) {
      const code = text.charCodeAt(each);
      if (code > 0x7f) return false;
      buf[pos++] = code;
    }
    this.pos = pos;
    return true;
  }
}
