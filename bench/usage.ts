import { loadavg } from 'node:os';
import { UsageWatch } from './process-usage.js';
import type { Replicator } from './replicator.js';
import type { Servers } from './servers.js';
import type { Measurement } from './figures.js';

export interface Used extends Pick<Measurement, 'processes' | 'servers' | 'serversCpuMicrosPerChange' | 'load'> {
  readonly cpuMicrosPerChange: number;
  readonly peakMegabytes: number;
}

/** Begins to watch the replicator's processes and the servers. @returns what ends the watch and tells. */
export function watchUsage(servers: Servers, replicator: Replicator): (changes: number) => Used {
  const load = Math.round((loadavg()[0] ?? 0) * 10) / 10;
  const serversBefore = servers.cpuMicros();
  const watch = new UsageWatch(replicator.processes());
  return (changes) => {
    const used = watch.end();
    const perChange = (micros: number) => Math.round((micros / changes) * 10) / 10;
    const processes = Object.fromEntries(
      Object.entries(used).map(([name, { micros, ...memory }]) => [
        name,
        { cpuMicrosPerChange: perChange(micros), ...memory },
      ]),
    );
    const after = servers.cpuMicros();
    const byServer = Object.fromEntries(
      Object.entries(after).map(([name, micros]) => [
        name,
        perChange(micros - serversBefore[name as keyof typeof after]),
      ]),
    );
    return {
      load,
      processes,
      cpuMicrosPerChange: perChange(Object.values(used).reduce((sum, { micros }) => sum + micros, 0)),
      peakMegabytes: watch.peakMegabytes,
      servers: byServer,
      serversCpuMicrosPerChange: Math.round(Object.values(byServer).reduce((sum, one) => sum + one, 0) * 10) / 10,
    };
  };
}
