import avro, { type Schema, type Type } from 'avsc';
import { decimalBytes, decimalText } from './decimal.js';
import { doubleValue, isSmall, readInteger, writeBigInteger, type Cursor } from './integers.js';

/**
 * Reads and writes the unions of our schemas directly as `Value`s, with the branch found by the value's own form:
 * avsc's unions would wrap them, and its longs lose what is beyond 2^53.
 *
 * | branch                         | form in memory                                    |
 * |--------------------------------|---------------------------------------------------|
 * | int, long, with logical types  | number, or bigint where a number is not exact     |
 * | double                         | number; NaN, Infinity, -Infinity as texts         |
 * | bytes                          | lower-case hexadecimal text                       |
 * | bytes with `decimal`           | text with the scale's digits                      |
 * | string, with logical types     | text                                              |
 * | a record, array or map         | an object                                         |
 */

/** What avsc's generated code calls; not part of its declared types, so the version of avsc is pinned. */
interface Tap extends Cursor {
  readLong(): number;
  writeLong(value: number): void;
  readDouble(): number;
  writeDouble(value: number): void;
  readString(): string;
  writeString(value: string): void;
  readBytes(): Buffer;
  writeBytes(value: Buffer): void;
}

interface BranchType extends Type {
  _read(tap: Tap): unknown;
  _write(tap: Tap, value: unknown): void;
  _skip(tap: Tap): void;
  _check(value: unknown): boolean;
}

type BranchKind = 'null' | 'boolean' | 'integer' | 'double' | 'bytes' | 'decimal' | 'string' | 'complex';

const NONE = -1;

/** One for each union in a schema: give it to avsc as the `typeHook`. */
export function valueUnionHook(): (schema: Schema, options: unknown) => Type | undefined {
  const underConstruction = new Set<unknown>();
  return (schema, options) => {
    if (!Array.isArray(schema) || underConstruction.has(schema)) return undefined;
    underConstruction.add(schema);
    try {
      return new ValueUnion(schema, options);
    } finally {
      underConstruction.delete(schema);
    }
  };
}

class ValueUnion extends avro.types.LogicalType {
  private readonly kinds: readonly BranchKind[];
  private readonly types: readonly BranchType[];
  private readonly scale: number;
  private readonly indexOf: Readonly<Record<BranchKind, number>>;

  constructor(schema: Schema, options: unknown) {
    super(schema, options);
    const branches = schema as unknown as readonly unknown[];
    this.types = (this.underlyingType as unknown as { types: readonly BranchType[] }).types;
    this.kinds = branches.map((branch, index) => branchKind(branch, this.types[index]!));
    const find = (kind: BranchKind) => this.kinds.indexOf(kind);
    this.indexOf = {
      null: find('null'),
      boolean: find('boolean'),
      integer: find('integer'),
      double: find('double'),
      bytes: find('bytes'),
      decimal: find('decimal'),
      string: find('string'),
      complex: find('complex'),
    };
    const decimal = branches[this.indexOf.decimal] as { scale?: number } | undefined;
    this.scale = decimal?.scale ?? 0;
  }

  _read(tap: Tap): unknown {
    const index = tap.readLong();
    switch (this.kinds[index]) {
      case 'null':
        return null;
      case 'boolean':
        return tap.buf[tap.pos++] === 1;
      case 'integer':
        return readInteger(tap);
      case 'double':
        return doubleValue(tap.readDouble());
      case 'bytes':
        return tap.readBytes().toString('hex');
      case 'decimal':
        return decimalText(tap.readBytes(), this.scale);
      case 'string':
        return tap.readString();
      case 'complex':
        return this.types[index]!._read(tap);
      default:
        throw new Error('a union branch that its schema does not have');
    }
  }

  _write(tap: Tap, value: unknown): void {
    switch (typeof value) {
      case 'string':
        return this.writeText(tap, value);
      case 'number':
        return this.writeNumber(tap, value);
      case 'bigint':
        this.branch(tap, this.indexOf.integer, value);
        return writeBigInteger(tap, value);
      case 'boolean':
        this.branch(tap, this.indexOf.boolean, value);
        tap.buf[tap.pos++] = value ? 1 : 0;
        return;
      default:
        if (value === null || value === undefined) return this.branch(tap, this.indexOf.null, value);
        this.branch(tap, this.indexOf.complex, value);
        return this.types[this.indexOf.complex]!._write(tap, value);
    }
  }

  private writeText(tap: Tap, value: string): void {
    const { decimal, string, bytes, double } = this.indexOf;
    if (decimal !== NONE) {
      const encoded = decimalBytes(value, this.scale);
      if (encoded !== null) {
        tap.writeLong(decimal);
        return tap.writeBytes(encoded);
      }
    }
    if (string !== NONE) {
      tap.writeLong(string);
      return tap.writeString(value);
    }
    if (bytes !== NONE) {
      tap.writeLong(bytes);
      return tap.writeBytes(Buffer.from(value, 'hex'));
    }
    this.branch(tap, double, value);
    tap.writeDouble(Number(value));
  }

  private writeNumber(tap: Tap, value: number): void {
    const { integer, double } = this.indexOf;
    if (integer !== NONE && Number.isSafeInteger(value)) {
      tap.writeLong(integer);
      if (isSmall(value)) return tap.writeLong(value);
      return writeBigInteger(tap, BigInt(value));
    }
    this.branch(tap, double, value);
    tap.writeDouble(value);
  }

  /** Writes the branch's number, or says that the schema has no place for the value (its type only: values are nobody's business). */
  private branch(tap: Tap, index: number, value: unknown): void {
    if (index === NONE) throw new TypeError(`no branch for a ${typeof value} among ${this.kinds.join(', ')}`);
    tap.writeLong(index);
  }

  _check(value: unknown): boolean {
    const kind = (
      {
        boolean: this.indexOf.boolean,
        number: Math.max(this.indexOf.integer, this.indexOf.double),
        bigint: this.indexOf.integer,
        string: Math.max(this.indexOf.string, this.indexOf.bytes, this.indexOf.decimal, this.indexOf.double),
        object: value === null ? this.indexOf.null : this.indexOf.complex,
        undefined: this.indexOf.null,
      } as Readonly<Record<string, number>>
    )[typeof value];
    return kind !== undefined && kind !== NONE;
  }

  // avsc asks for these when it copies defaults, which are null or plain values.
  protected override _fromValue(value: unknown): unknown {
    return value;
  }
  protected override _toValue(value: unknown): unknown {
    return value;
  }
  protected override _resolve(): undefined {
    return undefined;
  }
}

function branchKind(branch: unknown, type: BranchType): BranchKind {
  const name = typeof branch === 'string' ? branch : (branch as { type: string }).type;
  switch (name) {
    case 'null':
    case 'boolean':
    case 'string':
    case 'double':
      return name;
    case 'int':
    case 'long':
      return 'integer';
    case 'bytes':
      return (branch as { logicalType?: string }).logicalType === 'decimal' ? 'decimal' : 'bytes';
    default:
      if (/^(record|array|map)$/.test(type.typeName)) return 'complex';
      throw new Error(`a union of our schemas cannot have the branch ${type.typeName}`);
  }
}
