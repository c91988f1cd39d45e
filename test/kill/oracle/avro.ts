import avro, { type Type } from 'avsc';

/**
 * Reads Confluent-framed Avro with schemas asked of the registry, by avsc alone. Numbers, amounts and dates come as
 * texts in the form that Postgres writes, so that they compare with what the databases say of themselves.
 */
export class AvroReader {
  readonly #types = new Map<number, Promise<Type>>();

  constructor(private readonly registryUrl: string) {}

  /** @throws Error where the bytes are not framed or the registry does not know the schema. */
  async read<T>(bytes: Buffer): Promise<T> {
    if (bytes[0] !== 0) throw new Error('not framed as Avro with a schema id');
    const type = await this.#type(bytes.readInt32BE(1));
    return type.fromBuffer(bytes.subarray(5)) as T;
  }

  #type(id: number): Promise<Type> {
    let type = this.#types.get(id);
    if (type === undefined) {
      type = this.#load(id);
      this.#types.set(id, type);
      type.catch(() => this.#types.delete(id));
    }
    return type;
  }

  async #load(id: number): Promise<Type> {
    const response = await fetch(`${this.registryUrl}/schemas/ids/${id}`, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`the registry answered ${response.status} for schema ${id}`);
    const { schema } = (await response.json()) as { readonly schema: string };
    return avro.Type.forSchema(JSON.parse(schema) as avro.Schema, {
      // Unions always as { branch: value }: nothing is left to guessing.
      wrapUnions: 'always',
      logicalTypes: { decimal: Decimal },
    });
  }
}

/** Two's complement bytes and a scale, as a text with all its digits. */
export class Decimal extends avro.types.LogicalType {
  readonly #scale: number;

  constructor(schema: avro.Schema, options?: unknown) {
    super(schema, options);
    this.#scale = (schema as { readonly scale?: number }).scale ?? 0;
  }

  protected override _fromValue(bytes: Buffer): string {
    const unscaled = bytes.length === 0 ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`));
    const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(this.#scale + 1, '0');
    const at = digits.length - this.#scale;
    return `${unscaled < 0n ? '-' : ''}${digits.slice(0, at)}${this.#scale > 0 ? `.${digits.slice(at)}` : ''}`;
  }

  protected override _toValue(): never {
    throw new Error('only read');
  }
}

/** The value in a union that avsc has wrapped as { branch: value }; null stays. */
export function unwrapped(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  const [only] = Object.values(value);
  return only;
}

/** A simple value as text, null as null. */
export function textOf(value: unknown): string | null {
  const plain = unwrapped(value);
  if (plain === null || plain === undefined) return null;
  return typeof plain === 'string' ? plain : JSON.stringify(plain);
}
