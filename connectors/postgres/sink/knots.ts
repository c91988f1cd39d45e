import type { QueuedCommand } from '../../../src/connector/contract.js';
import type { NeededRow } from './blame.js';
import { describe } from './failures.js';
import type { TargetTable } from './target-table.js';

/** A row that fails by itself. */
export interface FailedRow {
  readonly queued: QueuedCommand;
  readonly error: unknown;
  /** The row in its way. */
  readonly blockingKey: string | null;
  /** The row it refers to that is not there. */
  readonly needed: NeededRow | null;
  /** How many commands had passed when it was last tried: trying again is no use before another has. */
  answeredBefore: number;
}

/** Rows connected by "is in the way of" or "refers to", two or more. */
export function knotsOf(rows: readonly FailedRow[], tables: ReadonlyMap<string, TargetTable>): FailedRow[][] {
  const knotOf = new Map<FailedRow, FailedRow[]>(rows.map((row) => [row, [row]]));
  const byName = new Map(rows.map((row) => [nameOf(row.queued, row.queued.command.key, tables), row] as const));
  for (const row of rows) {
    const inTheWay = row.blockingKey === null ? undefined : byName.get(nameOf(row.queued, row.blockingKey, tables));
    const referredTo = rows.filter((other) => isNeeded(other, row.needed, tables));
    for (const other of [inTheWay, ...referredTo]) if (other !== undefined) tie(knotOf, row, other);
  }
  return [...new Set(knotOf.values())].filter((knot) => knot.length > 1);
}

/** Rows that one constraint, or one function, turned down. */
export function ofOneConstraint(rows: readonly FailedRow[]): FailedRow[][] {
  const sets = new Map<string, FailedRow[]>();
  for (const row of rows) {
    const { code, message, constraint } = describe(row.error);
    const name = constraint === null ? message : `${code} ${constraint}`;
    sets.set(name, [...(sets.get(name) ?? []), row]);
  }
  return [...sets.values()].filter((set) => set.length > 1);
}

function nameOf({ command }: QueuedCommand, key: string | null, tables: ReadonlyMap<string, TargetTable>): string {
  return `${tables.get(command.entity)!.sql} ${key ?? ''}`;
}

function isNeeded(row: FailedRow, needed: NeededRow | null, tables: ReadonlyMap<string, TargetTable>): boolean {
  if (needed === null) return false;
  const { command } = row.queued;
  if (tables.get(command.entity)!.sql !== needed.table) return false;
  return Object.entries(needed.values).every(([name, value]) => command.set[name] === value);
}

function tie(knotOf: Map<FailedRow, FailedRow[]>, one: FailedRow, other: FailedRow): void {
  const mine = knotOf.get(one)!;
  const theirs = knotOf.get(other)!;
  if (mine === theirs) return;
  for (const row of theirs) {
    mine.push(row);
    knotOf.set(row, mine);
  }
}
