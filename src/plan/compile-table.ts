import { didYouMean, type Path } from '../config/problems.js';
import type { ColumnConfiguration, EntityConfiguration, EntitySystemConfiguration } from '../config/sync-schema.js';
import { conversionProblem, Inconvertible } from '../mapping/convert.js';
import type { Column, TableShape } from '../model/table.js';
import type { Row, Value } from '../model/value.js';
import { columnConstant, fieldConstant, type Constant } from './constants.js';
import type { Findings } from './findings.js';
import type { ColumnPlan, DeletePolicy, EntitySystemPlan, FieldPlan } from './plan.js';

/** One entity in one system, as the configuration has it. */
export interface SystemContext {
  readonly entity: string;
  readonly system: string;
  readonly fields: readonly FieldPlan[];
  readonly configured: EntitySystemConfiguration;
  readonly delete: EntityConfiguration['delete'];
  /** Of the entity. */
  readonly entityPath: Path;
  readonly findings: Findings;
}

/** The same with its table: configuration and catalogue put together. */
export interface TableContext extends SystemContext {
  readonly shape: TableShape;
}

/** What is wrong whatever the table is like. */
export function checkWithoutTable(context: SystemContext): void {
  for (const name of Object.keys(context.configured.map)) fieldOf(context, name);
  deletePolicy(context, context.configured.softDelete !== undefined);
}

export function compileTable(context: TableContext): EntitySystemPlan {
  const { configured, entity, system, shape } = context;
  const columns = compileColumns(context);
  const insertSet = compileInsertSet(context, columns);
  const softDelete = compileSoftDelete(context, columns);
  const filled = new Set([
    ...columns.filter((column) => column.write).map((column) => column.column),
    ...Object.keys(insertSet),
  ]);
  if (configured.write) checkInsertable(context, columns, filled, softDelete?.column ?? null);
  return {
    entity,
    system,
    table: configured.table,
    shape,
    captured: configured.capture,
    written: configured.write,
    columns,
    insertSet: softDelete === null ? insertSet : { ...insertSet, [softDelete.column]: softDelete.present },
    delete: deletePolicy(context, softDelete !== null),
    softDelete,
    updatedColumn: updatedColumn(context),
    generatesKey: shape.key.some((column) => !filled.has(column)),
    vanished: configured.vanished,
  };
}

function systemPath(context: SystemContext, ...more: Path): Path {
  return [...context.entityPath, 'systems', context.system, ...more];
}

/** The column of that name, or null with a problem noted. */
function findColumn(context: TableContext, column: string, path: Path): Column | null {
  const found = context.shape.columns.find((candidate) => candidate.name === column);
  if (found !== undefined) return found;
  const names = context.shape.columns.map((candidate) => candidate.name);
  context.findings.problem(path, `${context.shape.table} has no column ${column}`, didYouMean(column, names));
  return null;
}

/** The field of that name, or null with a problem noted. */
function fieldOf(context: SystemContext, name: string): FieldPlan | null {
  const found = context.fields.find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  const names = context.fields.map((candidate) => candidate.name);
  const path = systemPath(context, 'map', name);
  context.findings.problem(path, `the entity ${context.entity} has no field ${name}`, didYouMean(name, names));
  return null;
}

function compileColumns(context: TableContext): readonly ColumnPlan[] {
  const plans: ColumnPlan[] = [];
  const writers = new Map<string, string>();
  for (const [name, mapping] of Object.entries(context.configured.map)) {
    const path = systemPath(context, 'map', name);
    const field = fieldOf(context, name);
    if (field === null) continue;
    const column = findColumn(context, mapping.column, path);
    if (column === null) continue;
    const plan = compileColumn(context, field, column, mapping, path);
    if (plan === null) continue;
    const other = writers.get(plan.column);
    if (plan.write && other !== undefined) {
      context.findings.problem(
        path,
        `the column ${plan.column} is already written from the field ${other}`,
        'Set write: false on one of them.',
      );
    } else if (plan.write) writers.set(plan.column, name);
    plans.push(plan);
  }
  return plans;
}

function compileColumn(
  context: TableContext,
  field: FieldPlan,
  column: Column,
  mapping: ColumnConfiguration,
  path: Path,
): ColumnPlan | null {
  const { configured, findings } = context;
  const plan: ColumnPlan = {
    field: field.name,
    column: column.name,
    columnType: column.type,
    fieldType: field.type,
    read: mapping.read ?? configured.read ?? configured.capture,
    write: configured.write && (mapping.write ?? !column.generated),
    values: null,
    otherwise: mapping.otherwise ?? 'hold',
    tooLong: mapping.tooLong ?? 'hold',
  };
  const problem = conversionProblem(plan);
  if (problem !== null) {
    findings.problem(path, problem, `The type of ${column.name} is ${column.nativeType}.`);
    return null;
  }
  if (plan.read && !configured.capture) {
    findings.problem(
      path,
      'it is to be read, but nothing is captured from this table',
      'Set capture: true or read: false.',
    );
  }
  if (mapping.write === true && column.generated) {
    findings.problem(path, `the column ${column.name} is generated and cannot be written`, 'Leave write away.');
  }
  if (mapping.write === true && !configured.write) {
    findings.problem(path, 'it is to be written, but write: false holds for the whole table');
  }
  const mapsNull = Object.values(mapping.values ?? {}).includes(null);
  if (plan.write && field.nullable && !column.nullable && !column.hasDefault && !mapsNull) {
    findings.warning(
      path,
      `the field may be empty, but ${column.name} may not: records without it will be held`,
      'Let a value of the column stand for empty, as in values: { "0": null } with otherwise: keep.',
    );
  }
  return mapping.values === undefined
    ? plan
    : { ...plan, values: valueMap(context, plan, mapping.values, [...path, 'values']) };
}

function valueMap(
  context: TableContext,
  plan: ColumnPlan,
  values: Readonly<Record<string, Constant>>,
  path: Path,
): ColumnPlan['values'] {
  const entries: { readonly column: Value; readonly field: Value }[] = [];
  const known = new Set<Value>();
  for (const [from, to] of Object.entries(values)) {
    const column = columnConstant(plan.columnType, from);
    const field = fieldConstant(plan.fieldType, to);
    if (column instanceof Inconvertible)
      context.findings.problem([...path, from], `the column cannot hold this value: ${column.reason}`);
    else if (field instanceof Inconvertible)
      context.findings.problem([...path, from], `the field cannot hold its value: ${field.reason}`);
    else if (known.has(column))
      context.findings.problem([...path, from], 'the same column value stands twice in the map');
    else {
      known.add(column);
      entries.push({ column, field });
    }
  }
  return entries;
}

function constantColumn(context: TableContext, name: string, constant: Constant, path: Path): Value | null {
  const column = findColumn(context, name, path);
  if (column === null) return null;
  if (constant === null && !column.nullable) context.findings.problem(path, `the column ${name} may not be null`);
  const value = columnConstant(column.type, constant);
  if (!(value instanceof Inconvertible)) return value;
  context.findings.problem(
    path,
    `the column ${name} of type ${column.nativeType} cannot hold this value: ${value.reason}`,
  );
  return null;
}

function compileInsertSet(context: TableContext, columns: readonly ColumnPlan[]): Row {
  const row: Record<string, Value> = {};
  for (const [name, constant] of Object.entries(context.configured.insert?.set ?? {})) {
    const path = systemPath(context, 'insert', 'set', name);
    const writer = columns.find((column) => column.column === name && column.write);
    if (writer !== undefined)
      context.findings.problem(path, `the column is already written from the field ${writer.field}`);
    row[name] = constantColumn(context, name, constant, path);
  }
  return row;
}

function compileSoftDelete(context: TableContext, columns: readonly ColumnPlan[]): EntitySystemPlan['softDelete'] {
  const { softDelete } = context.configured;
  if (softDelete === undefined) return null;
  const path = systemPath(context, 'softDelete');
  const writer = columns.find((column) => column.column === softDelete.column && column.write);
  if (writer !== undefined)
    context.findings.problem(path, `its column is already written from the field ${writer.field}`);
  const deleted = constantColumn(context, softDelete.column, softDelete.deleted, [...path, 'deleted']);
  const present = constantColumn(context, softDelete.column, softDelete.present, [...path, 'present']);
  if (deleted === present) context.findings.problem(path, 'deleted and present are the same value');
  return { column: softDelete.column, deleted, present };
}

function deletePolicy(context: SystemContext, hasFlag: boolean): DeletePolicy {
  const { configured, entityPath, findings, system } = context;
  if (!configured.write) return 'never';
  const path = [...entityPath, 'delete'];
  const policy = typeof context.delete === 'object' ? context.delete[system] : context.delete;
  if (policy === undefined) {
    findings.problem(
      path,
      `says nothing of ${system}: what shall a deletion made elsewhere do there`,
      `Write delete: { ${system}: hard }, or soft, unlink, never.`,
    );
    return 'never';
  }
  if (policy === 'soft' && !hasFlag) {
    findings.problem(
      systemPath(context),
      `delete is soft for ${system}, but softDelete is missing`,
      'Write softDelete: { column: …, deleted: …, present: … }.',
    );
  }
  return policy;
}

function updatedColumn(context: TableContext): string | null {
  const { updated } = context.configured;
  if (updated === undefined) return null;
  const path = systemPath(context, 'updated');
  const column = findColumn(context, updated, path);
  if (column !== null && column.type.kind !== 'timestamp' && column.type.kind !== 'timestamptz') {
    context.findings.problem(path, `${updated} is of type ${column.nativeType}, not a timestamp`);
  }
  return updated;
}

/** A new row must get a value in every column that needs one. */
function checkInsertable(
  context: TableContext,
  columns: readonly ColumnPlan[],
  filled: ReadonlySet<string>,
  flag: string | null,
): void {
  for (const column of context.shape.columns) {
    if (column.nullable || column.hasDefault || column.generated || filled.has(column.name) || column.name === flag)
      continue;
    const mapped = columns.find((plan) => plan.column === column.name);
    context.findings.problem(
      systemPath(context, 'map', ...(mapped === undefined ? [] : [mapped.field])),
      `the column ${column.name} needs a value in new rows, has no default, and is not written`,
      `Map a field to it or set it in insert: { set: { ${column.name}: … } }.`,
    );
  }
}
