import { Slab, type Encoders } from '../avro/codec.js';
import { OutcomeEncoder, outcomeSchema } from '../avro/command-codec.js';
import type { AvroEnum, AvroField } from '../avro/schema.js';
import type { Outcome } from '../connector/contract.js';
import { BinaryWriter } from '../state/binary/bytes.js';

type Confirmed = Extract<Outcome, { readonly status: 'applied' | 'unchanged' }>;

const FIELDS = outcomeSchema().fields;
const STATUS = (FIELDS.find(({ name }) => name === 'status')!.type as AvroEnum).symbols;
/** What only refusals and failures say stands behind the key, and is null. */
const NULLS = FIELDS.length - 1 - FIELDS.findIndex(({ name }: AvroField) => name === 'key');

/** Outcomes as messages; those that nearly all commands come to without avsc and the record between. */
export class OutcomeWriter {
  private readonly slab = new Slab();
  private readonly to = new BinaryWriter();

  private constructor(private readonly encoder: OutcomeEncoder) {}

  /** @throws DuologError SCHEMA_INCOMPATIBLE, REGISTRY_UNREACHABLE, REGISTRY_REFUSED. */
  static async register(encoders: Encoders, topic: string): Promise<OutcomeWriter> {
    return new OutcomeWriter(await OutcomeEncoder.register(encoders, topic));
  }

  write(outcome: Outcome): Buffer {
    if (outcome.status !== 'applied' && outcome.status !== 'unchanged') return this.encoder.encode(outcome);
    return this.slab.encode(this.encoder.schemaId, this, outcome);
  }

  /** What a slab calls: gives the end, or how much room is missing, below zero. */
  encode({ command, link, entity, status, key }: Confirmed, buffer: Buffer, at: number): number {
    const { to } = this;
    to.begin(buffer, at);
    to.text(command);
    to.text(link);
    to.text(entity);
    to.long(STATUS.indexOf(status));
    to.textOrNull(key);
    for (let each = 0; each < NULLS; each++) to.byte(0);
    return to.pos <= buffer.length ? to.pos : buffer.length - to.pos;
  }
}
