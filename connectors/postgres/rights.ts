import pg from 'pg';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { parseTableName, quoteTable } from './names.js';

export interface MissingRight {
  readonly table: string;
  readonly right: 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';
  /** Columns that may not be used; empty where the right is the whole table's. */
  readonly columns: readonly string[];
  readonly statement: string;
}

/** How a caller asks the database: the rows of a statement, as texts. */
export type Ask = (text: string, values: readonly string[]) => Promise<readonly (readonly (string | null)[])[]>;

/** Rights on tables that reading and writing as planned takes, column by column where the table's own is missing. */
export async function missingRights(ask: Ask, plan: EntitySystemPlan): Promise<MissingRight[]> {
  const name = parseTableName(plan.table);
  const table = quoteTable(name);
  const wanted = [
    { right: 'SELECT' as const, columns: plan.shape.columns.map((column) => column.name) },
    ...(plan.written ? writingRights(plan) : []),
  ];
  const missing: MissingRight[] = [];
  for (const { right, columns } of wanted) {
    const rows =
      right === 'DELETE'
        ? await ask(`SELECT NULL, current_user WHERE NOT has_table_privilege($1, 'DELETE')`, [table])
        : await ask(
            `SELECT c.name, current_user FROM json_array_elements_text($2::json) AS c (name)
             WHERE NOT has_table_privilege($1, $3) AND NOT has_column_privilege($1, c.name, $3)`,
            [table, JSON.stringify(columns), right],
          );
    if (rows.length === 0) continue;
    const denied = rows.map(([column]) => column).filter((column) => column !== null && column !== undefined);
    const listed = denied.length === 0 || right === 'SELECT' ? '' : ` (${denied.map(pg.escapeIdentifier).join(', ')})`;
    const role = pg.escapeIdentifier(rows[0]![1] ?? '');
    missing.push({
      table: plan.table,
      right,
      columns: denied,
      statement: `GRANT ${right}${listed} ON ${table} TO ${role}`,
    });
  }
  return missing;
}

function writingRights(
  plan: EntitySystemPlan,
): { readonly right: MissingRight['right']; readonly columns: string[] }[] {
  const written = new Set(plan.columns.filter((column) => column.write).map(({ column }) => column));
  if (plan.softDelete !== null && plan.delete === 'soft') written.add(plan.softDelete.column);
  const inserted = new Set([...written, ...Object.keys(plan.insertSet)]);
  if (!plan.generatesKey) for (const column of plan.shape.key) inserted.add(column);
  return [
    { right: 'INSERT', columns: [...inserted] },
    { right: 'UPDATE', columns: [...written] },
    ...(plan.delete === 'hard' ? [{ right: 'DELETE' as const, columns: [] }] : []),
  ];
}
