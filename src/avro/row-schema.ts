import type { Column, ColumnType, TableShape } from '../model/table.js';
import type { EntityPlan, FieldPlan, FieldType } from '../plan/plan.js';
import type { AvroField, AvroRecord, AvroSchema } from './schema.js';

/** Names that a record in JavaScript cannot carry as plain properties. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);

/** Made from the catalogue: every column nullable with default null, so that columns can come and go. */
export function rowSchema(shape: TableShape): AvroRecord {
  const names = avroNames(shape.columns.map((column) => column.name));
  return {
    type: 'record',
    name: 'Row',
    namespace: `duolog.${avroName(shape.system)}.${avroName(shape.entity)}`,
    doc: shape.comment ?? `A row of ${shape.table} in ${shape.system}.`,
    fields: shape.columns.map((column, index) => ({
      name: names[index]!,
      type: ['null', ...columnBranches(column.type)],
      default: null,
      doc: columnDoc(column, shape),
      ...(names[index] === column.name ? {} : { column: column.name }),
    })),
  };
}

/** The fields of an entity for subscribers of its canonical topic. */
export function fieldsSchema(entity: EntityPlan): AvroRecord {
  const names = avroNames(entity.fields.map((field) => field.name));
  return {
    type: 'record',
    name: 'Fields',
    namespace: `duolog.canonical.${avroName(entity.name)}`,
    doc: `The agreed values of ${entity.name}.`,
    fields: entity.fields.map(
      (field, index): AvroField => ({
        name: names[index]!,
        type: ['null', ...fieldBranches(field.type)],
        default: null,
        doc: fieldDoc(field),
        ...(names[index] === field.name ? {} : { column: field.name }),
      }),
    ),
  };
}

/** Avro's types of a column's values; `string` beside another type carries what that cannot: infinity, NaN. */
export function columnBranches(type: ColumnType): AvroSchema[] {
  switch (type.kind) {
    case 'boolean':
      return ['boolean'];
    case 'int16':
    case 'int32':
      return ['int'];
    case 'int64':
      return ['long'];
    case 'float32':
    case 'float64':
      return ['double'];
    case 'decimal':
      return decimalBranches(type.precision, type.scale);
    case 'date':
      return [{ type: 'int', logicalType: 'date' }, 'string'];
    case 'timestamp':
      return [{ type: 'long', logicalType: 'local-timestamp-micros' }, 'string'];
    case 'timestamptz':
      return [{ type: 'long', logicalType: 'timestamp-micros' }, 'string'];
    case 'time':
      return [{ type: 'long', logicalType: 'time-micros' }];
    case 'bytes':
      return ['bytes'];
    case 'uuid':
      return [{ type: 'string', logicalType: 'uuid' }];
    case 'text':
    case 'json':
    case 'native':
      return ['string'];
  }
}

function decimalBranches(precision: number | null, scale: number | null): AvroSchema[] {
  const digits = scale ?? 0;
  if (precision === null || digits < 0 || digits > precision) return ['string'];
  return [{ type: 'bytes', logicalType: 'decimal', precision, scale: digits }, 'string'];
}

function fieldBranches(type: FieldType): AvroSchema[] {
  switch (type.kind) {
    case 'string':
      return ['string'];
    case 'integer':
      return ['long'];
    case 'float':
      return ['double'];
    case 'timestamp':
      return columnBranches({ kind: 'timestamptz' });
    case 'decimal':
      return decimalBranches(type.precision, type.scale);
    case 'reference':
      return ['Reference'];
    case 'boolean':
    case 'date':
    case 'time':
    case 'uuid':
    case 'json':
    case 'bytes':
      return columnBranches({ kind: type.kind });
  }
}

/** Names by Avro's rules, unique, in the order given. */
function avroNames(names: readonly string[]): string[] {
  const taken = new Set(names.filter((name) => avroName(name) === name));
  return names.map((name) => {
    let candidate = avroName(name);
    if (candidate === name) return name;
    while (taken.has(candidate)) candidate += '_';
    taken.add(candidate);
    return candidate;
  });
}

/** Letters, digits and "_", no digit first. */
export function avroName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_]/g, '_');
  const safe = /^[A-Za-z_]/.test(plain) ? plain : `_${plain}`;
  return RESERVED.has(safe) ? `${safe}_` : safe;
}

function columnDoc(column: Column, shape: TableShape): string {
  const parts = [column.comment, `${column.nativeType}${column.nullable ? '' : ' not null'}`];
  const place = shape.key.indexOf(column.name);
  if (place >= 0) parts.push(shape.key.length === 1 ? 'the key' : `part ${place + 1} of the key`);
  if (column.generated) parts.push('generated');
  return `${parts.filter((part) => part !== null && part !== '').join('; ')}.`;
}

function fieldDoc(field: FieldPlan): string {
  const type =
    field.type.kind === 'decimal'
      ? `decimal(${field.type.precision},${field.type.scale})`
      : field.type.kind === 'reference'
        ? `a ${field.type.entity}`
        : field.type.kind;
  return `${type}${field.nullable ? ', may be null' : ''}.`;
}
