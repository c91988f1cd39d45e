import { createTable, fill, makeBacklog } from '../contact-table.js';
import type { Awaited } from '../equality.js';
import { latencyOf, type Measurement } from '../figures.js';
import type { Replicator } from '../replicator.js';
import type { Servers } from '../servers.js';
import { measurementOf } from '../measurement.js';
import { watchUsage } from '../usage.js';

export interface BacklogSize {
  readonly preloaded: number;
  readonly changes: number;
}

const TIMEOUT_MS = 600_000;

/**
 * W1: both sides are equal and the replicator is stopped; the source (two-way: each side a half) changes; then the
 * replicator goes on. The clock runs from the moment it reads until both sides are equal.
 */
export async function runBacklog(
  servers: Servers,
  replicator: Replicator,
  { preloaded, changes: wanted }: BacklogSize,
): Promise<Measurement> {
  await Promise.all([createTable(servers.source), createTable(servers.target)]);
  await fill(servers.source, preloaded);
  await replicator.start();
  const copied = await replicator.untilArrived({ changes: preloaded, last: [], timeoutMs: TIMEOUT_MS });
  if (!copied.equal) throw new Error(`The first copy of ${replicator.name} did not end: ${copied.problem}`);
  await replicator.pause();
  await servers.target.pool.query('VACUUM ANALYZE contact');
  const { changes, last } = await change(servers, replicator.path === 'two-way', wanted, preloaded);
  const beganMs = await replicator.resume();
  const used = watchUsage(servers, replicator);
  const equality = await replicator.untilArrived({ changes, last, timeoutMs: TIMEOUT_MS });
  return measurementOf(replicator, {
    workload: 'backlog',
    changes,
    seconds: (equality.atMs - beganMs) / 1000,
    latency: latencyOf([]),
    used: used(changes),
    equality,
  });
}

async function change(servers: Servers, twoWay: boolean, wanted: number, preloaded: number) {
  const sides = twoWay ? [servers.source, servers.target] : [servers.source];
  const made = await Promise.all(
    sides.map((database, side) =>
      makeBacklog(database, {
        changes: Math.round(wanted / sides.length),
        preloaded,
        sides: twoWay ? 2 : 1,
        side: side === 1 ? 1 : 0,
      }),
    ),
  );
  await Promise.all(sides.map(({ pool }) => pool.query('CHECKPOINT')));
  const last = made.map(
    ({ sentinel }, side): Awaited => ({ sentinel, database: side === 0 ? servers.target : servers.source }),
  );
  return { changes: made.reduce((sum, each) => sum + each.changes, 0), last };
}
