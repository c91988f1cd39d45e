import { decimalBytes, decimalText } from '../../avro/decimal.js';
import { doubleValue } from '../../avro/integers.js';
import type { AvroLogical, AvroSchema } from '../../avro/schema.js';
import type { FieldValue } from '../../decision/events.js';
import type { BinaryReader, BinaryWriter } from './bytes.js';

type Branch = 'null' | 'boolean' | 'integer' | 'double' | 'bytes' | 'decimal' | 'string' | 'reference';

const NONE = -1;
const ZERO = 48;

/** The values of one union of a schema, in the forms of `avro/value-union.ts`, bytes to value and back without steps between. */
export class ValueForm {
  private readonly branches: readonly Branch[];
  private readonly scale: number;
  private readonly boolean: number;
  private readonly integer: number;
  private readonly double: number;
  private readonly bytes: number;
  private readonly decimal: number;
  private readonly string: number;
  private readonly reference: number;

  constructor(union: readonly AvroSchema[]) {
    this.branches = union.map(branchOf);
    const place = (branch: Branch) => this.branches.indexOf(branch);
    this.boolean = place('boolean');
    this.integer = place('integer');
    this.double = place('double');
    this.bytes = place('bytes');
    this.decimal = place('decimal');
    this.string = place('string');
    this.reference = place('reference');
    this.scale = (union[this.decimal] as AvroLogical | undefined)?.scale ?? 0;
  }

  read(from: BinaryReader): FieldValue {
    switch (this.branches[from.long()]) {
      case 'null':
        return null;
      case 'boolean':
        return from.byte() === 1;
      case 'integer':
        return from.integer();
      case 'double':
        return doubleValue(from.double());
      case 'bytes':
        return slice(from).toString('hex');
      case 'decimal':
        return readDecimal(from, this.scale);
      case 'string':
        return from.text();
      case 'reference':
        return readReference(from);
      default:
        throw new Error('a union branch that its schema does not have');
    }
  }

  write(to: BinaryWriter, value: FieldValue | undefined): void {
    if (value === null || value === undefined) return to.byte(0);
    switch (typeof value) {
      case 'string':
        return this.writeText(to, value);
      case 'number':
        if (this.integer !== NONE && Number.isSafeInteger(value)) {
          to.long(this.integer);
          return to.integer(value);
        }
        this.branch(to, this.double, value);
        return to.double(value);
      case 'bigint':
        this.branch(to, this.integer, value);
        return to.integer(value);
      case 'boolean':
        this.branch(to, this.boolean, value);
        return to.byte(value ? 1 : 0);
      default:
        this.branch(to, this.reference, value);
        writeReference(to, value);
    }
  }

  private writeText(to: BinaryWriter, value: string): void {
    if (this.decimal !== NONE && writeDecimal(to, this.decimal, value, this.scale)) return;
    if (this.string !== NONE) {
      to.long(this.string);
      return to.text(value);
    }
    if (this.bytes !== NONE) {
      to.long(this.bytes);
      return writeBytes(to, Buffer.from(value, 'hex'));
    }
    this.branch(to, this.double, value);
    to.double(Number(value));
  }

  /** The branch's number; an error says the type of the value only: values are nobody's business. */
  private branch(to: BinaryWriter, place: number, value: unknown): void {
    if (place === NONE) throw new TypeError(`no branch for a ${typeof value} among ${this.branches.join(', ')}`);
    to.long(place);
  }
}

function branchOf(branch: AvroSchema): Branch {
  const { type, name, logicalType } = typeof branch === 'string' ? named(branch) : (branch as Named);
  switch (type) {
    case 'null':
    case 'boolean':
    case 'string':
    case 'double':
      return type;
    case 'int':
    case 'long':
      return 'integer';
    case 'bytes':
      return logicalType === 'decimal' ? 'decimal' : 'bytes';
    default:
      if (name === 'Reference') return 'reference';
      throw new Error(`a value of the state cannot be of type ${type}`);
  }
}

interface Named {
  readonly type: string;
  readonly name?: string;
  readonly logicalType?: string;
}

function named(branch: string): Named {
  return branch.endsWith('.Reference') ? { type: 'record', name: 'Reference' } : { type: branch };
}

function slice(from: BinaryReader): Buffer {
  const length = from.long();
  from.pos += length;
  return from.buf.subarray(from.pos - length, from.pos);
}

function writeBytes(to: BinaryWriter, bytes: Buffer): void {
  to.long(bytes.length);
  for (const byte of bytes) to.byte(byte);
}

function readDecimal(from: BinaryReader, scale: number): string {
  const length = from.buf[from.pos]! >>> 1;
  if (length === 0 || length > 6 || scale === 0) return decimalText(slice(from), scale);
  from.pos++;
  const unscaled = from.buf.readIntBE(from.pos, length);
  from.pos += length;
  const negative = unscaled < 0;
  let digits = String(negative ? -unscaled : unscaled);
  while (digits.length <= scale) digits = `0${digits}`;
  const point = digits.length - scale;
  return `${negative ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** False, and nothing written, where the text is no number of that scale: it goes as text. */
function writeDecimal(to: BinaryWriter, branch: number, text: string, scale: number): boolean {
  const unscaled = smallUnscaled(text, scale);
  if (unscaled === NONE) {
    const bytes = decimalBytes(text, scale);
    if (bytes === null) return false;
    to.long(branch);
    writeBytes(to, bytes);
    return true;
  }
  to.long(branch);
  const length = unscaled < 0x80 ? 1 : unscaled < 0x8000 ? 2 : unscaled < 0x800000 ? 3 : 4;
  to.long(length);
  for (let shift = (length - 1) * 8; shift >= 0; shift -= 8) to.byte((unscaled >>> shift) & 0xff);
  return true;
}

/** Of the usual amounts: no sign, up to nine digits, none superfluous. NONE for all others. */
function smallUnscaled(text: string, scale: number): number {
  const { length } = text;
  const point = length - scale - 1;
  if (scale === 0 || length > 10 || point < 1 || (point > 1 && text.charCodeAt(0) === ZERO)) return NONE;
  let unscaled = 0;
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at);
    if (at === point) {
      if (code !== POINT) return NONE;
    } else if (code >= ZERO && code <= ZERO + 9) {
      unscaled = unscaled * 10 + (code - ZERO);
    } else {
      return NONE;
    }
  }
  return unscaled;
}

const POINT = 46;

function readReference(from: BinaryReader): FieldValue {
  const link = from.textOrNull();
  const system = from.textOrNull();
  const entity = from.textOrNull();
  const key = from.textOrNull();
  return link === null ? { system: system!, entity: entity!, key: key! } : { link };
}

function writeReference(to: BinaryWriter, value: Exclude<FieldValue, string | number | bigint | boolean | null>): void {
  const reference = value as Partial<Record<'link' | 'system' | 'entity' | 'key', string>>;
  to.textOrNull(reference.link ?? null);
  to.textOrNull(reference.system ?? null);
  to.textOrNull(reference.entity ?? null);
  to.textOrNull(reference.key ?? null);
}
