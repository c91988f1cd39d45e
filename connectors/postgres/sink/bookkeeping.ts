import pg from 'pg';
import type { Outcome, SinkProgress } from '../../../src/connector/contract.js';
import { outcomesText, readOutcomes } from '../marks.js';
import type { Answer, Statement } from './session.js';

/** What a first run creates in the target, for `plan` and for whoever must do it by hand. */
export const BOOKKEEPING_STATEMENTS: readonly string[] = [
  'CREATE SCHEMA IF NOT EXISTS duolog',
  `CREATE TABLE IF NOT EXISTS duolog.sink (
  prefix text NOT NULL,
  sync text NOT NULL,
  system text NOT NULL,
  epoch bigint NOT NULL,
  birth text NOT NULL,
  lowest bigint,
  answered bigint[] NOT NULL DEFAULT '{}',
  unpublished text NOT NULL DEFAULT '[]',
  owner text NOT NULL,
  pid integer NOT NULL,
  backend_start timestamptz NOT NULL,
  opened timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (prefix, sync, system)
) WITH (fillfactor = 10)`,
  `COMMENT ON TABLE duolog.sink IS 'How far each Duolog sink has come, written in the transaction of its data; epoch and pid name the one process that may write'`,
];

/** By the catalogue, which everybody may read: a role without rights on the schema gets an answer too. */
export const BOOKKEEPING_TABLE = `(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = 'duolog' AND c.relname = 'sink')`;

export const BOOKKEEPING_MISSING: Statement = { text: `SELECT ${BOOKKEEPING_TABLE} IS NULL` };

/** Two sinks of one database that open for the first time must not both create the table. */
export const BOOKKEEPING_LOCK: Statement = { text: `SELECT pg_advisory_xact_lock(hashtext('duolog.sink'))` };

/** Rights on the bookkeeping table, for a role that did not create it. */
export function bookkeepingGrant(role: string): string {
  return `GRANT USAGE ON SCHEMA duolog TO ${role}; GRANT SELECT, INSERT, UPDATE ON duolog.sink TO ${role}`;
}

/** Which row of duolog.sink is ours. */
export interface SinkIdentity {
  readonly prefix: string;
  readonly sync: string;
  readonly system: string;
}

/**
 * Ends the session of the sink's last holder, and waits until it is gone. Process ids are used again, so only
 * the session that also began at the same moment is the one.
 */
export function endOldHolder(identity: SinkIdentity, waitMs: number): Statement {
  return {
    text: `SELECT pg_terminate_backend(a.pid, ${waitMs})
      FROM duolog.sink s JOIN pg_stat_activity a ON a.pid = s.pid AND a.backend_start = s.backend_start
      WHERE s.prefix = $1 AND s.sync = $2 AND s.system = $3 AND a.pid <> pg_backend_pid()`,
    values: [identity.prefix, identity.sync, identity.system],
  };
}

/**
 * Raises the epoch: from here on no other session can commit for this sink (I4). The progress of another birth
 * belongs to a command topic that is gone, and is not told.
 */
export function takeEpoch(identity: SinkIdentity, birth: string, owner: string): Statement {
  return {
    text: `INSERT INTO duolog.sink AS s (prefix, sync, system, epoch, birth, owner, pid, backend_start)
      SELECT $1, $2, $3, 1, $4, $5, a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()
      ON CONFLICT (prefix, sync, system) DO UPDATE SET epoch = s.epoch + 1, owner = excluded.owner,
        pid = excluded.pid, backend_start = excluded.backend_start, opened = now()
      RETURNING epoch, birth, lowest, array_to_json(answered), unpublished`,
    values: [identity.prefix, identity.sync, identity.system, birth, owner],
  };
}

/** What stood in the row when the epoch was raised. */
export interface StoredProgress {
  readonly epoch: number;
  readonly birth: string;
  readonly progress: SinkProgress | null;
  readonly unpublished: readonly Outcome[];
}

export function readStoredProgress(answer: Answer): StoredProgress {
  const [epoch, birth, lowest, answered, unpublished] = answer.rows[0] ?? [];
  return {
    epoch: Number(epoch),
    birth: birth ?? '',
    progress:
      lowest === null || lowest === undefined
        ? null
        : { lowest: Number(lowest), answered: JSON.parse(answered ?? '[]') as number[] },
    unpublished: readOutcomes(unpublished ?? '[]'),
  };
}

/**
 * The first statement of a batch: locks the sink's row while the epoch is our own and, where the log is read,
 * writes the first mark. No row in the answer: another process has taken over.
 */
export function beginBatch(identity: SinkIdentity, epoch: number, mark: { prefix: string; content: string } | null) {
  const where = 'WHERE prefix = $1 AND sync = $2 AND system = $3 AND epoch = $4 FOR NO KEY UPDATE';
  const values = [identity.prefix, identity.sync, identity.system, String(epoch)];
  return mark === null
    ? { text: `SELECT epoch FROM duolog.sink ${where}`, values, prepared: true }
    : {
        text: `SELECT epoch, pg_logical_emit_message(true, $5, $6::text) FROM duolog.sink ${where}`,
        values: [...values, mark.prefix, mark.content],
        prepared: true,
      };
}

export function emitMark(prefix: string, content: string): Statement {
  return { text: 'SELECT pg_logical_emit_message(true, $1, $2::text)', values: [prefix, content], prepared: true };
}

/** The last statement of a batch. */
export function storeProgress(
  identity: SinkIdentity,
  epoch: number,
  birth: string,
  progress: SinkProgress,
  unpublished: readonly Outcome[],
): Statement {
  return {
    text: `UPDATE duolog.sink SET birth = $5, lowest = $6, answered = $7::bigint[], unpublished = $8
      WHERE prefix = $1 AND sync = $2 AND system = $3 AND epoch = $4`,
    values: [
      identity.prefix,
      identity.sync,
      identity.system,
      String(epoch),
      birth,
      String(progress.lowest),
      `{${progress.answered.join(',')}}`,
      outcomesText(unpublished),
    ],
    prepared: true,
  };
}

/** For people: who holds the sink's row. */
export function holderQuery(identity: SinkIdentity): string {
  const [prefix, sync, system] = [identity.prefix, identity.sync, identity.system].map((text) =>
    pg.escapeLiteral(text),
  );
  return `SELECT owner, pid, opened FROM duolog.sink WHERE prefix = ${prefix} AND sync = ${sync} AND system = ${system}`;
}
