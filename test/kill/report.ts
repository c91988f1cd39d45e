import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Role } from './duolog-process.js';
import type { RoundResult } from './round.js';

export interface KindReport {
  readonly fault: string;
  readonly rounds: number;
  /** Rounds in which the fault did not come about. */
  readonly missed: number;
  readonly edits: number;
  readonly commands: number;
  readonly decisions: number;
  /** Standing at the end of the last round of this kind, by reason. */
  readonly holds: Readonly<Record<string, number>>;
  readonly takeoverMs: { readonly median: number; readonly most: number; readonly count: number } | null;
  readonly violations: number;
}

export interface Report {
  readonly seed: number;
  readonly startedAt: string;
  readonly rounds: number;
  readonly broken: number;
  readonly minutes: number;
  readonly edits: number;
  readonly largestTransaction: number;
  readonly faults: readonly KindReport[];
  readonly brokenRounds: readonly {
    readonly seed: number;
    readonly fault: string;
    readonly violations: readonly string[];
  }[];
}

export function reportOf(results: readonly RoundResult[], seed: number, startedMs: number): Report {
  const kinds = new Map<string, RoundResult[]>();
  for (const result of results) kinds.set(result.kind, [...(kinds.get(result.kind) ?? []), result]);
  const broken = results.filter(({ verdict }) => verdict.violations.length > 0);
  return {
    seed,
    startedAt: new Date(startedMs).toISOString(),
    rounds: results.length,
    broken: broken.length,
    minutes: Math.round((Date.now() - startedMs) / 6_000) / 10,
    edits: sum(results, ({ verdict }) => verdict.edits),
    largestTransaction: Math.max(0, ...results.map(({ load }) => load.largest)),
    faults: Array.from(kinds, ([fault, rounds]) => kindReport(fault, rounds)).toSorted((a, b) =>
      a.fault < b.fault ? -1 : 1,
    ),
    brokenRounds: broken.map(({ seed: each, fault, verdict }) => ({
      seed: each,
      fault,
      violations: verdict.violations.slice(0, 20).map(({ rule, message }) => `${rule}: ${message}`),
    })),
  };
}

function kindReport(fault: string, rounds: readonly RoundResult[]): KindReport {
  const times = rounds
    .flatMap(({ takeoverMs }) => Object.values(takeoverMs) as number[])
    .toSorted((one, other) => one - other);
  return {
    fault,
    rounds: rounds.length,
    missed: rounds.filter(({ missed }) => missed !== null).length,
    edits: sum(rounds, ({ verdict }) => verdict.edits),
    commands: sum(rounds, ({ verdict }) => verdict.commands),
    decisions: sum(rounds, ({ verdict }) => verdict.decisions),
    holds: rounds.at(-1)!.verdict.holds,
    takeoverMs:
      times.length === 0
        ? null
        : { median: times[Math.floor(times.length / 2)]!, most: times.at(-1)!, count: times.length },
    violations: sum(rounds, ({ verdict }) => verdict.violations.length),
  };
}

function sum<T>(of: readonly T[], number: (each: T) => number): number {
  return of.reduce((total, each) => total + number(each), 0);
}

export function markdown(report: Report): string {
  const { broken, edits, faults, largestTransaction, minutes, rounds, seed, startedAt } = report;
  const head =
    '| fault | rounds | not come about | edits | commands | decisions | takeover median / most (ms) | holds at the end | violations |';
  const lines = faults.map((kind) => {
    const takeover = kind.takeoverMs === null ? '–' : `${kind.takeoverMs.median} / ${kind.takeoverMs.most}`;
    const holds = Object.entries(kind.holds).map(([reason, count]) => `${reason} ${count}`);
    const cells = [kind.fault, kind.rounds, kind.missed, kind.edits, kind.commands, kind.decisions, takeover];
    return `| ${[...cells, holds.join(', ') || '–', kind.violations].join(' | ')} |`;
  });
  const wrong = report.brokenRounds.flatMap(({ fault, seed: each, violations }) => [
    `- seed ${each}, ${fault}:`,
    ...violations.map((violation) => `  - ${violation}`),
  ]);
  return [
    `${rounds} rounds, ${broken} broken, seed ${seed}, begun ${startedAt}, ${minutes} minutes, ${edits} edits, largest transaction ${largestTransaction} rows.`,
    '',
    head,
    head.replace(/[^|]+/g, '---'),
    ...lines,
    ...(wrong.length === 0 ? [] : ['', 'Broken rounds:', '', ...wrong]),
    '',
  ].join('\n');
}

/** Written after each round, so that a run that is ended tells what it had; `rounds.json` has each round by itself. */
export function writeReport(folder: string, report: Report, results: readonly RoundResult[]): void {
  const rounds = results.map((result) => ({
    ...result,
    verdict: { ...result.verdict, violations: result.verdict.violations.slice(0, 20) },
  }));
  writeFileSync(join(folder, 'rounds.json'), `${JSON.stringify(rounds, null, 1)}\n`);
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(folder, 'report.md'), markdown(report));
}

export function describeRound({ durationMs, fault, missed, seed, takeoverMs, verdict }: RoundResult): string {
  const takeovers = Object.entries(takeoverMs).map(([role, ms]) => `${role as Role} back after ${ms} ms`);
  const holds = Object.entries(verdict.holds).map(([reason, count]) => `${reason} ${count}`);
  const parts = [
    `${verdict.edits} edits`,
    `${verdict.commands} commands`,
    `${verdict.decisions} decisions`,
    ...(holds.length > 0 ? [`held: ${holds.join(', ')}`] : []),
    ...takeovers,
    ...(missed === null ? [] : [`NOT COME ABOUT: ${missed}`]),
  ];
  const mark = verdict.violations.length === 0 ? 'ok    ' : 'BROKEN';
  return `${mark} seed ${seed} ${fault} (${(durationMs / 1000).toFixed(1)} s): ${parts.join(', ')}`;
}
