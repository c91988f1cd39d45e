import pg from 'pg';
import { DuologError } from '../../../src/errors/duolog-error.js';
import type { ColumnType } from '../../../src/model/table.js';
import { recordKey, type Row, type Value } from '../../../src/model/value.js';
import type { EntitySystemPlan } from '../../../src/plan/plan.js';
import { parseTableName, quoteTable } from '../names.js';
import { valueDecoder } from '../values.js';
import { type ColumnForm, columnForm } from './column-forms.js';
import type { Session, Statement } from './session.js';

export interface TargetColumn {
  readonly name: string;
  /** Quoted. */
  readonly sql: string;
  readonly type: ColumnType;
  /** With its length: `character varying(40)`. */
  readonly declaredType: string;
  readonly form: ColumnForm;
  /** From the text that Postgres sends. */
  decode(text: string): Value;
  /** An expression that gives the next value of a key the database makes, or null. */
  readonly nextValue: string | null;
  /** An identity that takes a given value only with OVERRIDING SYSTEM VALUE. */
  readonly identityAlways: boolean;
}

export interface UniqueIndex {
  readonly name: string;
  /** Null where the index is on an expression or a part of the rows. */
  readonly columns: readonly string[] | null;
}

/** A table that is written to, as its statements need it. */
export interface TargetTable {
  readonly plan: EntitySystemPlan;
  /** Quoted and qualified. */
  readonly sql: string;
  readonly columns: ReadonlyMap<string, TargetColumn>;
  readonly key: readonly TargetColumn[];
  readonly uniqueIndexes: readonly UniqueIndex[];
  /** Columns that a usable index begins with: a guard over one of them does not read the whole table. */
  readonly indexedColumns: ReadonlySet<string>;
  /** Rows with generated keys go in one by one: a trigger gives the key, or we may not give it ourselves. */
  rowByRow: boolean;
}

const COLUMNS = `SELECT a.attname, n.nspname, b.typname,
    CASE WHEN a.attidentity <> '' THEN
      'nextval(' || quote_literal(pg_get_serial_sequence(format('%I.%I', $1::text, $2::text), a.attname)) || ')'
      WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
    a.attidentity = 'a',
    CASE WHEN a.attidentity <> '' THEN
      has_sequence_privilege(pg_get_serial_sequence(format('%I.%I', $1::text, $2::text), a.attname), 'USAGE')
    ELSE true END AND has_column_privilege(a.attrelid, a.attnum, 'INSERT'), format_type(a.atttypid, a.atttypmod)
  FROM pg_attribute a
  JOIN LATERAL (
    WITH RECURSIVE below AS (
      SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
      UNION ALL
      SELECT t.oid, t.typtype, t.typbasetype FROM below JOIN pg_type t ON t.oid = below.typbasetype
      WHERE below.typtype = 'd')
    SELECT oid FROM below WHERE typtype <> 'd') base ON true
  JOIN pg_type b ON b.oid = base.oid
  JOIN pg_namespace n ON n.oid = b.typnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND a.attnum > 0 AND NOT a.attisdropped`;

const INDEXES = `SELECT c.relname, i.indisunique, i.indpred IS NULL,
    (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
      LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
      WHERE k.place <= i.indnkeyatts)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
  WHERE i.indrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND i.indisvalid AND m.amname IN ('btree', 'hash')`;

/** @throws DuologError SINK_TABLE_CHANGED when the table or a column of the plan is gone. */
export async function readTargetTable(session: Session, plan: EntitySystemPlan): Promise<TargetTable> {
  const name = parseTableName(plan.table);
  const values = [name.schema, name.name];
  const ask = (text: string): Statement => ({ text, values });
  const [found, indexes] = await Promise.all([session.query(ask(COLUMNS)), session.query(ask(INDEXES))]);
  const columns = new Map<string, TargetColumn>();
  let mayGiveKeys = true;
  for (const [column = '', schema = '', type = '', nextValue, always, mayGive, declaredType] of found.rows) {
    const shape = plan.shape.columns.find((each) => each.name === column);
    if (shape === undefined || column === null) continue;
    if (mayGive !== 't' && plan.shape.key.includes(column)) mayGiveKeys = false;
    columns.set(column, {
      name: column,
      sql: pg.escapeIdentifier(column),
      type: shape.type,
      declaredType: declaredType!,
      decode: textDecoder(shape.type),
      form: columnForm(schema!, type!, quoteTable({ schema: schema!, name: type! })),
      nextValue: nextValue ?? null,
      identityAlways: always === 't',
    });
  }
  const key = plan.shape.key.map((column) => columnOf(columns, plan, column));
  for (const { column } of plan.columns) columnOf(columns, plan, column);
  const { uniqueIndexes, indexedColumns } = readIndexes(indexes.rows);
  const keyWithoutDefault = plan.generatesKey && key.every((column) => column.nextValue === null);
  const rowByRow = keyWithoutDefault || !mayGiveKeys;
  return { plan, sql: quoteTable(name), columns, key, uniqueIndexes, indexedColumns, rowByRow };
}

function readIndexes(rows: readonly (readonly (string | null)[])[]) {
  const uniqueIndexes: UniqueIndex[] = [];
  const indexedColumns = new Set<string>();
  for (const [name, unique, whole, columnsText] of rows) {
    const columns = JSON.parse(columnsText ?? '[null]') as (string | null)[];
    const plain = columns.filter((column): column is string => column !== null);
    const usable = whole === 't' && plain.length === columns.length;
    if (whole === 't' && columns[0] !== null && columns[0] !== undefined) indexedColumns.add(columns[0]);
    if (unique === 't') uniqueIndexes.push({ name: name!, columns: usable ? plain : null });
  }
  return { uniqueIndexes, indexedColumns };
}

function columnOf(columns: ReadonlyMap<string, TargetColumn>, plan: EntitySystemPlan, name: string): TargetColumn {
  const column = columns.get(name);
  if (column !== undefined) return column;
  const what = columns.size === 0 ? `There is no table ${plan.table}` : `Table ${plan.table} has no column ${name}`;
  throw new DuologError('SINK_TABLE_CHANGED', `${what} in ${plan.system} (any more)`);
}

/** A column that a command names. @throws DuologError SINK_TABLE_CHANGED. */
export function targetColumn(table: TargetTable, name: string): TargetColumn {
  return columnOf(table.columns, table.plan, name);
}

function textDecoder(type: ColumnType): (text: string) => Value {
  const decode = valueDecoder(type);
  return (text) => {
    const bytes = Buffer.from(text);
    return decode(bytes, 0, bytes.length);
  };
}

/** A row whose columns came in the order of the table's. */
export function imageOf(table: TargetTable, texts: readonly (string | null)[]): Row {
  const row: Record<string, Value> = {};
  let place = 0;
  for (const column of table.columns.values()) {
    const text = texts[place++] ?? null;
    row[column.name] = text === null ? null : column.decode(text);
  }
  return row;
}

/** The record's key from its key columns' texts. */
export function keyOf(table: TargetTable, texts: readonly (string | null)[]): string {
  const row: Record<string, Value> = {};
  for (const [place, column] of table.key.entries()) {
    const text = texts[place] ?? null;
    row[column.name] = text === null ? null : column.decode(text);
  }
  return recordKey(row, table.plan.shape.key);
}
