import type pg from 'pg';
import type { TableReference } from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { Column, ColumnType, TableShape } from '../../src/model/table.js';
import { queryTexts, type TextRow } from './connection.js';
import { parseTableName } from './names.js';
import { columnType } from './types.js';

/** A table as the catalogue has it now, with what capture needs beyond its shape. */
export interface DescribedTable {
  readonly shape: TableShape;
  readonly schema: string;
  readonly name: string;
  readonly oid: number;
  readonly partitioned: boolean;
  readonly replicaIdentity: 'default' | 'nothing' | 'full' | 'index';
  readonly columns: readonly DescribedColumn[];
  /** Rows and bytes as the server estimates them; null when it never looked. */
  readonly estimate: { readonly rows: number; readonly bytes: number } | null;
}

export interface DescribedColumn extends Column {
  readonly typeOid: number;
  readonly typmod: number;
}

const TABLE_QUERY = `
SELECT c.oid::text, c.relkind::text, c.relreplident::text, obj_description(c.oid, 'pg_class'),
       (SELECT sum(p.reltuples)::bigint FROM pg_class p
         WHERE (p.oid = c.oid AND c.relkind = 'r') OR p.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf))::text,
       (SELECT sum(pg_table_size(p.oid)) FROM pg_class p
         WHERE (p.oid = c.oid AND c.relkind = 'r') OR p.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf))::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`;

/** Below Postgres 18 generated columns are not sent, virtual ones never: they are not part of what we capture. */
const CAPTURED_COLUMN = `a.attnum > 0 AND NOT a.attisdropped
   AND (a.attgenerated = '' OR (a.attgenerated = 's' AND current_setting('server_version_num')::int >= 180000))`;

/** One text for a table's columns and their types as they are now; the same as `columnsText` gives for a description. */
export function columnsQuery(oid: number): string {
  return `SELECT string_agg(a.attname || ':' || a.atttypid || ':' || a.atttypmod, ',' ORDER BY a.attnum)
  FROM pg_attribute a WHERE a.attrelid = ${oid}::oid AND ${CAPTURED_COLUMN}`;
}

export function columnsText(columns: readonly DescribedColumn[]): string {
  return columns.map(({ name, typeOid, typmod }) => `${name}:${typeOid}:${typmod}`).join(',');
}

const COLUMN_QUERY = `
WITH RECURSIVE base AS (
  SELECT a.attnum, a.atttypid AS type, a.atttypmod AS typmod FROM pg_attribute a
   WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT a.attname, a.atttypid::text, a.atttypmod::text, format_type(a.atttypid, a.atttypmod),
       CASE WHEN n.nspname = 'pg_catalog' THEN t.typname END, b.typmod::text,
       (NOT a.attnotnull)::text, (a.atthasdef OR a.attidentity <> '')::text, (a.attgenerated <> '')::text,
       col_description(a.attrelid, a.attnum)
  FROM pg_attribute a
  JOIN base b ON b.attnum = a.attnum
  JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
  JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE a.attrelid = $1::oid AND ${CAPTURED_COLUMN}
 ORDER BY a.attnum`;

/** The key: the index named as replica identity, else the primary key. */
const KEY_QUERY = `
SELECT a.attname
  FROM pg_index i
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indrelid = $1::oid AND k.place <= i.indnkeyatts
   AND CASE WHEN $2 = 'i' THEN i.indisreplident ELSE i.indisprimary END
 ORDER BY k.place`;

/**
 * Describes the entities' tables, in their order.
 * @throws DuologError TABLE_NOT_FOUND, TABLE_WITHOUT_KEY; the driver's own errors.
 */
export async function describeTables(
  client: pg.Client,
  system: string,
  references: readonly TableReference[],
): Promise<readonly DescribedTable[]> {
  const described: DescribedTable[] = [];
  for (const reference of references) described.push(await describeTable(client, system, reference));
  return described;
}

async function describeTable(client: pg.Client, system: string, reference: TableReference): Promise<DescribedTable> {
  const { schema, name } = parseTableName(reference.table);
  const table = `${schema}.${name}`;
  const [row] = await queryTexts(client, TABLE_QUERY, [schema, name]);
  if (row === undefined) {
    throw new DuologError('TABLE_NOT_FOUND', `${system} has no table ${table} (entity ${reference.entity})`);
  }
  const [oid, kind, identity, comment, rows, bytes] = row;
  const columns = (await queryTexts(client, COLUMN_QUERY, [oid])).map(describedColumn);
  const key = (await queryTexts(client, KEY_QUERY, [oid, identity])).map(([column]) => column!);
  if (key.length === 0) {
    throw new DuologError('TABLE_WITHOUT_KEY', `${system}: table ${table} has no primary key`);
  }
  return {
    shape: {
      system,
      entity: reference.entity,
      table,
      columns: columns.map(plainColumn),
      key,
      comment: comment ?? null,
    },
    schema,
    name,
    oid: Number(oid),
    partitioned: kind === 'p',
    replicaIdentity: identity === 'n' ? 'nothing' : identity === 'f' ? 'full' : identity === 'i' ? 'index' : 'default',
    columns,
    estimate: rows == null || Number(rows) < 0 ? null : { rows: Number(rows), bytes: Number(bytes ?? 0) },
  };
}

function describedColumn(row: TextRow): DescribedColumn {
  const [name, typeOid, typmod, nativeType, builtIn, baseTypmod, nullable, hasDefault, generated, comment] = row;
  return {
    name: name!,
    type: columnType({ builtIn: builtIn ?? null, typmod: Number(baseTypmod), formatted: nativeType! }),
    nativeType: nativeType!,
    nullable: nullable === 'true',
    hasDefault: hasDefault === 'true',
    generated: generated === 'true',
    comment: comment ?? null,
    typeOid: Number(typeOid),
    typmod: Number(typmod),
  };
}

function plainColumn({ typeOid: _typeOid, typmod: _typmod, ...column }: DescribedColumn): Column {
  return column;
}

const TYPE_QUERY = `
WITH RECURSIVE base AS (
  SELECT $1::oid AS type, $2::int AS typmod
  UNION ALL
  SELECT t.typbasetype, t.typtypmod FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT CASE WHEN n.nspname = 'pg_catalog' THEN t.typname END, b.typmod::text, format_type($1::oid, $2::int)
  FROM base b JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
  JOIN pg_namespace n ON n.oid = t.typnamespace`;

/** The type of a column that the log still shows but the table no longer has; a dropped type counts as native. */
export async function describeType(
  client: pg.Client,
  typeOid: number,
  typmod: number,
): Promise<{ readonly type: ColumnType; readonly nativeType: string }> {
  const [row] = await queryTexts(client, TYPE_QUERY, [typeOid, typmod]);
  if (row === undefined) return { type: { kind: 'native', nativeType: 'unknown' }, nativeType: 'unknown' };
  const [builtIn, baseTypmod, nativeType] = row;
  const type = columnType({ builtIn: builtIn ?? null, typmod: Number(baseTypmod), formatted: nativeType! });
  return { type, nativeType: nativeType! };
}
