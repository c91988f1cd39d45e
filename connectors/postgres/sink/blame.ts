import pg from 'pg';
import type { QueuedCommand } from '../../../src/connector/contract.js';
import { recordKeyParts, type Row, type Value } from '../../../src/model/value.js';
import { keyPartText, valueText } from '../value-text.js';
import type { Session } from './session.js';
import { keyOf, type TargetColumn, type TargetTable } from './target-table.js';

/**
 * The key of the row that stands in the way of a unique constraint, asked after the write was rolled back.
 * Null where the index is on an expression, or the row has gone.
 */
export async function blockingKey(
  session: Session,
  table: TargetTable,
  { command }: QueuedCommand,
  error: unknown,
): Promise<string | null> {
  if (!(error instanceof pg.DatabaseError)) return null;
  const index = table.uniqueIndexes.find(({ name }) => name === error.constraint);
  const columns = index?.columns?.map((name) => table.columns.get(name)) ?? [];
  if (columns.length === 0 || columns.includes(undefined)) return null;
  const values: string[] = [];
  const parameter = (text: string, column: TargetColumn): string => {
    values.push(text);
    return column.form.fromElement(`$${values.length}::${column.form.parameter.slice(0, -2)}`);
  };
  const own =
    command.key === null
      ? null
      : recordKeyParts(command.key).map((part, place) => {
          const column = table.key[place]!;
          return `t.${column.sql} = ${parameter(keyPartText(part, column.type), column)}`;
        });
  const conditions = (columns as TargetColumn[]).map((column) => {
    const value = command.set[column.name];
    if (value !== undefined && value !== null)
      return `t.${column.sql} = ${parameter(valueText(value, column.type), column)}`;
    // A column that the command does not set has the value of its own row.
    return own === null
      ? 'false'
      : `t.${column.sql} = (SELECT t.${column.sql} FROM ${table.sql} AS t WHERE ${own.join(' AND ')})`;
  });
  const notItself = own === null ? '' : `AND NOT (${own.join(' AND ')})`;
  const key = table.key.map(({ sql }) => `t.${sql}`).join(', ');
  const text = `SELECT ${key} FROM ${table.sql} AS t WHERE ${conditions.join(' AND ')} ${notItself} LIMIT 1`;
  const { rows } = await session.query({ text, values });
  return rows[0] === undefined ? null : keyOf(table, rows[0]);
}

/** A row that a foreign key asks for: the quoted table and the values it must show. */
export interface NeededRow {
  readonly table: string;
  readonly values: Row;
}

/** What a row that violates a foreign key refers to, as far as its command says. */
export async function neededRow(
  session: Session,
  { command }: QueuedCommand,
  error: unknown,
): Promise<NeededRow | null> {
  if (!(error instanceof pg.DatabaseError)) return null;
  const { rows } = await session.query({
    text: `SELECT format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(r.relname, '"', '""')),
        (SELECT json_agg(json_build_array(own.attname, theirs.attname))
         FROM unnest(c.conkey, c.confkey) AS k (own, theirs)
         JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attnum = k.own
         JOIN pg_attribute theirs ON theirs.attrelid = c.confrelid AND theirs.attnum = k.theirs)
      FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
      WHERE c.conname = $1 AND c.conrelid = to_regclass(format('%I.%I', $2::text, $3::text))`,
    values: [error.constraint ?? '', error.schema ?? '', error.table ?? ''],
  });
  const [table, pairs] = rows[0] ?? [];
  if (table === undefined || table === null) return null;
  const values: Record<string, Value> = {};
  for (const [own, theirs] of JSON.parse(pairs ?? '[]') as [string, string][])
    values[theirs] = command.set[own] ?? null;
  return { table, values };
}

/** The column whose value the database could not take, where its error names none (SQLSTATE class 22). */
export async function guiltyColumn(
  session: Session,
  table: TargetTable,
  { command }: QueuedCommand,
): Promise<string | null> {
  for (const values of [command.set, command.expect]) {
    for (const [name, value] of Object.entries(values)) {
      const column = table.columns.get(name);
      if (column === undefined || value === null) continue;
      if (doesNotFit(column, value) || !(await canRead(session, column, value))) return name;
    }
  }
  return null;
}

/** A cast would cut a long text in silence, so lengths are compared here. */
function doesNotFit({ type }: TargetColumn, value: Value): boolean {
  switch (type.kind) {
    case 'text':
      return type.maxLength !== null && [...String(value)].length > type.maxLength;
    case 'decimal': {
      if (type.precision === null || type.scale === null) return false;
      const digits = /^-?0*(\d*)(?:\.\d*)?$/.exec(String(value))?.[1] ?? '';
      return digits.length > type.precision - type.scale;
    }
    default:
      return false;
  }
}

async function canRead(session: Session, column: TargetColumn, value: NonNullable<Value>): Promise<boolean> {
  await session.query({ text: 'SAVEPOINT value' });
  let readable = true;
  try {
    const element = column.form.fromElement(`$1::${column.form.parameter.slice(0, -2)}`);
    await session.query({ text: `SELECT ${element}`, values: [valueText(value, column.type)] });
  } catch (error) {
    if (session.lost) throw error;
    readable = false;
  }
  await session.query({ text: 'ROLLBACK TO SAVEPOINT value; RELEASE SAVEPOINT value' });
  return readable;
}
