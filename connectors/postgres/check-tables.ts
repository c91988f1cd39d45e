import pg from 'pg';
import type { Finding, SystemUse } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { bad, good, warning } from './check-server.js';
import { parseTableName, quoteTable } from './names.js';
import type { QuerySession } from './session.js';

const TABLE_QUERY = `
SELECT c.relpersistence::text, c.relreplident::text,
       (SELECT coalesce(sum(pg_relation_size(p.reltoastrelid)), 0) > 0 FROM pg_class p
         WHERE p.reltoastrelid <> 0 AND (p.oid = c.oid OR p.oid IN (SELECT relid FROM pg_partition_tree(c.oid))))::text,
       (SELECT json_agg(t.tgname ORDER BY t.tgname) FROM pg_trigger t
         WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')),
       (SELECT json_agg(r.rulename) FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3', '4')),
       (c.relrowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
         AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')))::text,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)::text,
       quote_ident(current_user)
  FROM pg_class c WHERE c.oid = to_regclass($1)`;

/** Indexes by their columns, in order; those on expressions or a part of the rows answer no guard. */
const INDEX_QUERY = `
SELECT i.indisunique::text,
       (SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts)
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
 WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
   AND m.amname IN ('btree', 'hash')`;

/** What the tables themselves should be like, for capture and for writing. */
export async function checkTables(
  session: QuerySession,
  entities: readonly EntitySystemPlan[],
  use: SystemUse,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const plan of entities) {
    const table = quoteTable(parseTableName(plan.table));
    const [row] = await session.query(TABLE_QUERY, [table]);
    if (row === undefined) {
      findings.push(bad('table', `there is no table ${plan.table} (${plan.entity})`, null));
      continue;
    }
    const [persistence, identity, toasted, triggers, rules, secured, hasPrimaryKey, role] = row;
    if (hasPrimaryKey !== 'true' && identity !== 'i') {
      findings.push(bad('primary-key', `${plan.table} has no primary key`, `ALTER TABLE ${table} ADD PRIMARY KEY (…)`));
    }
    if (plan.captured) findings.push(...checkCaptured(plan, table, persistence!, identity!, toasted === 'true'));
    if (!plan.written) continue;
    findings.push(...checkWritten(plan, table, names(triggers), names(rules)));
    if (secured === 'true') {
      const message = `row-level security of ${plan.table} may hide rows from ${role}: they would look deleted`;
      findings.push(warning('row-security', message, `ALTER ROLE ${role} BYPASSRLS`));
    }
    findings.push(...checkMatchIndexes(plan, table, use, await session.query(INDEX_QUERY, [table])));
  }
  return findings;
}

function names(json: string | null | undefined): string[] {
  return JSON.parse(json ?? '[]') as string[];
}

function checkCaptured(
  plan: EntitySystemPlan,
  table: string,
  persistence: string,
  identity: string,
  toasted: boolean,
): Finding[] {
  if (persistence === 'u') {
    return [bad('unlogged', `${plan.table} is unlogged: its changes are in no log`, `ALTER TABLE ${table} SET LOGGED`)];
  }
  if (identity === 'n') {
    const message = `${plan.table} has no replica identity: its updates and deletes would fail`;
    return [bad('replica-identity', message, `ALTER TABLE ${table} REPLICA IDENTITY DEFAULT`)];
  }
  if (identity === 'f') return [good('replica-identity', `${plan.table} sends whole rows`)];
  if (!toasted) return [good('replica-identity', `${plan.table} sends its key with each change`)];
  const message = `${plan.table} has large values: one that does not change is not sent, and the last one seen stands for it`;
  return [warning('replica-identity', message, `ALTER TABLE ${table} REPLICA IDENTITY FULL`)];
}

function checkWritten(
  plan: EntitySystemPlan,
  table: string,
  triggers: readonly string[],
  rules: readonly string[],
): Finding[] {
  const findings: Finding[] = [];
  if (triggers.length > 0) {
    const message = `triggers of ${plan.table} run on what we write: ${triggers.join(', ')}; what they change counts as a rewrite`;
    findings.push(good('trigger', message));
  }
  const [rule] = rules;
  if (rule !== undefined) {
    const message = `the rule ${rule} of ${plan.table} stands in the way of our statements`;
    findings.push(bad('rule', message, `DROP RULE ${pg.escapeIdentifier(rule)} ON ${table}`));
  }
  return findings;
}

/** Without an index on its columns an insert is not guarded by a match rule (the double is found when it comes back). */
function checkMatchIndexes(
  plan: EntitySystemPlan,
  table: string,
  use: SystemUse,
  indexes: readonly (readonly (string | null)[])[],
): Finding[] {
  const rules = use.match[plan.entity] ?? [];
  return rules.map((columns) => {
    const what = `${columns.join(', ')} of ${plan.table}`;
    const found = indexes.find(([, of]) => columns.includes(names(of)[0] ?? ''));
    if (found === undefined) {
      const statement = `CREATE INDEX CONCURRENTLY ON ${table} (${columns.map(pg.escapeIdentifier).join(', ')})`;
      return warning(
        'match-index',
        `no index on ${what}: an insert is not guarded against a double (${plan.entity})`,
        statement,
      );
    }
    const isUnique = indexes.some(
      ([unique, of]) => unique === 'true' && names(of).every((name) => columns.includes(name)),
    );
    const sure = isUnique
      ? 'and unique: no double can come in'
      : 'not unique: a double made in the same moment is found later';
    return good('match-index', `an index on ${what} guards inserts, ${sure}`);
  });
}
