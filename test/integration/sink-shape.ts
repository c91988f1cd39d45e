import type pg from 'pg';
import { parseTableName } from '../../connectors/postgres/names.js';
import { columnType } from '../../connectors/postgres/types.js';
import type { TableShape } from '../../src/model/table.js';

/** A table's shape, read here so that the sink's tests stand on nothing but the sink. */
export async function readShape(client: pg.Client, entity: string, table: string): Promise<TableShape> {
  const { schema, name } = parseTableName(table);
  const found = await client.query<Record<string, string & number & boolean>>(
    `SELECT a.attname, t.typname, n.nspname, t.typtype, b.typname AS base, a.atttypmod, t.typtypmod, NOT a.attnotnull AS nullable,
       a.atthasdef OR a.attidentity <> '' AS defaulted, a.attgenerated <> '' AS generated,
       format_type(a.atttypid, a.atttypmod) AS formatted,
       (SELECT array_position(i.indkey::int2[], a.attnum) FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary) AS place
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace s ON s.oid = c.relnamespace
     JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
     LEFT JOIN pg_type b ON b.oid = t.typbasetype
     WHERE s.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [schema, name],
  );
  const keyPlaces = found.rows.filter((row) => row['place'] !== null);
  return {
    system: 'crm',
    entity,
    table,
    comment: null,
    key: keyPlaces.sort((one, other) => one['place']! - other['place']!).map((row) => row['attname']!),
    columns: found.rows.map((row) => ({
      name: row['attname']!,
      type: columnType({
        builtIn: row['typtype'] === 'd' ? row['base']! : row['nspname'] === 'pg_catalog' ? row['typname']! : null,
        typmod: row['typtype'] === 'd' ? row['typtypmod']! : row['atttypmod']!,
        formatted: row['formatted']!,
      }),
      nativeType: row['formatted']!,
      nullable: row['nullable']!,
      hasDefault: row['defaulted']!,
      generated: row['generated']!,
      comment: null,
    })),
  };
}
