import pg from 'pg';
import { TABLES, type SystemName } from './model.js';

/** Set by the users' sessions and by nobody else: how the oracle knows an edit, whatever marks Duolog leaves. */
export const USER_OPTION = '-c audit.author=user';

/** A row of the audit: every row change there was, numbered in the order of its record. */
export interface AuditEntry {
  readonly system: SystemName;
  readonly number: number;
  readonly table: string;
  readonly key: string;
  readonly operation: 'insert' | 'update' | 'delete';
  readonly before: TextRow | null;
  readonly after: TextRow | null;
  readonly transaction: string;
  readonly byUser: boolean;
  readonly timeMs: number;
}

/** Every column as Postgres writes it. */
export type TextRow = Readonly<Record<string, string | null>>;

const AUDIT = `
CREATE SCHEMA audit;
CREATE TABLE audit.entry (number bigserial PRIMARY KEY, relation text NOT NULL, key text NOT NULL,
  operation text NOT NULL, before jsonb, after jsonb, transaction text NOT NULL, author text, time timestamptz NOT NULL);
CREATE FUNCTION audit.note_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE old_row jsonb; new_row jsonb;
BEGIN
  IF TG_OP <> 'INSERT' THEN old_row := to_jsonb(OLD); END IF;
  IF TG_OP <> 'DELETE' THEN new_row := to_jsonb(NEW); END IF;
  INSERT INTO audit.entry (relation, key, operation, before, after, transaction, author, time)
  VALUES (TG_TABLE_NAME, coalesce(new_row, old_row) ->> TG_ARGV[0], lower(TG_OP), old_row, new_row,
    pg_current_xact_id()::text, nullif(current_setting('audit.author', true), ''), clock_timestamp());
  RETURN NULL;
END $$;`;

/** Lays the audit under every table of a database. */
export async function createAudit(pool: pg.Pool, system: SystemName): Promise<void> {
  const triggers = TABLES.filter((table) => table.system === system).map(
    ({ table, key }) => `CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON ${table}
      FOR EACH ROW EXECUTE FUNCTION audit.note_row('${key}')`,
  );
  await pool.query([AUDIT, ...triggers].join(';\n'));
}

const TEXTS = (column: string) =>
  `(SELECT jsonb_object_agg(part.key, part.value) FROM jsonb_each_text(${column}) part)`;

/** All entries above a number; to be read while nobody writes, because numbers are not given in the order of commits. */
export async function readAudit(pool: pg.Pool, system: SystemName, above: number): Promise<AuditEntry[]> {
  const { rows } = await pool.query<{
    number: string;
    relation: string;
    key: string;
    operation: 'insert' | 'update' | 'delete';
    before: TextRow | null;
    after: TextRow | null;
    transaction: string;
    author: string | null;
    time_ms: string;
  }>(
    `SELECT number, relation, key, operation, ${TEXTS('before')} AS before, ${TEXTS('after')} AS after, transaction,
       author, floor(extract(epoch FROM time) * 1000) AS time_ms
     FROM audit.entry WHERE number > $1 ORDER BY number`,
    [above],
  );
  return rows.map(({ number, relation, key, operation, before, after, transaction, author, time_ms }) => ({
    system,
    number: Number(number),
    table: relation,
    key,
    operation,
    before,
    after,
    transaction,
    byUser: author === 'user',
    timeMs: Number(time_ms),
  }));
}

/** The first write of Duolog after a moment, or null. */
export async function firstOwnWrite(pool: pg.Pool, afterMs: number): Promise<number | null> {
  const { rows } = await pool.query<{ time_ms: string | null }>(
    `SELECT floor(extract(epoch FROM min(time)) * 1000) AS time_ms FROM audit.entry
     WHERE author IS NULL AND time > to_timestamp($1::float8 / 1000)`,
    [afterMs],
  );
  const time = rows[0]?.time_ms ?? null;
  return time === null ? null : Number(time);
}
