import type { QueuedCommand } from '../../../src/connector/contract.js';
import { Answers } from './answers.js';
import { blockingKey, guiltyColumn, neededRow } from './blame.js';
import type { GroupForms } from './command-group.js';
import { describe, failureKind, isRaised } from './failures.js';
import { type FailedRow, knotsOf, ofOneConstraint } from './knots.js';
import type { Session } from './session.js';
import type { TargetTable } from './target-table.js';
import { KeysUnknown, writeUnlocked } from './write.js';

/** Rows that passed stay locked while the others are isolated; what is left after this is tried later. */
const ISOLATION_LIMIT_MS = 3_000;
/** Each level of halving waits once for a locked row. */
const ISOLATION_LOCK_TIMEOUT_MS = 20;
/** Failures of several rows may be one failure: such constraints can hold for all of them together. */
const BETWEEN_ROWS = /^(23001|23503|23505|23P01|P0001|P0004|23514|23000)$/;
/** And may pass once another row has. */
const AFTER_ANOTHER = /^(23001|23503|23505|23P01)$/;

/**
 * Writes a batch of which something failed: halves it, under savepoints, until the rows at fault stand alone.
 * Deferred constraints are checked in each part; rows that fail alone but pass together pass.
 * @throws what ends the transaction: a lost connection, a deadlock, KeysUnknown.
 */
export class Isolation {
  private readonly answers = new Answers();
  private readonly deadline = performance.now() + ISOLATION_LIMIT_MS;

  constructor(
    private readonly session: Session,
    private readonly forms: GroupForms,
    private readonly tables: ReadonlyMap<string, TargetTable>,
  ) {}

  async write(commands: readonly QueuedCommand[]): Promise<Answers> {
    await this.session.query({ text: `SET LOCAL lock_timeout = ${ISOLATION_LOCK_TIMEOUT_MS}` });
    const failed = await this.halve(commands);
    const alone = await this.tryTogether(failed);
    for (const row of alone) await this.fail(row);
    return this.answers;
  }

  /** @returns the rows that fail alone. */
  private async halve(commands: readonly QueuedCommand[]): Promise<FailedRow[]> {
    if (performance.now() > this.deadline) {
      for (const queued of commands) this.answers.defer(queued);
      return [];
    }
    const error = await this.attempt(commands);
    if (error === null) return [];
    const only = commands[0]!;
    if (commands.length === 1) {
      if (failureKind(error) !== 'locked') return [await this.failedRow(only, error)];
      this.answers.defer(only);
      return [];
    }
    const middle = commands.length >> 1;
    return [...(await this.halve(commands.slice(0, middle))), ...(await this.halve(commands.slice(middle)))];
  }

  /** One try under a savepoint; null when it passed, else the error of the rows, which are as before. */
  private async attempt(commands: readonly QueuedCommand[]): Promise<unknown> {
    const { session } = this;
    await session.query({ text: 'SAVEPOINT part; SET CONSTRAINTS ALL DEFERRED' });
    try {
      const answers = await writeUnlocked(session, this.forms.group(commands));
      await session.query({ text: 'SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT part' });
      this.answers.add(answers);
      return null;
    } catch (error) {
      if (error instanceof KeysUnknown || !isolable(error)) throw error;
      await session.query({ text: 'ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part' });
      return error;
    }
  }

  /**
   * Rows that fail alone may pass together, or after another has passed. First each knot of rows that need each
   * other, then those of one constraint, then all, then each once more.
   */
  private async tryTogether(failed: readonly FailedRow[]): Promise<readonly FailedRow[]> {
    const candidates = failed.filter(({ error }) => BETWEEN_ROWS.test(describe(error).code));
    if (candidates.length === 0) return failed;
    const passed = new Set<FailedRow>();
    const knots = knotsOf(candidates, this.tables);
    const waiting = candidates.filter(({ error }) => AFTER_ANOTHER.test(describe(error).code));
    const sets = [...knots, ...ofOneConstraint(candidates), candidates, ...waiting.map((row) => [row])];
    for (const rows of sets) {
      const left = rows.filter((row) => !passed.has(row));
      const isTried = left.length === 1 && this.hasNothingChanged(left[0]!);
      if (left.length === 0 || isTried || performance.now() > this.deadline) continue;
      const error = await this.attempt(left.map(({ queued }) => queued));
      if (error === null) for (const row of left) passed.add(row);
      else for (const row of left) row.answeredBefore = this.answers.outcomes.size;
    }
    return failed.filter((row) => !passed.has(row));
  }

  /** Since the row was tried last, as far as we know: the row in the way may have gone before it could be named. */
  private hasNothingChanged({ error, blockingKey: key, answeredBefore }: FailedRow): boolean {
    const isNamed = key !== null || describe(error).code !== '23505';
    return isNamed && this.answers.outcomes.size === answeredBefore;
  }

  private async failedRow(queued: QueuedCommand, error: unknown): Promise<FailedRow> {
    const table = this.tables.get(queued.command.entity)!;
    const { code } = describe(error);
    const key = code === '23505' ? await this.ask(() => blockingKey(this.session, table, queued, error)) : null;
    const needed = code === '23503' ? await this.ask(() => neededRow(this.session, queued, error)) : null;
    return { queued, error, blockingKey: key, needed, answeredBefore: this.answers.outcomes.size };
  }

  private async fail({ queued, error, blockingKey: key }: FailedRow): Promise<void> {
    const failure = describe(error);
    const table = this.tables.get(queued.command.entity)!;
    const { code } = failure;
    const ask = failure.column === null && code.startsWith('22');
    const column = ask ? await this.ask(() => guiltyColumn(this.session, table, queued)) : failure.column;
    const named = column === null || column === failure.column ? '' : `, column ${column}`;
    this.answers.failed(queued, { ...failure, message: `${failure.message}${named}`, column, blockingKey: key });
  }

  /** A question that may fail without harm to the transaction. */
  private async ask<T>(question: () => Promise<T>): Promise<T | null> {
    await this.session.query({ text: 'SAVEPOINT question' });
    let answer: T | null = null;
    try {
      answer = await question();
    } catch (error) {
      if (!isolable(error)) throw error;
    }
    await this.session.query({ text: 'ROLLBACK TO SAVEPOINT question; RELEASE SAVEPOINT question' });
    return answer;
  }
}

/** Whether an error concerns the rows of a part, so that the transaction can go on without it. */
function isolable(error: unknown): boolean {
  const kind = failureKind(error);
  // A function that asks for another try has had several by now.
  if (kind === 'again') return isRaised(error);
  return kind === 'row' || kind === 'internal' || kind === 'locked' || kind === 'setup';
}
