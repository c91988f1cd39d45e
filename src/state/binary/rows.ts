import type { AvroField, AvroSchema } from '../../avro/schema.js';
import type { FieldValue } from '../../decision/events.js';
import type { Row } from '../../model/value.js';
import type { BinaryReader, BinaryWriter } from './bytes.js';
import { ValueForm } from './values.js';

type Fields = Readonly<Record<string, FieldValue>>;

const NONE: readonly string[] = Object.freeze([]);

interface Place {
  /** The system's own name. */
  readonly name: string;
  /** The canonical field that it is mapped to, or null. */
  readonly field: string | null;
  readonly form: ValueForm;
}

/** A record of values under fixed names: the canonical record, or a member's row beside it (see `SharedRow`). */
export class RowForm {
  private readonly places: readonly Place[];
  /** All names, so that every row is made with the same shape at once. */
  private readonly empty: () => Record<string, FieldValue>;

  constructor(fields: readonly AvroField[]) {
    this.places = fields.map(({ name, column, field, type }) => ({
      name: column ?? name,
      field: field ?? null,
      form: new ValueForm(type as readonly AvroSchema[]),
    }));
    this.empty = maker(this.places.map(({ name }) => name));
  }

  missing(record: Fields): readonly string[] {
    let missing: string[] | null = null;
    for (const { name } of this.places) if (record[name] === undefined) (missing ??= []).push(name);
    return missing ?? NONE;
  }

  write(to: BinaryWriter, record: Fields): void {
    for (const { name, form } of this.places) form.write(to, record[name]);
  }

  /** The values alone; which of them are missing is told behind them. */
  read(from: BinaryReader): Record<string, FieldValue> {
    const record = this.empty();
    for (const { name, form } of this.places) record[name] = form.read(from);
    return record;
  }

  /** Without the values that stand in the canonical; gives the names of those that are null where the canonical is not. */
  writeShared(to: BinaryWriter, row: Row, canonical: Fields): readonly string[] {
    let nulls: string[] | null = null;
    for (const { name, field, form } of this.places) {
      const own = row[name];
      const value = own ?? null;
      const agreed = field === null ? null : (canonical[field] ?? null);
      if (value === agreed) {
        to.byte(0);
        continue;
      }
      form.write(to, value);
      if (value === null && own === null) (nulls ??= []).push(name);
    }
    return nulls ?? NONE;
  }

  /** Puts the values that stand in the canonical into a row just read. */
  completeShared(row: Record<string, FieldValue>, nulls: readonly string[], canonical: Fields): void {
    for (const { name, field } of this.places) {
      if (field === null || row[name] !== null || (nulls.length > 0 && nulls.includes(name))) continue;
      row[name] = canonical[field] ?? null;
    }
  }
}

/** The record without the names that are missing from it. */
export function without(record: Record<string, FieldValue>, missing: readonly string[]): Record<string, FieldValue> {
  if (missing.length === 0) return record;
  const kept: Record<string, FieldValue> = {};
  for (const name in record) if (!missing.includes(name)) kept[name] = record[name]!;
  return kept;
}

/** Makes objects with these names and null values: a literal, whose shape the compiler knows, unlike names added one by one. */
export function maker(names: readonly string[]): () => Record<string, never> {
  const literal = names.map((name) => `${JSON.stringify(name)}: null`).join(', ');
  // oxlint-disable-next-line typescript/no-implied-eval -- the names are the plan's, quoted; nothing else makes a literal of them
  return new Function(`return { ${literal} };`) as () => Record<string, never>;
}
