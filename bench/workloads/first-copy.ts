import { createTable, fill } from '../contact-table.js';
import { latencyOf, type Measurement } from '../figures.js';
import { measurementOf } from '../measurement.js';
import type { Replicator } from '../replicator.js';
import type { Servers } from '../servers.js';
import { watchUsage } from '../usage.js';

const TIMEOUT_MS = 1_800_000;

export interface FirstCopySize {
  readonly rows: number;
  readonly notesBytes?: number;
  /** Tables that the rows are in. */
  readonly parts?: number;
}

/** W3: the source is full and the target empty. The clock runs from the moment the replicator reads. */
export async function runFirstCopy(
  servers: Servers,
  replicator: Replicator,
  { rows, notesBytes, parts }: FirstCopySize,
): Promise<Measurement> {
  await Promise.all([createTable(servers.source, parts), createTable(servers.target, parts)]);
  await fill(servers.source, rows, notesBytes);
  const beganMs = await replicator.start();
  const used = watchUsage(servers, replicator);
  const equality = await replicator.untilArrived({ changes: rows, last: [], timeoutMs: TIMEOUT_MS });
  return measurementOf(replicator, {
    workload: 'first-copy',
    changes: rows,
    seconds: (equality.atMs - beganMs) / 1000,
    latency: latencyOf([]),
    used: used(rows),
    equality,
  });
}
