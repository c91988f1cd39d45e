import type { Database } from './servers.js';

/** The table of all workloads: 10 columns, about 300 bytes a row. */
export const columns = [
  'id',
  'first_name',
  'last_name',
  'email',
  'phone',
  'city',
  'country',
  'notes',
  'balance',
  'updated',
] as const;

const definition = `
CREATE TABLE contact (
  id bigint PRIMARY KEY,
  first_name varchar(60) NOT NULL, last_name varchar(60) NOT NULL, email varchar(120) NOT NULL, phone varchar(30),
  city varchar(60), country char(2), notes text, balance numeric(12,2), updated timestamptz NOT NULL
)`;

/** Of a table in parts; each is a table of its own, `contact_1` and so on, with as many of the rows. */
export function partName(part: number): string {
  return `contact_${part}`;
}

/** SQL of a row's values from its number `n`, in the order of the columns. */
function values(n: string, notesBytes: number): string {
  const notes = `repeat(md5(${n}::text), ${Math.ceil(notesBytes / 32)})`;
  return `${n}, 'First ' || ${n}, 'Last ' || ${n}, 'contact' || ${n} || '@example.com', '+31 20 ' || ${n}, 'Amsterdam',
    'NL', left(${notes}, ${notesBytes}), (${n} % 100000)::numeric / 100, clock_timestamp()`;
}

/** Of notes, so that a row has about 300 bytes. */
export const NOTES_BYTES = 150;

export async function createTable({ pool }: Database, parts = 1): Promise<void> {
  if (parts === 1) {
    await pool.query(definition);
    return;
  }
  await pool.query(`${definition} PARTITION BY HASH (id)`);
  for (let part = 1; part <= parts; part++) {
    const rest = `MODULUS ${parts}, REMAINDER ${part - 1}`;
    await pool.query(`CREATE TABLE ${partName(part)} PARTITION OF contact FOR VALUES WITH (${rest})`);
  }
}

/** Rows 1 … count. */
export async function fill({ pool }: Database, count: number, notesBytes = NOTES_BYTES): Promise<void> {
  if (count > 0) {
    await pool.query(`INSERT INTO contact SELECT ${values('n', notesBytes)} FROM generate_series(1, ${count}) AS n`);
  }
  await pool.query('VACUUM ANALYZE contact');
}

/** Which rows one side of a backlog touches, so that two sides never touch the same. */
export interface Share {
  /** This side's rows are those with `id % sides = side`. */
  readonly sides: 1 | 2;
  readonly side: 0 | 1;
}

/** The last row changed, which tells when everything before has arrived. */
export interface Sentinel {
  readonly id: string;
  readonly phone: string;
}

/**
 * Ten-row transactions: six updates, three inserts and one delete each, over the preloaded rows, in one session of the
 * server itself. The very last transaction updates one row more, by which its arrival is known.
 */
const backlog = `
CREATE OR REPLACE PROCEDURE make_backlog(transactions int, preloaded int, sides int, side int, INOUT changes int)
LANGUAGE plpgsql AS $$
DECLARE
  own int := preloaded / sides;
  touched int;
  fresh bigint;
BEGIN
  changes := 0;
  PERFORM setseed(0.42);
  FOR t IN 0 .. transactions - 1 LOOP
    UPDATE contact SET phone = '+32 4 ' || t, city = 'Gent', country = 'BE', balance = t % 1000, updated = clock_timestamp()
     WHERE id IN (SELECT id FROM contact WHERE id = ANY (ARRAY(
       SELECT DISTINCT (1 + floor(random() * own)::int) * sides - side FROM generate_series(1, 12))) LIMIT 6);
    GET DIAGNOSTICS touched = ROW_COUNT;
    changes := changes + touched;
    fresh := 10000000 + (t::bigint * 3) * sides + side;
    INSERT INTO contact SELECT n, 'First ' || n, 'Last ' || n, 'contact' || n || '@example.com', '+31 20 ' || n, 'Utrecht',
      'NL', left(repeat(md5(n::text), 5), ${NOTES_BYTES}), n % 1000, clock_timestamp()
      FROM generate_series(fresh, fresh + 2 * sides, sides) AS n;
    GET DIAGNOSTICS touched = ROW_COUNT;
    changes := changes + touched;
    -- A permutation of the first part of the rows: each is deleted once.
    DELETE FROM contact WHERE id = (1 + (t::bigint * 7919) % own) * sides - side;
    GET DIAGNOSTICS touched = ROW_COUNT;
    changes := changes + touched;
    COMMIT;
  END LOOP;
END $$`;

/** Makes the backlog of one side. @returns how many rows were changed, and how to tell that the last one arrived. */
export async function makeBacklog(
  { pool }: Database,
  options: Share & { readonly changes: number; readonly preloaded: number },
): Promise<{ readonly changes: number; readonly sentinel: Sentinel }> {
  const { changes, preloaded, sides, side } = options;
  const client = await pool.connect();
  try {
    await client.query('SET synchronous_commit = off');
    await client.query(backlog);
    const transactions = Math.ceil(changes / 10);
    const made = await client.query<{ changes: number }>('CALL make_backlog($1, $2, $3, $4, NULL)', [
      transactions,
      preloaded,
      sides,
      side,
    ]);
    await client.query('RESET synchronous_commit');
    const phone = `the last of side ${side}`;
    const last = await client.query<{ id: string }>(
      `UPDATE contact SET phone = $1 WHERE id = (SELECT max(id) FROM contact WHERE id % $2 = $3) RETURNING id`,
      [phone, sides, side],
    );
    return { changes: made.rows[0]!.changes + 1, sentinel: { id: last.rows[0]!.id, phone } };
  } finally {
    client.release();
  }
}
