import type { Finding } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { bad, good, warning } from './check-server.js';
import { parseTableName, quoteTable } from './names.js';
import { missingRights } from './rights.js';
import type { QuerySession } from './session.js';
import { BOOKKEEPING_STATEMENTS, BOOKKEEPING_TABLE, bookkeepingGrant } from './sink/bookkeeping.js';

/** Rights on tables, column by column, and on the sequences that give keys. */
export async function checkRights(session: QuerySession, entities: readonly EntitySystemPlan[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const plan of entities) {
    const missing = await missingRights((text, values) => session.query(text, values), plan);
    for (const { right, columns, table, statement } of missing) {
      const what = columns.length === 0 || right === 'DELETE' ? table : `${columns.join(', ')} of ${table}`;
      findings.push(bad('right', `no right to ${right} ${what} (${plan.entity})`, statement));
    }
    const sequences = plan.written ? await checkSequences(session, plan) : [];
    findings.push(...sequences);
    if (missing.length === 0 && sequences.length === 0) {
      const does = plan.written ? 'read and written' : 'read';
      findings.push(good('right', `${plan.table} may be ${does} (${plan.entity})`));
    }
  }
  return findings;
}

/** An identity's sequence needs no right for an insert; with it, many rows go in at once. */
async function checkSequences(session: QuerySession, plan: EntitySystemPlan): Promise<Finding[]> {
  const table = quoteTable(parseTableName(plan.table));
  const rows = await session.query(
    `SELECT format('%I.%I', n.nspname, s.relname), quote_ident(current_user), (a.attidentity <> '')::text, a.attname
       FROM pg_attribute a
       JOIN pg_depend d ON (d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i')
                        OR (d.classid = 'pg_attrdef'::regclass AND d.objid =
                            (SELECT e.oid FROM pg_attrdef e WHERE e.adrelid = a.attrelid AND e.adnum = a.attnum))
       JOIN pg_class s ON s.relkind = 'S' AND s.oid = CASE WHEN d.deptype = 'i' THEN d.objid ELSE d.refobjid END
       JOIN pg_namespace n ON n.oid = s.relnamespace
      WHERE a.attrelid = to_regclass($1) AND a.attnum > 0
        AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END`,
    [table],
  );
  return rows.map(([sequence, role, identity, column]) => {
    const statement = `GRANT USAGE ON SEQUENCE ${sequence} TO ${role}`;
    return identity === 'true'
      ? warning(
          'sequence-right',
          `rows of ${plan.table} go in one by one: the sequence of ${column} may not be read`,
          statement,
        )
      : bad(
          'sequence-right',
          `the sequence ${sequence} that fills ${column} of ${plan.table} may not be read`,
          statement,
        );
  });
}

/** The table of the sinks: there and ours to write, or ours to make. */
export async function checkBookkeeping(session: QuerySession): Promise<Finding[]> {
  const [row] = await session.query(
    `SELECT quote_ident(current_user), (${BOOKKEEPING_TABLE} IS NOT NULL)::text,
            has_database_privilege(current_database(), 'CREATE')::text, n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'CREATE')
       FROM (SELECT 1) AS one LEFT JOIN pg_namespace n ON n.nspname = 'duolog'`,
  );
  const [role, exists, mayCreate, mayCreateInSchema] = row!;
  if (exists !== 'true') {
    if (mayCreate === 'true' || mayCreateInSchema === 't') {
      return [good('bookkeeping', 'the table duolog.sink will be created at the first start')];
    }
    const statements = [...BOOKKEEPING_STATEMENTS, bookkeepingGrant(role!)];
    return [
      bad('bookkeeping', `the table duolog.sink is missing, and ${role} may not create it`, statements.join(';\n')),
    ];
  }
  const [rights] = await session.query(
    `SELECT (has_schema_privilege('duolog', 'USAGE') AND has_table_privilege(t, 'SELECT')
       AND has_table_privilege(t, 'INSERT') AND has_table_privilege(t, 'UPDATE'))::text FROM ${BOOKKEEPING_TABLE} AS sink (t)`,
  );
  if (rights![0] === 'true') return [good('bookkeeping', 'the table duolog.sink is there')];
  return [bad('bookkeeping', `${role} may not write the table duolog.sink`, bookkeepingGrant(role!))];
}

export async function planBookkeeping(session: QuerySession): Promise<readonly string[]> {
  const [row] = await session.query(`SELECT (${BOOKKEEPING_TABLE} IS NULL)::text`);
  return row![0] === 'true' ? BOOKKEEPING_STATEMENTS : [];
}
