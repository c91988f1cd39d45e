import pg from 'pg';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { DescribedTable } from './catalogue.js';
import { sourceFailure } from './failure.js';
import { quoteTable } from './names.js';
import type { QuerySession } from './session.js';

/** The statement that makes the publication of a source: all operations, partitioned tables as one. */
export function createPublicationStatement(name: string, tables: readonly string[], serverVersion: number): string {
  const generated = serverVersion >= 180_000 ? ', publish_generated_columns = stored' : '';
  return (
    `CREATE PUBLICATION ${pg.escapeIdentifier(name)} FOR TABLE ${tables.join(', ')} ` +
    `WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true${generated})`
  );
}

export function addToPublicationStatement(name: string, tables: readonly string[]): string {
  return `ALTER PUBLICATION ${pg.escapeIdentifier(name)} ADD TABLE ${tables.join(', ')}`;
}

/**
 * Makes the publication, adds tables that are missing, and checks that it hides nothing of them.
 * @throws DuologError SOURCE_PUBLICATION, SOURCE_RIGHTS, …; the hint holds the statement.
 */
export async function ensurePublication(
  session: QuerySession,
  system: string,
  name: string,
  tables: readonly DescribedTable[],
  serverVersion: number,
): Promise<void> {
  const wanted = [...new Map(tables.map((table) => [table.oid, table])).values()];
  const [publication] = await session.query(
    `SELECT oid::text, (pubinsert AND pubupdate AND pubdelete AND pubtruncate)::text, pubviaroot::text, puballtables::text
       FROM pg_publication WHERE pubname = $1`,
    [name],
  );
  if (publication === undefined) {
    if (wanted.length === 0) return;
    const statement = createPublicationStatement(name, wanted.map(quoteTable), serverVersion);
    return run(session, system, `making the publication ${name}`, statement);
  }
  const [oid, complete, viaRoot, allTables] = publication;
  const wrong = complete !== 'true' || (viaRoot !== 'true' && wanted.some((table) => table.partitioned));
  if (wrong) {
    const statement =
      `ALTER PUBLICATION ${pg.escapeIdentifier(name)} ` +
      `SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)`;
    await run(session, system, `mending the publication ${name}`, statement);
  }
  if (allTables === 'true') return;
  const members = new Set(
    (await session.query('SELECT prrelid::text FROM pg_publication_rel WHERE prpubid = $1::oid', [oid])).map(
      ([relation]) => Number(relation),
    ),
  );
  const missing = wanted.filter((table) => !members.has(table.oid));
  if (missing.length > 0) {
    const statement = addToPublicationStatement(name, missing.map(quoteTable));
    await run(session, system, `adding tables to the publication ${name}`, statement);
  }
  await refuseFilters(session, system, name, oid!, wanted, serverVersion);
}

/** A row filter or a column list (Postgres 15 on) would hide changes without a word. */
async function refuseFilters(
  session: QuerySession,
  system: string,
  name: string,
  oid: string,
  tables: readonly DescribedTable[],
  serverVersion: number,
): Promise<void> {
  if (serverVersion < 150_000) return;
  const filtered = await session.query(
    `SELECT prrelid::text FROM pg_publication_rel
      WHERE prpubid = $1::oid AND (prqual IS NOT NULL OR prattrs IS NOT NULL)`,
    [oid],
  );
  const oids = new Set(filtered.map(([relation]) => Number(relation)));
  const hiding = tables.find((table) => oids.has(table.oid));
  if (hiding === undefined) return;
  throw new DuologError(
    'SOURCE_PUBLICATION',
    `${system}: the publication ${name} hides rows or columns of ${hiding.shape.table} by a filter or a column list`,
    { hint: `Run: ALTER PUBLICATION ${pg.escapeIdentifier(name)} SET TABLE ${tables.map(quoteTable).join(', ')}` },
  );
}

async function run(session: QuerySession, system: string, doing: string, statement: string): Promise<void> {
  try {
    await session.query(statement);
  } catch (error) {
    const failure = sourceFailure(error, system, doing, statement);
    if (failure.code !== 'SOURCE_RIGHTS') throw failure;
    throw new DuologError('SOURCE_PUBLICATION', failure.message, {
      cause: error,
      hint: `Run as the owner of the tables or a superuser: ${statement}`,
    });
  }
}
