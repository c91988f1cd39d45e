import type { DuologCase } from './duolog-configuration.js';
import type { Path, Workload } from './figures.js';

/** One measurement: who does which work. */
export interface BenchCase {
  readonly workload: Workload;
  readonly scale: number;
  readonly by: { readonly kind: 'duolog'; readonly case: DuologCase } | { readonly kind: 'postgres' | 'debezium' };
}

export interface Selection {
  readonly workloads: readonly string[];
  readonly paths: readonly string[];
  readonly processes: readonly number[];
  /** `captured`, `uncaptured`: of a one-way target. */
  readonly targets: readonly string[];
  readonly peers: boolean;
  readonly alone: boolean;
  readonly scale: number;
}

const WORKLOADS: readonly Workload[] = ['backlog', 'steady', 'first-copy'];
const PATHS: readonly Path[] = ['to-kafka', 'one-way', 'two-way'];

/** Which measurements a command line asks for, one after the other. @throws Error for a name that is none. */
export function casesOf(selection: Selection): readonly BenchCase[] {
  refuse('workload', selection.workloads, WORKLOADS);
  refuse('path', selection.paths, PATHS);
  refuse('processes', selection.processes, [1, 3]);
  refuse('target', selection.targets, ['captured', 'uncaptured']);
  const { scale } = selection;
  const cases: BenchCase[] = [];
  for (const workload of WORKLOADS.filter((name) => selection.workloads.includes(name))) {
    if (!selection.alone) cases.push({ workload, scale, by: { kind: 'postgres' } });
    if (selection.peers) cases.push({ workload, scale, by: { kind: 'debezium' } });
    for (const path of PATHS.filter((name) => selection.paths.includes(name))) {
      for (const each of duologCases(path, selection))
        cases.push({ workload, scale, by: { kind: 'duolog', case: each } });
    }
  }
  return cases;
}

function duologCases(path: Path, { processes, targets }: Selection): readonly DuologCase[] {
  const counts = ([1, 3] as const).filter((count) => processes.includes(count));
  switch (path) {
    case 'to-kafka':
      return [{ path, processes: 1, captured: false }];
    case 'one-way':
      return counts.flatMap((count) =>
        [false, true]
          .filter((captured) => targets.includes(captured ? 'captured' : 'uncaptured'))
          .map((captured) => ({ path, processes: count, captured })),
      );
    case 'two-way':
      return counts.map((count) => ({ path, processes: count, captured: true }));
  }
}

function refuse<T>(option: string, given: readonly T[], known: readonly T[]): void {
  const unknown = given.find((each) => !known.includes(each));
  if (unknown !== undefined) throw new Error(`--${option} knows ${known.join(', ')}; not ${String(unknown)}`);
}
