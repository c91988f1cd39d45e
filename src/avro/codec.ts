import type { Type } from 'avsc';
import { DuologError } from '../errors/duolog-error.js';
import type { SchemaRegistry } from './registry.js';
import { compile, type AvroSchema } from './schema.js';

/** Zero byte and schema id, as every serializer of this registry writes it. */
export const HEADER_BYTES = 5;
const SLAB_BYTES = 256 * 1024;

/** Writes a value at a place of a buffer: gives the end, or how much room is missing, below zero. As avsc's types do. */
interface Writing<T> {
  encode(value: T, buffer: Buffer, at: number): number;
}

/**
 * Memory that messages are written into, one after the other. A message is a view of it, so a slab lives as long as
 * its last message and is never written twice.
 */
export class Slab {
  private buffer = Buffer.alloc(0);
  private used = 0;

  encode<T>(id: number, type: Writing<T>, value: T): Buffer {
    let end = this.used + HEADER_BYTES;
    let missing = this.buffer.length < end ? HEADER_BYTES : 0;
    if (missing === 0) {
      const result = type.encode(value, this.buffer, end);
      if (result >= 0) end = result;
      else missing = HEADER_BYTES + (this.buffer.length - this.used) - result;
    }
    if (missing > 0) {
      this.buffer = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, missing));
      this.used = 0;
      end = type.encode(value, this.buffer, HEADER_BYTES);
      if (end < 0) {
        this.buffer = Buffer.allocUnsafeSlow(this.buffer.length - end + HEADER_BYTES);
        end = type.encode(value, this.buffer, HEADER_BYTES);
      }
    }
    const message = this.buffer.subarray(this.used, end);
    message[0] = 0;
    message.writeUInt32BE(id, 1);
    this.used = end;
    return message;
  }
}

/** Writes values of one schema under its id in the registry. */
export class Encoder<T> {
  constructor(
    readonly id: number,
    private readonly type: Type,
    private readonly slab: Slab,
  ) {}

  encode(value: T): Buffer {
    return this.slab.encode(this.id, this.type, value);
  }
}

/** Registers schemas and makes their encoders; all of a task's share a slab. */
export class Encoders {
  private readonly slab = new Slab();

  constructor(private readonly registry: SchemaRegistry) {}

  /** @throws DuologError SCHEMA_INCOMPATIBLE, REGISTRY_UNREACHABLE, REGISTRY_REFUSED. */
  async register<T>(topic: string, part: 'key' | 'value', schema: AvroSchema): Promise<Encoder<T>> {
    return new Encoder<T>(await this.registry.register(topic, part, schema), compile(schema), this.slab);
  }
}

export interface Decoded {
  readonly schema: AvroSchema;
  readonly value: unknown;
}

interface KnownSchema {
  readonly schema: AvroSchema;
  readonly type: Type;
}

/**
 * Reads messages with the schema they were written under. Schemas come from the registry once: `prepare` fetches
 * those that a batch needs, then decoding is synchronous.
 */
export class Decoder {
  private readonly known = new Map<number, KnownSchema>();
  private lastId = -1;
  private last: KnownSchema | null = null;

  constructor(private readonly registry: SchemaRegistry) {}

  /** @throws DuologError SCHEMA_UNKNOWN, REGISTRY_UNREACHABLE. */
  async prepare(messages: Iterable<Buffer | null>): Promise<void> {
    let previous = this.lastId;
    for (const message of messages) {
      if (message === null || message.length < HEADER_BYTES) continue;
      const id = message.readUInt32BE(1);
      if (id === previous) continue;
      previous = id;
      if (!this.known.has(id) && message[0] === 0) await this.learn(id);
    }
  }

  /** @throws DuologError SCHEMA_UNKNOWN, REGISTRY_UNREACHABLE. */
  async prepareIds(ids: Iterable<number>): Promise<void> {
    for (const id of ids) if (!this.known.has(id)) await this.learn(id);
  }

  /** Ids of all schemas fetched so far. */
  ids(): readonly number[] {
    return [...this.known.keys()];
  }

  /** One that was prepared. */
  schema(id: number): AvroSchema {
    return this.knownSchema(id).schema;
  }

  /** @throws DuologError MESSAGE_UNREADABLE. */
  decode(message: Buffer): Decoded {
    const known = this.schemaOf(message);
    try {
      const { value, offset } = known.type.decode(message, HEADER_BYTES);
      if (offset !== message.length) throw new Error(`ends at byte ${offset} of ${message.length}`);
      return { schema: known.schema, value };
    } catch (cause) {
      throw new DuologError('MESSAGE_UNREADABLE', 'A message does not fit the schema it names.', { cause });
    }
  }

  private schemaOf(message: Buffer): KnownSchema {
    if (message.length < HEADER_BYTES || message[0] !== 0) {
      throw new DuologError('MESSAGE_UNREADABLE', 'A message does not begin with a schema id.');
    }
    const id = message.readUInt32BE(1);
    if (id !== this.lastId || this.last === null) {
      this.last = this.knownSchema(id);
      this.lastId = id;
    }
    return this.last;
  }

  private knownSchema(id: number): KnownSchema {
    const known = this.known.get(id);
    if (known === undefined) throw new DuologError('INTERNAL', `schema ${id} was not prepared`);
    return known;
  }

  private async learn(id: number): Promise<void> {
    const schema = await this.registry.schema(id);
    this.known.set(id, { schema, type: compile(schema) });
  }
}
