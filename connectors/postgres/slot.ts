import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DuologError } from '../../src/errors/duolog-error.js';
import { slotLost, sourceFailure } from './failure.js';
import { completeLsn, type SourcePosition } from './position.js';
import type { QuerySession } from './session.js';
import { formatLsn, type Lsn, parseLsn } from './stream/lsn.js';

export interface ServerFacts {
  /** As server_version_num: 140011. */
  readonly version: number;
  /** Identity of the database cluster. */
  readonly cluster: string;
  /** Half of wal_sender_timeout at most may pass between our signs of life; null where it is off. */
  readonly senderTimeoutMs: number | null;
}

/** @throws DuologError SOURCE_VERSION, WAL_LEVEL. */
export async function serverFacts(session: QuerySession, system: string): Promise<ServerFacts> {
  const [row] = await session.query(
    `SELECT current_setting('server_version_num'), current_setting('wal_level'),
            (SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'),
            (SELECT system_identifier FROM pg_control_system())::text, current_setting('server_version')`,
  );
  const [version, walLevel, senderTimeout, cluster, versionText] = row!;
  if (Number(version) < 140_000) {
    throw new DuologError('SOURCE_VERSION', `${system} runs Postgres ${versionText}; capture needs 14 or later`);
  }
  if (walLevel !== 'logical') {
    throw new DuologError('WAL_LEVEL', `${system}: wal_level is ${walLevel}; capture needs logical`);
  }
  const senderTimeoutMs = Number(senderTimeout);
  return {
    version: Number(version),
    cluster: cluster!,
    senderTimeoutMs: senderTimeoutMs > 0 ? senderTimeoutMs : null,
  };
}

const SLOT_QUERY = `
SELECT plugin, database = current_database(), temporary, active_pid::text, confirmed_flush_lsn::text, wal_status,
       slot_type, database
  FROM pg_replication_slots WHERE slot_name = $1`;

export interface SlotFacts {
  /** The server sends what commits at or after it; null while the slot is being made. */
  readonly confirmed: Lsn | null;
  readonly activePid: number | null;
  /** The server has removed log that it needed. */
  readonly invalid: boolean;
}

/** The slot as it is, or null. @throws DuologError SLOT_UNUSABLE. */
export async function slotFacts(session: QuerySession, system: string, slot: string): Promise<SlotFacts | null> {
  const [row] = await session.query(SLOT_QUERY, [slot]);
  if (row === undefined) return null;
  const [plugin, here, temporary, activePid, confirmed, walStatus, type, database] = row;
  if (type !== 'logical' || plugin !== 'pgoutput' || here !== 't' || temporary !== 'f') {
    throw new DuologError(
      'SLOT_UNUSABLE',
      `${system}: there is a replication slot ${slot}, but it is a ${type} one for ${plugin} in database ${database}`,
      { hint: `Run: SELECT pg_drop_replication_slot(${pg.escapeLiteral(slot)})` },
    );
  }
  return {
    confirmed: confirmed == null ? null : parseLsn(confirmed),
    activePid: activePid == null ? null : Number(activePid),
    invalid: walStatus === 'lost',
  };
}

/** Makes the slot; waits for every transaction that is open now. @throws DuologError SLOT_LIMIT, SOURCE_RIGHTS, … */
export async function createSlot(session: QuerySession, system: string, slot: string): Promise<SlotFacts> {
  const statement = `SELECT pg_create_logical_replication_slot(${pg.escapeLiteral(slot)}, 'pgoutput')`;
  try {
    await session.query(statement);
  } catch (error) {
    const right = 'ALTER ROLE … REPLICATION (the role of the url), by a superuser';
    throw sourceFailure(error, system, `making the replication slot ${slot}`, right);
  }
  const made = await slotFacts(session, system, slot);
  if (made === null) throw slotLost(system, `the slot ${slot} was dropped as soon as it was made`);
  return made;
}

/** Ends whoever reads the slot and drops it. @throws DuologError SLOT_IN_USE, SOURCE_RIGHTS, … */
export async function dropSlot(session: QuerySession, system: string, slot: string): Promise<void> {
  await endHolder(session, system, slot);
  const statement = `SELECT pg_drop_replication_slot(${pg.escapeLiteral(slot)})`;
  try {
    await session.query(statement);
  } catch (error) {
    throw sourceFailure(error, system, `dropping the replication slot ${slot}`, statement);
  }
}

/**
 * Why the changes behind the stored position cannot be read any more, or null where they can: the slot is gone, has
 * lost its log, belongs to another cluster, or was confirmed beyond what is stored in Kafka.
 */
export function lossOf(
  slot: string,
  facts: SlotFacts | null,
  resume: SourcePosition | null,
  cluster: string,
): string | null {
  if (facts?.invalid === true) {
    return `the server has removed log that the slot ${slot} still needed (max_slot_wal_keep_size)`;
  }
  if (resume === null) return null;
  if (resume.cluster !== cluster) {
    return `this is another database cluster (${cluster}) than the one whose position is stored (${resume.cluster})`;
  }
  if (facts === null || facts.confirmed === null)
    return `the replication slot ${slot} is gone, but a position is stored`;
  const durable = completeLsn(resume);
  if (facts.confirmed <= durable + 1) return null;
  return (
    `the slot ${slot} was confirmed up to ${formatLsn(facts.confirmed)}, ` +
    `but we have stored nothing beyond ${formatLsn(durable)}: somebody else has read from it`
  );
}

const RELEASE_TIMEOUT_MS = 15_000;

/** Ends whoever reads the slot, and waits until the server has let go of it. @throws DuologError SLOT_IN_USE. */
export async function endHolder(session: QuerySession, system: string, slot: string): Promise<void> {
  const deadlineMs = Date.now() + RELEASE_TIMEOUT_MS;
  for (;;) {
    const facts = await slotFacts(session, system, slot);
    if (facts === null || facts.activePid === null) return;
    const statement = `SELECT pg_terminate_backend(${facts.activePid})`;
    try {
      await session.query(statement);
    } catch (error) {
      const { message } = sourceFailure(error, system, `ending the session that reads the slot ${slot}`);
      throw new DuologError('SLOT_IN_USE', message, { cause: error, hint: `Run: ${statement}` });
    }
    if (Date.now() > deadlineMs) {
      throw new DuologError(
        'SLOT_IN_USE',
        `${system}: session ${facts.activePid} does not let go of the slot ${slot}`,
        {
          hint: `Run: ${statement}`,
        },
      );
    }
    await delay(50);
  }
}

/** Rights that reading needs beyond the slot. @throws DuologError SOURCE_RIGHTS with the GRANT. */
export async function refuseMissingRights(
  session: QuerySession,
  system: string,
  tables: readonly { readonly oid: number; readonly quoted: string }[],
): Promise<void> {
  for (const { oid, quoted } of tables) {
    const [row] = await session.query(
      `SELECT has_table_privilege($1::oid, 'SELECT')::text, quote_ident(current_user)`,
      [oid],
    );
    const [allowed, role] = row!;
    if (allowed !== 'true') {
      throw new DuologError('SOURCE_RIGHTS', `${system}: ${role} may not read ${quoted}`, {
        hint: `Run: GRANT SELECT ON ${quoted} TO ${role}`,
      });
    }
  }
}
