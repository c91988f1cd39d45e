import { Slab } from '../avro/codec.js';
import { BinaryWriter } from '../state/binary/bytes.js';

/** Pieces up to this length are copied byte by byte: quicker than a call out of JavaScript. */
const SHORT_PIECE = 32;

/** Avro's forms, and pieces of messages that are there already. */
export class QuietWriter extends BinaryWriter {
  copy(from: Buffer, start: number, end: number): void {
    const { buf, pos } = this;
    const length = end - start;
    if (length <= SHORT_PIECE) {
      for (let each = 0; each < length; each++) buf[pos + each] = from[start + each]!;
    } else if (pos + length <= buf.length) {
      from.copy(buf, pos, start, end);
    }
    this.pos = pos + length;
  }

  /** A text that is there with its length in front. */
  piece(text: Buffer): void {
    this.copy(text, 0, text.length);
  }

  zeros(count: number): void {
    for (let each = 0; each < count; each++) this.byte(0);
  }
}

/** Makes messages of what is written piece by piece. */
export class QuietMessages {
  private readonly slab = new Slab();
  private readonly writer = new QuietWriter();
  private write: (to: QuietWriter) => void = () => undefined;
  private readonly writing = {
    encode: (_value: null, buffer: Buffer, at: number): number => {
      const { writer } = this;
      writer.begin(buffer, at);
      this.write(writer);
      return writer.pos <= buffer.length ? writer.pos : buffer.length - writer.pos;
    },
  };

  /** A message under this schema; `write` may be called more than once, where there was not enough room. */
  make(schemaId: number, write: (to: QuietWriter) => void): Buffer {
    this.write = write;
    return this.slab.encode(schemaId, this.writing, null);
  }
}
