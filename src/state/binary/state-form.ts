import { HEADER_BYTES, Slab } from '../../avro/codec.js';
import type { AvroEnum, AvroField, AvroRecord, AvroSchema } from '../../avro/schema.js';
import type { LinkRecord } from '../../decision/state.js';
import { DuologError } from '../../errors/duolog-error.js';
import { BinaryReader, BinaryWriter } from './bytes.js';
import { LinkForm } from './link-form.js';

/**
 * The links of a state from and to the bytes of one schema. A link passes here at least twice a change, and this way
 * takes a quarter of the time that avsc and its objects between take (bench/README.md).
 */
export class StateForm {
  private readonly forms: readonly LinkForm[];
  private readonly placeOf: ReadonlyMap<string, number>;
  private readonly reader = new BinaryReader();
  private readonly writer = new BinaryWriter();
  private readonly slab = new Slab();

  constructor(
    private readonly id: number,
    schema: AvroRecord,
    systems: AvroEnum,
  ) {
    const names = systems.symbols.map((symbol, at) => systems.names?.[at] ?? symbol);
    const entities = schema.fields.slice(1);
    this.forms = entities.map((field) => new LinkForm(field, names, groupsOf(field)));
    this.placeOf = new Map(this.forms.map(({ entity }, place) => [entity, place]));
  }

  write(link: LinkRecord): Buffer {
    return this.slab.encode(this.id, this, link);
  }

  /** What a slab calls: gives the end, or how much room is missing, below zero. */
  encode(link: LinkRecord, buffer: Buffer, at: number): number {
    const { forms, writer } = this;
    const place = this.placeOf.get(link.entity);
    if (place === undefined) throw new DuologError('INTERNAL', `the state has no place for links of ${link.entity}`);
    writer.begin(buffer, at);
    // `other` first, then a field for each entity.
    for (let each = 0; each <= place; each++) writer.byte(0);
    writer.byte(2);
    forms[place]!.write(writer, link);
    for (let each = place + 1; each < forms.length; each++) writer.byte(0);
    return writer.pos <= buffer.length ? writer.pos : buffer.length - writer.pos;
  }

  /** Null for what is no link, or is of another schema. @throws DuologError MESSAGE_UNREADABLE. */
  read(message: Buffer): LinkRecord | null {
    if (message.length < HEADER_BYTES || message[0] !== 0 || message.readUInt32BE(1) !== this.id) return null;
    const { forms, reader } = this;
    try {
      reader.begin(message, HEADER_BYTES);
      if (reader.long() !== 0) return null;
      let link: LinkRecord | null = null;
      for (const form of forms) if (reader.long() !== 0) link = form.read(reader);
      if (link === null || reader.pos !== message.length) throw new Error(`ends at byte ${reader.pos}`);
      return link;
    } catch (cause) {
      throw new DuologError('MESSAGE_UNREADABLE', 'A message does not fit the schema it names.', { cause });
    }
  }
}

function groupsOf({ type }: AvroField): readonly string[] {
  const link = (type as readonly AvroSchema[])[1] as AvroRecord;
  const set = link.fields.find(({ name }) => name === 'set')!.type as AvroRecord;
  return set.fields.map(({ name, column }) => column ?? name);
}
