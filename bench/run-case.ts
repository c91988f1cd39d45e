import type { BenchCase } from './cases.js';
import { DuologReplicator } from './duolog.js';
import type { Measurement } from './figures.js';
import { Debezium } from './peers/debezium.js';
import { PostgresReplication } from './postgres-replication.js';
import { ToKafkaReplicator } from './duolog-to-kafka.js';
import type { Replicator } from './replicator.js';
import { type Servers, startServers } from './servers.js';
import { runBacklog } from './workloads/backlog.js';
import { runFirstCopy } from './workloads/first-copy.js';
import { runSteady } from './workloads/steady.js';

/** One measurement from nothing: servers of its own, the work, the comparison. */
export async function runCase({ workload, scale, by }: BenchCase): Promise<Measurement> {
  const of = (whole: number) => Math.ceil(whole * scale);
  const servers = await startServers();
  try {
    const replicator = await create(by, servers);
    try {
      switch (workload) {
        case 'backlog':
          return await runBacklog(servers, replicator, { preloaded: of(100_000), changes: of(300_000) });
        case 'steady':
          return await runSteady(servers, replicator, {
            preloaded: of(100_000),
            seconds: Math.max(1, of(60)),
            perSecond: 500,
          });
        case 'first-copy':
          return await runFirstCopy(servers, replicator, { rows: of(1_000_000) });
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
    case 'debezium':
      return Debezium.create(servers);
    case 'duolog':
      return by.case.path === 'to-kafka'
        ? ToKafkaReplicator.open(servers, by.case)
        : DuologReplicator.create(servers, by.case);
  }
}
