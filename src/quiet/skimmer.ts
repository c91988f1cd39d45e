import { skipLength } from './row-layout.js';

/** Goes over a message's bytes without making values of them. Beyond their end everything is NaN, which no comparison passes. */
export class Skimmer {
  buf: Buffer = Buffer.alloc(0);
  pos = 0;

  begin(buf: Buffer, pos: number): void {
    this.buf = buf;
    this.pos = pos;
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

  /** An empty array or map, null, false, 0: one byte. */
  isZero(): boolean {
    return this.buf[this.pos++] === 0;
  }

  skipText(): void {
    this.pos = skipLength(this.buf, this.pos);
  }

  skipTextOrNull(): void {
    if (!this.isZero()) this.skipText();
  }

  skipLongOrNull(): void {
    if (!this.isZero()) this.long();
  }

  /** An array of texts as it is written here: in one block. */
  skipTexts(): void {
    const count = this.long();
    if (count === 0) return;
    for (let each = 0; each < count; each++) this.skipText();
    // Written in blocks of another kind: not by us.
    if (count < 0 || !this.isZero()) this.pos = Number.NaN;
  }

  /** The text from here on is this one; goes past it. */
  isText(text: Buffer): boolean {
    const { buf, pos } = this;
    const end = skipLength(buf, pos);
    this.pos = end;
    if (!(end - pos === text.length)) return false;
    for (let each = 0; each < text.length; each++) if (buf[pos + each] !== text[each]) return false;
    return true;
  }
}

/** A text as Avro writes it, its length in front. */
export function avroText(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length: number[] = [];
  let raw = bytes.length * 2;
  while (raw > 0x7f) {
    length.push((raw & 0x7f) | 0x80);
    raw = Math.floor(raw / 128);
  }
  length.push(raw);
  return Buffer.concat([Buffer.from(length), bytes]);
}
