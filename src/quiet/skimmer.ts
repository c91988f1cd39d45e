import { BinaryReader } from '../state/binary/bytes.js';
import { skipLength } from './row-layout.js';

/** Goes over a message's bytes without making values of them. Beyond their end its place is NaN, or behind
 * them, which no comparison with the end passes. */
export class Skimmer extends BinaryReader {
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
    if (!this.mayHave(count)) return;
    for (let each = 0; each < count; each++) this.skipText();
    if (!this.isZero()) this.pos = Number.NaN;
  }

  /** False, and beyond the end, for blocks of another kind than ours, and for more items than bytes. */
  mayHave(count: number): boolean {
    const may = count >= 0 && count <= this.buf.length - this.pos;
    if (!may) this.pos = Number.NaN;
    return may;
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
