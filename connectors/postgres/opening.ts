import type { ResyncRequest, SourceOptions } from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import { type DescribedTable, describeTables } from './catalogue.js';
import { publicationName, quoteTable, slotName } from './names.js';
import { completeLsn, type SourcePosition, type TableProgress } from './position.js';
import { ensurePublication } from './publication.js';
import type { QuerySession } from './session.js';
import { slotLost } from './failure.js';
import {
  createSlot,
  dropSlot,
  endHolder,
  lossOf,
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
  /** Entities to be read again behind a gap. */
  readonly again: readonly string[];
}

/**
 * Checks server, tables and rights, makes publication and slot where they are missing, ends an older reader. Where a
 * resync was asked for, a slot that has lost changes is made anew, and everything is read again.
 * @throws DuologError SLOT_LOST and whatever else is in the way, with the statement that would mend it.
 */
export async function prepareCapture(
  session: QuerySession,
  options: SourceOptions,
  stored: SourcePosition | null,
  resync: ResyncRequest | null,
): Promise<Prepared> {
  const { system, prefix } = options;
  const slot = slotName(prefix, system);
  const facts = await serverFacts(session, system);
  const captured = options.entities.filter((entity) => entity.captured);
  const described = await session.use((client) => describeTables(client, system, captured));
  refuseNamelessRows(system, described);
  const tables = described.map((table) => ({ oid: table.oid, quoted: quoteTable(table) }));
  await refuseMissingRights(session, system, tables);
  const found = await slotFacts(session, system, slot);
  const loss = lossOf(slot, found, stored, facts.cluster);
  if (loss !== null && resync === null) throw slotLost(system, loss);
  if (loss !== null && found !== null) await dropSlot(session, system, slot);
  await ensurePublication(session, system, publicationName(prefix, system), described, facts.version);
  // Also a server process that is still making the slot for a reader who has gone.
  await endHolder(session, system, slot);
  const confirmed =
    (await slotFacts(session, system, slot))?.confirmed ?? (await createSlot(session, system, slot)).confirmed!;
  const shapes = described.map((table) => table.shape);
  const entities = shapes.map(({ entity }) => entity);
  const again = resync === null ? [] : entities.filter((entity) => loss !== null || isAsked(resync, entity));
  const resume = loss === null ? stored : null;
  const start = startPosition({ facts, confirmed, reads: stored?.reads ?? 0, stored: resume, shapes, again });
  const durable = Math.max(confirmed - 1, resume === null ? 0 : completeLsn(resume));
  return { facts, described, start, durable, again };
}

function isAsked({ entities }: ResyncRequest, entity: string): boolean {
  return entities === null || entities.includes(entity);
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
function startPosition(from: {
  readonly facts: ServerFacts;
  readonly confirmed: Lsn;
  /** Snapshot events so far: their numbers go on where the position does not. */
  readonly reads: number;
  /** Null: at the slot's beginning. */
  readonly stored: SourcePosition | null;
  readonly shapes: readonly { readonly entity: string; readonly table: string }[];
  readonly again: readonly string[];
}): SourcePosition {
  const { facts, confirmed, reads, shapes, again } = from;
  const stored = from.stored ?? { cluster: facts.cluster, lsn: confirmed - 1, ordinal: null, reads, tables: {} };
  const tables: Record<string, TableProgress> = {};
  for (const { entity, table } of shapes) {
    const known = again.includes(entity) ? undefined : stored.tables[entity];
    tables[entity] = known !== undefined && known.table === table ? known : { state: 'pending', table };
  }
  return { ...stored, tables };
}
