/** What is measured: types shared by the workloads, and how a row of figures is shown. */

export type Workload = 'backlog' | 'steady' | 'first-copy';
export type Path = 'to-kafka' | 'one-way' | 'two-way';

/** Milliseconds; null where a percentile means nothing. */
export interface Latency {
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

/** One line of `--json`. */
export interface Figures {
  readonly workload: Workload;
  readonly path: Path;
  readonly processes: number;
  readonly changesPerSecond: number;
  readonly latencyMs: Latency;
  readonly cpuMicrosPerChange: number;
  readonly peakMegabytes: number;
  readonly equal: boolean;
}

/** The same with what stands beside it: who did it, under which circumstances. */
export interface Measurement {
  /** `duolog`, `postgres` for its own logical replication, `debezium`. */
  readonly replicator: string;
  /** Anything that tells two runs of one kind apart. */
  readonly variant: string;
  readonly figures: Figures;
  readonly changes: number;
  readonly seconds: number;
  /** Processor time a change of everything else that takes part: both databases and the broker, in microseconds. */
  readonly serversCpuMicrosPerChange: number;
  /** The same, server by server. */
  readonly servers: Readonly<Record<string, number>>;
  /** By process of the replicator. */
  readonly processes: Readonly<Record<string, ProcessFigures>>;
  /** The machine's load average when the clock started. */
  readonly load: number;
  /** Why it is not equal, where it is not. */
  readonly problem: string | null;
}

export interface ProcessFigures {
  readonly cpuMicrosPerChange: number;
  readonly peakMegabytes: number;
  /** Of which pages of mapped files (the state store), which the kernel takes back when it needs them. */
  readonly mappedMegabytes: number;
}

/** The value below which this share of the sorted values lies. */
export function percentile(sorted: readonly number[], share: number): number | null {
  if (sorted.length === 0) return null;
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? null;
}

export function latencyOf(milliseconds: readonly number[]): Latency {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  const at = (share: number) => {
    const value = percentile(sorted, share);
    return value === null ? null : Math.round(value * 10) / 10;
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

const COLUMNS = [
  ['replicator', 11],
  ['workload', 11],
  ['path', 9],
  ['proc', 5],
  ['variant', 22],
  ['changes/s', 10],
  ['p50', 8],
  ['p95', 8],
  ['p99 ms', 8],
  ['CPU µs', 8],
  ['servers', 8],
  ['MB', 6],
  ['equal', 6],
] as const;

export function header(): string {
  return COLUMNS.map(([name, width]) => name.padEnd(width)).join(' ');
}

export function line({ replicator, variant, figures, serversCpuMicrosPerChange }: Measurement): string {
  const { workload, path, processes, changesPerSecond, latencyMs, cpuMicrosPerChange, peakMegabytes, equal } = figures;
  const number = (value: number | null, digits = 0) => (value === null ? '–' : value.toFixed(digits));
  const cells = [
    replicator,
    workload,
    path,
    processes === 0 ? '–' : String(processes),
    variant,
    number(changesPerSecond),
    number(latencyMs.p50, 1),
    number(latencyMs.p95, 1),
    number(latencyMs.p99, 1),
    number(cpuMicrosPerChange, 1),
    number(serversCpuMicrosPerChange, 1),
    number(peakMegabytes),
    equal ? 'yes' : 'NO',
  ];
  return COLUMNS.map(([, width], index) => (cells[index] ?? '').padEnd(width)).join(' ');
}
