import { setTimeout as delay } from 'node:timers/promises';
import type { Sentinel } from './contact-table.js';
import type { Database, Servers } from './servers.js';

/** Asks both databases, by SQL of its own, whether they hold the same rows. */

const DIGEST = `SELECT count(*) AS rows, coalesce(sum(hashtextextended(contact::text, 0)::numeric), 0) AS digest FROM contact`;

interface Digest {
  readonly rows: string;
  readonly digest: string;
}

async function digest({ pool }: Database): Promise<Digest> {
  return (await pool.query<Digest>(DIGEST)).rows[0]!;
}

export interface Equality {
  readonly equal: boolean;
  /** When the state that was looked at was there: the moment before the look. */
  readonly atMs: number;
  readonly problem: string | null;
}

export async function compare({ source, target }: Servers): Promise<Equality> {
  const atMs = Date.now();
  const [left, right] = await Promise.all([digest(source), digest(target)]);
  const equal = left.rows === right.rows && left.digest === right.digest;
  const problem = equal ? null : `${left.rows} rows in the source, ${right.rows} in the target, not the same`;
  return { equal, atMs, problem };
}

/** Waits, by a look at one row, until what was changed last has arrived. */
async function arrived({ pool }: Database, { id, phone }: Sentinel, until: () => boolean): Promise<void> {
  while (!until()) {
    const { rows } = await pool.query('SELECT FROM contact WHERE id = $1 AND phone = $2', [id, phone]);
    if (rows.length > 0) return;
    await delay(20);
  }
}

/** A first copy has no last change: rows are counted, more seldom while many are missing. */
async function sameCount({ source, target }: Servers, until: () => boolean): Promise<void> {
  const count = 'SELECT count(*)::int AS rows FROM contact';
  const wanted = (await source.pool.query<{ rows: number }>(count)).rows[0]!.rows;
  for (let rows = -1; rows < wanted && !until(); ) {
    ({ rows } = (await target.pool.query<{ rows: number }>(count)).rows[0]!);
    if (rows < wanted) await delay(Math.min(2_000, Math.max(20, (wanted - rows) / 100)));
  }
}

export interface Awaited {
  readonly database: Database;
  readonly sentinel: Sentinel;
}

/**
 * Waits until both sides hold the same rows: digests cost the databases time that belongs to the measurement, so they
 * are asked for only once the last changes are there.
 * @param gaveUp says why there is no use in waiting any longer
 */
export async function untilEqual(
  servers: Servers,
  options: {
    readonly last: readonly Awaited[];
    readonly timeoutMs: number;
    readonly everyMs?: number;
    readonly gaveUp?: () => string | null;
  },
): Promise<Equality> {
  const deadline = Date.now() + options.timeoutMs;
  const over = () => Date.now() > deadline || (options.gaveUp?.() ?? null) !== null;
  await Promise.all(options.last.map(({ database, sentinel }) => arrived(database, sentinel, over)));
  if (options.last.length === 0) await sameCount(servers, over);
  for (;;) {
    const found = await compare(servers);
    if (found.equal || over()) return { ...found, problem: options.gaveUp?.() ?? found.problem };
    await delay(options.everyMs ?? 50);
  }
}
