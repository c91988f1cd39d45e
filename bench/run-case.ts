import type { BenchCase } from './cases.js';
import { DuologReplicator } from './duolog.js';
import type { Measurement } from './figures.js';
import { PostgresReplication } from './postgres-replication.js';
import type { Replicator } from './replicator.js';
import { type Servers, startServers } from './servers.js';
import { runBacklog } from './workloads/backlog.js';

/** One measurement from nothing: servers of its own, the work, the comparison. */
export async function runCase({ workload, scale, by }: BenchCase): Promise<Measurement> {
  const servers = await startServers();
  try {
    const replicator = await create(by, servers);
    try {
      switch (workload) {
        case 'backlog':
        case 'steady':
        case 'first-copy':
          return await runBacklog(servers, replicator, { preloaded: 100_000 * scale, changes: 300_000 * scale });
      }
    } finally {
      await replicator.destroy();
    }
  } finally {
    await servers.destroy();
  }
}

async function create(by: BenchCase['by'], servers: Servers): Promise<Replicator> {
  switch (by.kind) {
    case 'postgres':
      return new PostgresReplication(servers);
    case 'duolog':
      return DuologReplicator.create(servers, by.case);
  }
}
