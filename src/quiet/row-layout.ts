import type { AvroField, AvroLogical, AvroSchema } from '../avro/schema.js';
import { ValueForm } from '../state/binary/values.js';

const NULL = 0;
const BOOLEAN = 1;
const INTEGER = 2;
const DOUBLE = 3;
const LENGTH = 4;
const OTHER = 5;

/** Where the values of a record stand in a message's bytes: a column of a row, or a canonical field, after the other. */
export class RowLayout {
  /** The system's own names, in the order of the bytes. */
  readonly names: readonly string[];
  readonly forms: readonly ValueForm[];
  /** Two unions with the same signature write equal values as equal bytes. */
  readonly signatures: readonly string[];
  private readonly kinds: readonly Uint8Array[];

  constructor(fields: readonly AvroField[]) {
    this.names = fields.map(({ name, column }) => column ?? name);
    const unions = fields.map(({ type }) => type as readonly AvroSchema[]);
    this.forms = unions.map((union) => new ValueForm(union));
    this.signatures = unions.map((union) => union.map(signature).join('|'));
    this.kinds = unions.map((union) => Uint8Array.from(union, kind));
  }

  get length(): number {
    return this.names.length;
  }

  /** A place for the beginnings of the values, and the end of the last. */
  places(): Int32Array {
    return new Int32Array(this.names.length + 1);
  }

  /** Notes where each value begins; gives the end, or NaN where the bytes are no such record. */
  walk(buf: Buffer, start: number, places: Int32Array): number {
    const { kinds } = this;
    let pos = start;
    for (let each = 0; each < kinds.length; each++) {
      places[each] = pos;
      pos = skipValue(buf, pos, kinds[each]!);
    }
    places[kinds.length] = pos;
    return pos;
  }
}

function skipValue(buf: Buffer, start: number, kinds: Uint8Array): number {
  // A union of ours has fewer than 64 branches.
  switch (kinds[buf[start]! >>> 1]) {
    case NULL:
      return start + 1;
    case BOOLEAN:
      return start + 2;
    case INTEGER: {
      let pos = start + 1;
      while (buf[pos++]! >= 0x80);
      return pos;
    }
    case DOUBLE:
      return start + 9;
    case LENGTH:
      return skipLength(buf, start + 1);
    default:
      return Number.NaN;
  }
}

/** Past a text or bytes with their length in front. */
export function skipLength(buf: Buffer, start: number): number {
  let pos = start;
  let byte = buf[pos++]!;
  if (byte < 0x80) return pos + (byte >>> 1);
  let raw = byte & 0x7f;
  let factor = 128;
  do {
    byte = buf[pos++]!;
    raw += (byte & 0x7f) * factor;
    factor *= 128;
  } while (byte >= 0x80);
  return pos + raw / 2;
}

/** The same bytes in both, as long as they are. */
export function sameBytes(
  one: Buffer,
  start: number,
  end: number,
  other: Buffer,
  otherStart: number,
  otherEnd: number,
): boolean {
  if (end - start !== otherEnd - otherStart) return false;
  for (let each = start, at = otherStart; each < end; each++, at++) {
    if (one[each] !== other[at]) return false;
  }
  return true;
}

function typeOf(branch: AvroSchema): string {
  return typeof branch === 'string' ? branch : (branch as AvroLogical).type;
}

function kind(branch: AvroSchema): number {
  switch (typeOf(branch)) {
    case 'null':
      return NULL;
    case 'boolean':
      return BOOLEAN;
    case 'int':
    case 'long':
      return INTEGER;
    case 'double':
      return DOUBLE;
    case 'string':
    case 'bytes':
      return LENGTH;
    default:
      return OTHER;
  }
}

function signature(branch: AvroSchema): string {
  const type = typeOf(branch);
  if (type === 'int' || type === 'long') return 'integer';
  const { logicalType, scale } = (typeof branch === 'string' ? {} : branch) as Partial<AvroLogical>;
  return logicalType === 'decimal' ? `decimal:${scale ?? 0}` : type;
}
