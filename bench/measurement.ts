import type { Equality } from './equality.js';
import type { Latency, Measurement, Workload } from './figures.js';
import type { Replicator } from './replicator.js';
import type { Used } from './usage.js';

export function measurementOf(
  { name, variant, path, processCount }: Replicator,
  measured: {
    readonly workload: Workload;
    readonly changes: number;
    readonly seconds: number;
    readonly latency: Latency;
    readonly used: Used;
    readonly equality: Equality;
  },
): Measurement {
  const { workload, changes, seconds, latency, used, equality } = measured;
  return {
    replicator: name,
    variant,
    figures: {
      workload,
      path,
      processes: processCount,
      changesPerSecond: Math.round(changes / seconds),
      latencyMs: latency,
      cpuMicrosPerChange: used.cpuMicrosPerChange,
      peakMegabytes: used.peakMegabytes,
      equal: equality.equal,
    },
    changes,
    seconds: Math.round(seconds * 100) / 100,
    serversCpuMicrosPerChange: used.serversCpuMicrosPerChange,
    servers: used.servers,
    processes: used.processes,
    load: used.load,
    problem: equality.problem,
  };
}
