import pg from 'pg';
import type { Finding, SystemUse } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { bad, good, room, type ServerState } from './check-server.js';
import { parseTableName, publicationName, quoteTable, slotName } from './names.js';
import { addToPublicationStatement, createPublicationStatement } from './publication.js';
import type { QuerySession } from './session.js';

/** The replication slot: there, of the right kind, with its log; or room for it. */
export async function checkSlot(
  session: QuerySession,
  system: string,
  use: SystemUse,
  server: ServerState,
): Promise<Finding[]> {
  const name = slotName(use.prefix, system);
  const [slot] = await session.query(
    `SELECT slot_type, plugin, (database = current_database())::text, wal_status, active::text,
            pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn))
       FROM pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  if (slot === undefined && use.hasPosition) {
    const lost = `the replication slot ${name} is gone, and what changed since the last run with it`;
    return [bad('slot', `${lost}: run duolog resync ${system}`, null)];
  }
  if (slot === undefined) {
    return [
      good('slot', `the replication slot ${name} will be created at the first start`),
      room('replication-slots', 'max_replication_slots', server.slots, 'replication slots'),
    ];
  }
  const [type, plugin, here, walStatus, active, retained] = slot;
  const drop = `SELECT pg_drop_replication_slot(${pg.escapeLiteral(name)})`;
  if (type !== 'logical' || plugin !== 'pgoutput' || here !== 'true') {
    return [bad('slot', `the replication slot ${name} is somebody else's: ${type}, ${plugin ?? 'no plugin'}`, drop)];
  }
  if (walStatus === 'lost') {
    return [bad('slot', `the server has removed log that the slot ${name} needed: run duolog resync ${system}`, null)];
  }
  const reading = active === 'true' ? 'in use' : 'not in use';
  return [good('slot', `the replication slot ${name} is there, ${reading}, and keeps ${retained ?? 'no'} of log`)];
}

interface Publication {
  readonly name: string;
  /** The statements that make it what it must be; empty when it is. */
  readonly statements: readonly string[];
  readonly exists: boolean;
  /** Captured tables that it lacks. */
  readonly missing: readonly string[];
  readonly isComplete: boolean;
}

async function readPublication(
  session: QuerySession,
  system: string,
  prefix: string,
  captured: readonly EntitySystemPlan[],
  server: ServerState,
): Promise<Publication> {
  const name = publicationName(prefix, system);
  const tables = [...new Set(captured.map(({ table }) => quoteTable(parseTableName(table))))];
  const [found] = await session.query(
    'SELECT (pubinsert AND pubupdate AND pubdelete AND pubtruncate)::text, puballtables::text FROM pg_publication WHERE pubname = $1',
    [name],
  );
  if (found === undefined) {
    const statements = [createPublicationStatement(name, tables, server.versionNumber)];
    return { name, statements, exists: false, missing: tables, isComplete: true };
  }
  const members = await session.query(
    `SELECT t.name FROM json_array_elements_text($2::json) AS t (name)
      WHERE NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                         WHERE p.pubname = $1 AND r.prrelid = to_regclass(t.name))`,
    [name, JSON.stringify(tables)],
  );
  const missing = found[1] === 'true' ? [] : members.map(([table]) => table!);
  const isComplete = found[0] === 'true';
  const statements = [
    ...(isComplete
      ? []
      : [`ALTER PUBLICATION ${pg.escapeIdentifier(name)} SET (publish = 'insert, update, delete, truncate')`]),
    ...(missing.length === 0 ? [] : [addToPublicationStatement(name, missing)]),
  ];
  return { name, statements, exists: true, missing, isComplete };
}

/** The publication: there with all tables and operations, or ours to make. */
export async function checkPublication(
  session: QuerySession,
  system: string,
  prefix: string,
  captured: readonly EntitySystemPlan[],
  server: ServerState,
): Promise<Finding[]> {
  const { name, statements, exists, missing, isComplete } = await readPublication(
    session,
    system,
    prefix,
    captured,
    server,
  );
  if (statements.length === 0)
    return [good('publication', `the publication ${name} has all ${captured.length} tables`)];
  const [rights] = await session.query(
    `SELECT (has_database_privilege(current_database(), 'CREATE')
             OR EXISTS (SELECT FROM pg_publication WHERE pubname = $1))::text,
            (SELECT bool_and(pg_has_role(p.pubowner, 'USAGE')) FROM pg_publication p WHERE p.pubname = $1)::text,
            (SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM json_array_elements_text($2::json) AS t (name)
               JOIN pg_class c ON c.oid = to_regclass(t.name))::text`,
    [name, JSON.stringify(missing)],
  );
  const [mayCreate, ownsPublication, ownsTables] = rights!;
  const mayMend = mayCreate === 'true' && ownsPublication !== 'false' && ownsTables !== 'false';
  const what = !exists
    ? `the publication ${name} is not there yet`
    : isComplete
      ? `the publication ${name} lacks ${missing.join(', ')}`
      : `the publication ${name} does not publish every operation`;
  if (mayMend) return [good('publication', `${what}; the first start mends it`)];
  return [bad('publication', `${what}, and ${server.role} may not mend it`, statements.join('; '))];
}

export async function planCapture(
  session: QuerySession,
  system: string,
  prefix: string,
  captured: readonly EntitySystemPlan[],
  server: ServerState,
): Promise<string[]> {
  const { statements } = await readPublication(session, system, prefix, captured, server);
  const slot = slotName(prefix, system);
  const found = await session.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [slot]);
  const create = `SELECT pg_create_logical_replication_slot(${pg.escapeLiteral(slot)}, 'pgoutput')`;
  return found.length === 0 ? [...statements, create] : [...statements];
}
