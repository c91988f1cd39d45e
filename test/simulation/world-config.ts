import type { TableDefinition } from '../../connectors/memory/database.js';
import { MemoryDatabase } from '../../connectors/memory/database.js';
import type { Column, ColumnType, TableShape } from '../../src/model/table.js';
import type { Row, Value } from '../../src/model/value.js';
import type {
  ColumnPlan,
  ConflictPlan,
  DeletePolicy,
  EntityPlan,
  EntitySystemPlan,
  FieldPlan,
  FieldType,
  MatchRule,
  SyncPlan,
} from '../../src/plan/plan.js';

/** Everything that one run is configured with, as plain data, so that it can be printed and shrunk. */
export interface WorldConfig {
  /** In order of precedence. */
  readonly systems: readonly string[];
  readonly entities: readonly EntityConfig[];
  /** Every limit of the tasks so low that it is met all the time. */
  readonly smallBatches: boolean;
  /** Logs are cut before they are read, and resyncs asked for. */
  readonly losses: boolean;
}

export interface EntityConfig {
  readonly name: string;
  readonly fields: readonly FieldConfig[];
  readonly conflict: ConflictPlan;
  readonly normalise: MatchRule['normalise'];
  readonly systems: Readonly<Record<string, EntitySystemConfig>>;
}

/** `code`: the match value; `text`: a value unlike any other; `choice`: one of three, mapped; `reference`: to a parent. */
export interface FieldConfig {
  readonly name: string;
  readonly kind: 'code' | 'text' | 'choice' | 'reference';
  readonly group: string;
}

export interface EntitySystemConfig {
  readonly captured: boolean;
  readonly written: boolean;
  readonly delete: DeletePolicy;
  readonly softDelete: boolean;
  /** `natural`: the match value is the key. */
  readonly keys: 'sequence' | 'text' | 'natural';
  readonly identity: 'full' | 'key';
  /** A unique index on the match value; `present` leaves soft-deleted rows out. */
  readonly unique: 'none' | 'all' | 'present';
  /** Fields whose edits do not count, or that are not written. */
  readonly notRead: readonly string[];
  readonly notWritten: readonly string[];
  /** Fields cut to this many characters. */
  readonly truncated: readonly string[];
  /** Text values with "bad" in them are refused by a check constraint of this field's column. */
  readonly checked: readonly string[];
  readonly trigger: Trigger | null;
}

/**
 * What a trigger of a table does to a text field: `upper` case it, `bump` it at every write of another value
 * (never settles), or `stamp` it in a second update of the same transaction.
 */
export interface Trigger {
  readonly kind: 'upper' | 'bump' | 'stamp';
  readonly field: string;
}

export const TRUNCATED_LENGTH = 3;
const SOFT_DELETE = { column: 'gone', deleted: 1, present: 0 } as const;
export const CHOICES = ['red', 'green', 'blue'] as const;
const CHOICE_CODES: Readonly<Record<string, string>> = { red: 'R', green: 'G', blue: 'B' };

const TEXT: ColumnType = { kind: 'text', maxLength: null };

export function columnName(system: string, field: string): string {
  return `${system}_${field}`;
}

export function tableName(system: string, entity: string): string {
  return `${system}.${entity}`;
}

function column(name: string, type: ColumnType, extra: Partial<Column> = {}): Column {
  return {
    name,
    type,
    nativeType: type.kind,
    nullable: true,
    hasDefault: false,
    generated: false,
    comment: null,
    ...extra,
  };
}

function keyType(keys: EntitySystemConfig['keys']): ColumnType {
  return keys === 'sequence' ? { kind: 'int64' } : TEXT;
}

/** The column of a field; a natural key's is the key column. */
export function columnOf(config: EntitySystemConfig, system: string, field: FieldConfig): string {
  return field.kind === 'code' && config.keys === 'natural' ? 'id' : columnName(system, field.name);
}

function shapeOf(world: WorldConfig, entity: EntityConfig, system: string): TableShape {
  const config = entity.systems[system]!;
  const columns: Column[] = [
    column('id', keyType(config.keys), { nullable: false, hasDefault: config.keys !== 'natural' }),
  ];
  for (const field of entity.fields) {
    const name = columnOf(config, system, field);
    if (name !== 'id') columns.push(column(name, columnTypeOf(world, config, system, field)));
  }
  if (config.softDelete) columns.push(column(SOFT_DELETE.column, { kind: 'int32' }));
  columns.push(column('extra', TEXT));
  return { system, entity: entity.name, table: tableName(system, entity.name), columns, key: ['id'], comment: null };
}

function columnTypeOf(world: WorldConfig, config: EntitySystemConfig, system: string, field: FieldConfig): ColumnType {
  if (field.kind === 'reference') {
    return keyType(world.entities.find(({ name }) => name === field.name)!.systems[system]!.keys);
  }
  return config.truncated.includes(field.name) ? { kind: 'text', maxLength: TRUNCATED_LENGTH } : TEXT;
}

function fieldTypeOf(field: FieldConfig): FieldType {
  return field.kind === 'reference' ? { kind: 'reference', entity: field.name } : { kind: 'string' };
}

function columnPlan(world: WorldConfig, config: EntitySystemConfig, system: string, field: FieldConfig): ColumnPlan {
  return {
    field: field.name,
    column: columnOf(config, system, field),
    columnType: columnTypeOf(world, config, system, field),
    fieldType: fieldTypeOf(field),
    read: !config.notRead.includes(field.name),
    write: !config.notWritten.includes(field.name),
    values: field.kind === 'choice' ? CHOICES.map((value) => ({ column: CHOICE_CODES[value]!, field: value })) : null,
    otherwise: 'hold',
    tooLong: config.truncated.includes(field.name) ? 'truncate' : 'hold',
  };
}

function entitySystemPlan(world: WorldConfig, entity: EntityConfig, system: string): EntitySystemPlan {
  const config = entity.systems[system]!;
  return {
    entity: entity.name,
    system,
    table: tableName(system, entity.name),
    shape: shapeOf(world, entity, system),
    captured: config.captured,
    written: config.written,
    columns: entity.fields.map((field) => columnPlan(world, config, system, field)),
    insertSet: config.softDelete ? { extra: 'ours', gone: SOFT_DELETE.present } : { extra: 'ours' },
    delete: config.delete,
    softDelete: config.softDelete ? SOFT_DELETE : null,
    updatedColumn: null,
    generatesKey: config.keys !== 'natural',
  };
}

function entityPlan(world: WorldConfig, entity: EntityConfig): EntityPlan {
  const fields: FieldPlan[] = entity.fields.map((field) => ({
    name: field.name,
    type: fieldTypeOf(field),
    nullable: true,
    group: field.group,
  }));
  const code = entity.fields.filter(({ kind }) => kind === 'code').map(({ name }) => name);
  const match = code.length > 0 ? [{ name: 'code', on: code, normalise: entity.normalise }] : [];
  const systems: Record<string, EntitySystemPlan> = {};
  for (const system of world.systems) {
    if (entity.systems[system]) systems[system] = entitySystemPlan(world, entity, system);
  }
  const children = world.entities.flatMap((child) =>
    child.fields
      .filter(({ kind, name }) => kind === 'reference' && name === entity.name)
      .map(({ name }) => ({ entity: child.name, field: name })),
  );
  return { name: entity.name, fields, match, conflict: entity.conflict, systems, children };
}

/** The plan of the one sync of a simulated world. */
export function planOf(world: WorldConfig): SyncPlan {
  return {
    name: 'main',
    prefix: 'simulation',
    leading: world.systems,
    systems: world.systems,
    entities: world.entities.map((entity) => entityPlan(world, entity)),
    fingerprint: 'simulation',
    fingerprintParts: {},
  };
}

function triggersOf(config: EntitySystemConfig, system: string): Pick<TableDefinition, 'beforeWrite' | 'afterWrite'> {
  const { trigger } = config;
  if (!trigger) return { beforeWrite: null, afterWrite: null };
  const name = columnName(system, trigger.field);
  const changed = (row: Row, old: Row | null): string | null => {
    const value = row[name] ?? null;
    return value !== null && value !== (old?.[name] ?? null) ? String(value) : null;
  };
  if (trigger.kind === 'stamp') {
    const afterWrite = (row: Row, old: Row | null): Row | null => {
      const value = changed(row, old);
      return value === null || value.endsWith('*') ? null : { [name]: `${value}*` };
    };
    return { beforeWrite: null, afterWrite };
  }
  const beforeWrite = (row: Row, old: Row | null): Row => {
    const value = changed(row, old);
    if (value === null) return row;
    return { ...row, [name]: trigger.kind === 'upper' ? value.toUpperCase() : `${value}+` };
  };
  return { beforeWrite, afterWrite: null };
}

function definitionOf(world: WorldConfig, entity: EntityConfig, system: string): TableDefinition {
  const config = entity.systems[system]!;
  const code = entity.fields.find(({ kind }) => kind === 'code');
  const unique =
    config.unique === 'none' || !code || config.keys === 'natural'
      ? []
      : [
          {
            name: `${entity.name}_code`,
            columns: [columnOf(config, system, code)],
            where: config.unique === 'present' ? (row: Row) => row[SOFT_DELETE.column] !== SOFT_DELETE.deleted : null,
          },
        ];
  return {
    shape: shapeOf(world, entity, system),
    keys: config.keys === 'natural' ? 'given' : config.keys,
    unique,
    references: entity.fields
      .filter(({ kind }) => kind === 'reference')
      .map(({ name }) => ({
        name: `${entity.name}_${name}_fkey`,
        column: columnName(system, name),
        table: tableName(system, name),
      })),
    checks: config.checked.map((field) => ({
      name: `${entity.name}_${field}_check`,
      column: columnName(system, field),
      accepts: (value: Value) => value === null || !String(value).toLowerCase().includes('bad'),
    })),
    ...triggersOf(config, system),
    identity: config.identity,
  };
}

/** The system's database with its empty tables. */
export function databaseOf(world: WorldConfig, system: string, nowMicros: () => number): MemoryDatabase {
  const database = new MemoryDatabase(nowMicros);
  for (const entity of world.entities) {
    if (entity.systems[system]) database.create(definitionOf(world, entity, system));
  }
  return database;
}

/** A field's value as users of the system see and write it, and back: only choices differ. */
export function fieldToColumn(field: FieldConfig, value: Value): Value {
  return field.kind === 'choice' && value !== null ? (CHOICE_CODES[String(value)] ?? value) : value;
}

export function columnToField(field: FieldConfig, value: Value): Value {
  if (field.kind !== 'choice' || value === null) return value;
  return CHOICES.find((choice) => CHOICE_CODES[choice] === value) ?? value;
}

export function isPresent(config: EntitySystemConfig, row: Row): boolean {
  return !config.softDelete || row[SOFT_DELETE.column] !== SOFT_DELETE.deleted;
}

export function presence(present: boolean): Row {
  return { [SOFT_DELETE.column]: present ? SOFT_DELETE.present : SOFT_DELETE.deleted };
}
