import { HEADER_BYTES, type Decoder } from './codec.js';
import { layoutOf } from './layout.js';
import type { AvroSchema } from './schema.js';

/** Which messages lie in their bytes as one schema has it, so that they can be read without avsc. */
export class KnownLayout {
  private readonly layout: string;
  /** By schema id. */
  private readonly known = new Map<number, boolean>();

  constructor(
    private readonly decoder: Pick<Decoder, 'schema'>,
    schema: AvroSchema,
  ) {
    this.layout = layoutOf(schema);
  }

  /** Of a message whose schema was prepared. */
  has(message: Buffer): boolean {
    if (message.length < HEADER_BYTES || message[0] !== 0) return false;
    const id = message.readUInt32BE(1);
    let isKnown = this.known.get(id);
    if (isKnown === undefined) {
      isKnown = layoutOf(this.decoder.schema(id)) === this.layout;
      this.known.set(id, isKnown);
    }
    return isKnown;
  }
}
