import type { SourceOptions } from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import { type DescribedTable, describeTables } from './catalogue.js';
import { publicationName, quoteTable, slotName } from './names.js';
import { completeLsn, type SourcePosition, type TableProgress } from './position.js';
import { ensurePublication } from './publication.js';
import type { QuerySession } from './session.js';
import {
  createSlot,
  endHolder,
  refuseLostSlot,
  refuseMissingRights,
  type ServerFacts,
  serverFacts,
  slotFacts,
} from './slot.js';
import type { Lsn } from './stream/lsn.js';

/** Everything that reading begins with: the slot is there and free, the publication has all tables. */
export interface Prepared {
  readonly facts: ServerFacts;
  readonly described: readonly DescribedTable[];
  readonly start: SourcePosition;
  /** The last place that is durable with us. */
  readonly durable: Lsn;
}

/**
 * Checks server, tables and rights, makes publication and slot where they are missing, ends an older reader.
 * @throws DuologError SLOT_LOST and whatever else is in the way, with the statement that would mend it.
 */
export async function prepareCapture(
  session: QuerySession,
  options: SourceOptions,
  stored: SourcePosition | null,
): Promise<Prepared> {
  const { system, prefix } = options;
  const slot = slotName(prefix, system);
  const facts = await serverFacts(session, system);
  const captured = options.entities.filter((entity) => entity.captured);
  const described = await session.use((client) => describeTables(client, system, captured));
  refuseNamelessRows(system, described);
  const tables = described.map((table) => ({ oid: table.oid, quoted: quoteTable(table) }));
  await refuseMissingRights(session, system, tables);
  refuseLostSlot(system, slot, await slotFacts(session, system, slot), stored, facts.cluster);
  await ensurePublication(session, system, publicationName(prefix, system), described, facts.version);
  // Also a server process that is still making the slot for a reader who has gone.
  await endHolder(session, system, slot);
  const confirmed =
    (await slotFacts(session, system, slot))?.confirmed ?? (await createSlot(session, system, slot)).confirmed!;
  const start = startPosition(
    facts,
    confirmed,
    stored,
    described.map((table) => table.shape),
  );
  const durable = Math.max(confirmed - 1, stored === null ? 0 : completeLsn(stored));
  return { facts, described, start, durable };
}

function refuseNamelessRows(system: string, described: readonly DescribedTable[]): void {
  const nameless = described.find((table) => table.replicaIdentity === 'nothing');
  if (nameless === undefined) return;
  throw new DuologError(
    'TABLE_REPLICA_IDENTITY',
    `${system}: updates and deletes of ${nameless.shape.table} do not name their row (REPLICA IDENTITY NOTHING)`,
    { hint: `Run: ALTER TABLE ${quoteTable(nameless)} REPLICA IDENTITY DEFAULT` },
  );
}

/** Where to begin: tables that the position does not know, or knows under another name, are read from their beginning. */
function startPosition(
  facts: ServerFacts,
  confirmed: Lsn,
  stored: SourcePosition | null,
  shapes: readonly { readonly entity: string; readonly table: string }[],
): SourcePosition {
  const from: SourcePosition = stored ?? {
    cluster: facts.cluster,
    lsn: confirmed - 1,
    ordinal: null,
    reads: 0,
    tables: {},
  };
  const tables: Record<string, TableProgress> = {};
  for (const { entity, table } of shapes) {
    const known = from.tables[entity];
    tables[entity] = known !== undefined && known.table === table ? known : { state: 'pending', table };
  }
  return { ...from, tables };
}
