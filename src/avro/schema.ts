import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import avro, { type Schema, type Type } from 'avsc';
import { valueUnionHook } from './value-union.js';

/** A schema as JSON, which is what the registry keeps. */
export type AvroSchema = AvroRecord | AvroEnum | AvroLogical | string | readonly AvroSchema[];

export interface AvroLogical {
  readonly type: string;
  readonly logicalType?: string;
  readonly precision?: number;
  readonly scale?: number;
  readonly items?: AvroSchema;
  readonly values?: AvroSchema;
}

export interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly default?: unknown;
  readonly doc?: string;
  /** The name in the system, where Avro's rules do not allow it. */
  readonly column?: string;
  /** Of a column in the state: the canonical field that it is mapped to. */
  readonly field?: string;
}

export interface AvroRecord {
  readonly type: 'record';
  readonly name: string;
  readonly namespace?: string;
  readonly doc?: string;
  /** Of the state: raised when a reader of the version before would take its records for something else. */
  readonly format?: number;
  readonly fields: readonly AvroField[];
}

export interface AvroEnum {
  readonly type: 'enum';
  readonly name: string;
  readonly namespace?: string;
  readonly symbols: readonly string[];
  /** What the symbols stand for, where Avro does not allow that as a name. */
  readonly names?: readonly string[];
}

export type SchemaFile =
  | 'assignment'
  | 'canonical'
  | 'change'
  | 'command'
  | 'control'
  | 'decision'
  | 'heartbeat'
  | 'hold'
  | 'key'
  | 'outcome'
  | 'position'
  | 'reference'
  | 'request'
  | 'state'
  | 'state-link'
  | 'state-member';

const FOLDER = schemaFolder();

/** The folder `schemas/` stands at the package's root, one level further up once compiled. */
function schemaFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, 'schemas');
    try {
      readFileSync(join(candidate, 'key.avsc'));
      return candidate;
    } catch {
      const parent = dirname(folder);
      if (parent === folder) throw new Error('the folder schemas/ is missing from the package');
      folder = parent;
    }
  }
}

const files = new Map<SchemaFile, AvroRecord>();

/** Several named types of one file. */
export function schemaParts(name: 'state-parts'): readonly AvroRecord[] {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.avsc`), 'utf8')) as readonly AvroRecord[];
}

/** A schema of `schemas/`, as it stands there. */
export function schemaFile(name: SchemaFile): AvroRecord {
  let schema = files.get(name);
  if (schema === undefined) {
    schema = JSON.parse(readFileSync(join(FOLDER, `${name}.avsc`), 'utf8')) as AvroRecord;
    files.set(name, schema);
  }
  return schema;
}

/** The first use of each named type is replaced by its definition, so that the schema stands by itself. */
export function withDefinitions(schema: AvroRecord, definitions: readonly (AvroRecord | AvroEnum)[]): AvroRecord {
  const open = new Map(definitions.map((definition) => [definition.name, definition]));
  const fullNames = new Map(definitions.map(({ name, namespace }) => [name, `${namespace}.${name}`]));
  const visit = (node: unknown): unknown => {
    if (typeof node === 'string') {
      const definition = open.get(node);
      if (definition === undefined) return fullNames.get(node) ?? node;
      open.delete(node);
      return visit(definition);
    }
    if (Array.isArray(node)) return node.map(visit);
    if (typeof node !== 'object' || node === null) return node;
    const record = node as AvroRecord;
    // An empty record is the place of the table's or the entity's own.
    if (record.type === 'record' && record.fields.length === 0 && fullNames.has(record.name)) return visit(record.name);
    return Object.fromEntries(
      Object.entries(node).map(([name, value]) =>
        name === 'type' || name === 'items' || name === 'values' || name === 'fields'
          ? [name, visit(value)]
          : [name, value],
      ),
    );
  };
  return visit(schema) as AvroRecord;
}

/** Compiled forms by the schema's text, and by the schema itself, which spares its text. */
const compiled = new Map<string, Type>();
const compiledObjects = new WeakMap<object, Type>();
const MAX_COMPILED = 2000;

/** avsc's compiled form, with our way of reading unions. Kept, because compiling takes longer than anything done with it. */
export function compile(schema: AvroSchema): Type {
  const known = typeof schema === 'object' ? compiledObjects.get(schema) : undefined;
  if (known !== undefined) return known;
  const text = JSON.stringify(schema);
  let type = compiled.get(text);
  if (type === undefined) {
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    // A copy of its own: the hook tells unions apart by identity, and avsc adds to what it is given.
    const copy = JSON.parse(text) as Schema;
    type = avro.Type.forSchema(copy, { typeHook: valueUnionHook(), omitRecordMethods: true });
    compiled.set(text, type);
  }
  if (typeof schema === 'object') compiledObjects.set(schema, type);
  return type;
}
