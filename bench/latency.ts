import type { Database } from './servers.js';

/**
 * From the statement in the source, whose clock time each row carries, to the commit of the row that is in the
 * destination now. @throws pg's error where a database does not answer.
 */
export async function commitLatencies(databases: readonly Database[], sinceMs: number): Promise<readonly number[]> {
  const results = await Promise.all(
    databases.map(({ pool }) =>
      pool.query<{ ms: number }>(
        `SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - updated)::float8 * 1000 AS ms
           FROM contact WHERE updated >= to_timestamp($1::float8 / 1000) AND city = 'Steady'`,
        [sinceMs],
      ),
    ),
  );
  return results.flatMap(({ rows }) => rows.map(({ ms }) => ms));
}
