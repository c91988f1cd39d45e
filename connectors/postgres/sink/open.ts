import { DuologError } from '../../../src/errors/duolog-error.js';
import type { EntitySystemPlan } from '../../../src/plan/plan.js';
import type { PostgresConnection } from '../connection.js';
import { missingRights } from '../rights.js';
import {
  BOOKKEEPING_LOCK,
  BOOKKEEPING_MISSING,
  BOOKKEEPING_STATEMENTS,
  bookkeepingGrant,
  endOldHolder,
  holderQuery,
  readStoredProgress,
  type SinkIdentity,
  type StoredProgress,
  takeEpoch,
} from './bookkeeping.js';
import { describe, failureKind, sinkFailure } from './failures.js';
import { Session } from './session.js';
import { readTargetTable, type TargetTable } from './target-table.js';

/** A session that has ended may take this long to be gone. */
const END_WAIT_MS = 5_000;
const EPOCH_LOCK_TIMEOUT_MS = 5_000;

export async function connect(connection: PostgresConnection, identity: SinkIdentity, owner: string) {
  try {
    return await Session.connect(connection, `duolog ${identity.prefix} sink ${identity.sync} ${owner}`);
  } catch (error) {
    throw sinkFailure(error, identity.system, 'connecting');
  }
}

/** Makes the bookkeeping table where it is missing. @throws DuologError SINK_RIGHTS with the statements. */
export async function ensureBookkeeping(session: Session, system: string): Promise<void> {
  const missing = await session.query(BOOKKEEPING_MISSING);
  if (missing.rows[0]?.[0] !== 't') return;
  try {
    await session.query({ text: 'BEGIN' });
    await session.query(BOOKKEEPING_LOCK);
    for (const text of BOOKKEEPING_STATEMENTS) await session.query({ text });
    await session.query({ text: 'COMMIT' });
  } catch (error) {
    if (failureKind(error) !== 'setup') throw error;
    await session.query({ text: 'ROLLBACK' });
    const role = (await session.query({ text: 'SELECT quote_ident(current_user)' })).rows[0]?.[0] ?? '';
    throw new DuologError('SINK_RIGHTS', `${system}: the role ${role} may not create the table duolog.sink`, {
      hint: `Run: ${[...BOOKKEEPING_STATEMENTS, bookkeepingGrant(role)].join('; ')}`,
    });
  }
}

/** Ends the last holder's session and raises the epoch. @throws DuologError SINK_BUSY, SINK_RIGHTS. */
export async function takeOver(
  session: Session,
  identity: SinkIdentity,
  birth: string,
  owner: string,
): Promise<StoredProgress> {
  await session.query(endOldHolder(identity, END_WAIT_MS)).catch((error: unknown) => {
    // Not allowed to end another role's session: the epoch keeps it from committing all the same.
    if (failureKind(error) !== 'setup') throw error;
  });
  await session.query({ text: 'BEGIN' });
  try {
    await session.query({ text: `SET LOCAL lock_timeout = ${EPOCH_LOCK_TIMEOUT_MS}` });
    const taken = await session.query(takeEpoch(identity, birth, owner));
    await session.query({ text: 'COMMIT' });
    return readStoredProgress(taken);
  } catch (error) {
    const kind = failureKind(error);
    if (kind === 'locked') {
      const text = `${identity.system}: another session works on the row of this sink in duolog.sink`;
      throw new DuologError('SINK_BUSY', text, { hint: `See who: ${holderQuery(identity)}` });
    }
    if (kind !== 'setup') throw error;
    await session.query({ text: 'ROLLBACK' });
    const role = (await session.query({ text: 'SELECT quote_ident(current_user)' })).rows[0]?.[0] ?? '';
    throw new DuologError('SINK_RIGHTS', `${identity.system}: the table duolog.sink: ${describe(error).message}`, {
      hint: `Run: ${bookkeepingGrant(role)}`,
    });
  }
}

/** The tables that are written to, by entity. @throws DuologError SINK_TABLE_CHANGED. */
export async function readTables(
  session: Session,
  entities: readonly EntitySystemPlan[],
): Promise<Map<string, TargetTable>> {
  const tables = new Map<string, TargetTable>();
  for (const plan of entities) {
    if (plan.written) tables.set(plan.entity, await readTargetTable(session, plan));
  }
  return tables;
}

/**
 * After an error that speaks of a right, a table or a column: finds what is missing for us.
 * Returns when nothing is; then a trigger or a policy speaks of its own.
 * @throws DuologError SINK_RIGHTS, SINK_TABLE_CHANGED.
 */
export async function verifySetup(session: Session, entities: readonly EntitySystemPlan[]): Promise<void> {
  await readTables(session, entities);
  for (const plan of entities) {
    if (!plan.written) continue;
    const ask = async (text: string, values: readonly string[]) => (await session.query({ text, values })).rows;
    const missing = await missingRights(ask, plan);
    if (missing.length === 0) continue;
    const what = missing.map(({ right, columns }) =>
      columns.length === 0 ? right : `${right} (${columns.join(', ')})`,
    );
    throw new DuologError('SINK_RIGHTS', `${plan.system}: no right to ${what.join(', ')} on ${plan.table}`, {
      hint: `Run: ${missing.map(({ statement }) => statement).join('; ')}`,
    });
  }
}
