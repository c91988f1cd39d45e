import { readdirSync, readFileSync } from 'node:fs';

/** Processor time and memory of processes, as the kernel counts them (Linux). */

/** The kernel's ticks: 100 a second on every Linux that runs Node. */
const MICROS_PER_TICK = 10_000;
const PAGE_BYTES = 4096;
const SAMPLE_EVERY_MS = 200;

interface Seen {
  readonly parent: number;
  readonly micros: number;
}

function seen(pid: number): Seen | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // With what its ended children used.
    const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
    return { parent: Number(fields[1]), micros: ticks * MICROS_PER_TICK };
  } catch {
    return null;
  }
}

/** User and system time so far; 0 for a process that has gone. */
export function cpuMicros(pid: number): number {
  return seen(pid)?.micros ?? 0;
}

/** Of a process and all its children. */
export function treeCpuMicros(root: number): number {
  const all = new Map<number, Seen>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const found = Number.isInteger(pid) ? seen(pid) : null;
    if (found !== null) all.set(pid, found);
  }
  let sum = 0;
  for (const [pid, { micros }] of all) {
    let at: number | undefined = pid;
    while (at !== undefined && at !== root) at = all.get(at)?.parent;
    if (at === root) sum += micros;
  }
  return sum;
}

interface Resident {
  readonly all: number;
  /** Of mapped files, such as the state store: the kernel may take these pages back at any time. */
  readonly mapped: number;
}

/** Bytes in memory now. */
function residentBytes(pid: number): Resident {
  try {
    const [, all, mapped] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
    return { all: Number(all) * PAGE_BYTES, mapped: Number(mapped) * PAGE_BYTES };
  } catch {
    return { all: 0, mapped: 0 };
  }
}

export interface ProcessUsage {
  readonly micros: number;
  readonly peakMegabytes: number;
  /** Of which mapped files. */
  readonly mappedMegabytes: number;
}

/** Watches named processes: what they used since the start of the watch, and the most memory they had together. */
export class UsageWatch {
  private readonly before: ReadonlyMap<string, number>;
  private readonly peaks = new Map<string, Resident>();
  private peakTogether = 0;
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly processes: Readonly<Record<string, number>>) {
    this.before = new Map(Object.entries(processes).map(([name, pid]) => [name, cpuMicros(pid)]));
    this.sample();
    this.timer = setInterval(() => this.sample(), SAMPLE_EVERY_MS);
  }

  /** Ends the watch. */
  end(): Readonly<Record<string, ProcessUsage>> {
    this.sample();
    clearInterval(this.timer);
    return Object.fromEntries(
      Object.entries(this.processes).map(([name, pid]) => {
        const peak = this.peaks.get(name) ?? { all: 0, mapped: 0 };
        const micros = cpuMicros(pid) - (this.before.get(name) ?? 0);
        return [name, { micros, peakMegabytes: megabytes(peak.all), mappedMegabytes: megabytes(peak.mapped) }];
      }),
    );
  }

  get peakMegabytes(): number {
    return megabytes(this.peakTogether);
  }

  private sample(): void {
    let together = 0;
    for (const [name, pid] of Object.entries(this.processes)) {
      const resident = residentBytes(pid);
      together += resident.all;
      if (resident.all > (this.peaks.get(name)?.all ?? 0)) this.peaks.set(name, resident);
    }
    this.peakTogether = Math.max(this.peakTogether, together);
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e6);
}
