import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type {
  ApplyResult,
  OpenedSink,
  Outcome,
  QueuedCommand,
  Sink,
  SinkOptions,
  SinkProgress,
} from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import { failPoint } from '../../src/failpoints.js';
import type { PostgresConnection } from './connection.js';
import { firstMark, lastMarks, markPrefix } from './marks.js';
import { Answers } from './sink/answers.js';
import { beginBatch, emitMark, type SinkIdentity, storeProgress } from './sink/bookkeeping.js';
import { GroupForms } from './sink/command-group.js';
import { describe, failureKind, settled, sinkFailure } from './sink/failures.js';
import { Isolation } from './sink/isolate.js';
import { connect, ensureBookkeeping, readTables, takeOver, verifySetup } from './sink/open.js';
import type { Session } from './sink/session.js';
import type { TargetTable } from './sink/target-table.js';
import { KeysUnknown, writeGroups, writeUnlocked } from './sink/write.js';

/**
 * The sink commit: one transaction of the target holds the rows, their outcomes, the progress and the epoch (I4).
 *
 *   BEGIN
 *   lock the sink's row where the epoch is ours; first mark
 *   DELETE, UPDATE, INSERT: one statement for the commands of a table with the same columns (I7)
 *   SET CONSTRAINTS ALL IMMEDIATE; last mark with all outcomes (I8); progress
 *   COMMIT
 *
 * A batch is tried fast first. If somebody holds a row, it is tried carefully: rows are locked in key order, skipping
 * the held ones. If a row fails, the batch is halved under savepoints until the failing rows stand alone.
 */
type Manner = 'fast' | 'careful' | 'isolate';

/** Deadlocks and serialization failures of one batch. */
const MAX_ATTEMPTS = 6;
const MAX_REMEMBERED_DEFERRED = 10_000;

interface Opened {
  readonly session: Session;
  readonly epoch: number;
  readonly birth: string;
  readonly tables: ReadonlyMap<string, TargetTable>;
  readonly forms: GroupForms;
}

/** COMMIT was answered with an error that names no row. */
class CommitRefused extends Error {
  constructor(readonly reason: unknown) {
    super('COMMIT failed');
  }
}

export class PostgresSink implements Sink {
  private readonly identity: SinkIdentity;
  private readonly captured: ReadonlySet<string>;
  private readonly markPrefix: string;
  private opened: Opened | null = null;
  /** Offsets deferred lately: a batch with one of them is not tried fast. */
  private readonly deferred = new Set<number>();
  private rowsWritten = 0;
  private plansMadeAt = 1_000;

  constructor(
    private readonly connection: PostgresConnection,
    private readonly options: SinkOptions,
  ) {
    const { prefix, sync, system } = options;
    this.identity = { prefix, sync, system };
    this.captured = new Set(options.entities.filter(({ captured }) => captured).map(({ entity }) => entity));
    this.markPrefix = markPrefix(prefix, sync);
  }

  async open(birth: string): Promise<OpenedSink> {
    await this.close();
    const { system } = this.identity;
    const session = await connect(this.connection, this.identity, this.options.owner);
    try {
      await ensureBookkeeping(session, system);
      const tables = await readTables(session, this.options.entities);
      const stored = await takeOver(session, this.identity, birth, this.options.owner);
      this.opened = { session, epoch: stored.epoch, birth, tables, forms: new GroupForms(tables) };
      const isFirst = stored.epoch === 1;
      // Progress under another birth counts in a command topic that is gone.
      const isOurs = stored.birth === birth;
      return {
        epoch: stored.epoch,
        birth: isFirst ? null : stored.birth,
        progress: isOurs ? stored.progress : null,
        unpublished: isOurs ? stored.unpublished : [],
      };
    } catch (error) {
      session.destroy();
      throw sinkFailure(error, system, 'opening the sink');
    }
  }

  async apply(
    batch: readonly QueuedCommand[],
    progressAfter: (answered: readonly number[]) => SinkProgress,
  ): Promise<ApplyResult> {
    const { opened } = this;
    if (opened === null) throw new DuologError('SINK_UNREACHABLE', `${this.identity.system}: the sink is not open`);
    const done = new Answers();
    try {
      assertOneCommandPerRow(batch, opened.tables);
      this.renewPlans(opened);
      if (batch.length > 0)
        await this.write(new BatchWork(opened, batch, done, progressAfter), this.firstManner(batch));
    } catch (error) {
      const failure = this.asFailure(error, opened.session.lost, done);
      opened.session.destroy();
      this.opened = null;
      throw failure;
    }
    return this.result(batch, done);
  }

  async close(): Promise<void> {
    const { opened } = this;
    this.opened = null;
    await opened?.session.end();
  }

  /** Commits the work's batch, in several transactions if COMMIT itself refuses it, and adds the answers. */
  private async write(work: BatchWork, firstManner: Manner): Promise<void> {
    let manner = firstManner;
    for (let attempt = 1; ; attempt++) {
      try {
        work.done.add(await this.transaction(work, manner));
        return;
      } catch (error) {
        if (error instanceof CommitRefused) return this.writeHalves(work, error, manner);
        manner = await this.nextManner(work.opened, error, manner, attempt);
      }
    }
  }

  /** The halves in the order of the queue; a single command that COMMIT refuses has failed. */
  private async writeHalves(work: BatchWork, refused: CommitRefused, manner: Manner): Promise<void> {
    const { batch } = work;
    const middle = batch.length >> 1;
    if (middle === 0) {
      const failed = new Answers();
      failed.failed(batch[0]!, { ...describe(refused.reason), blockingKey: null });
      const { session } = work.opened;
      await this.begin(work);
      await this.finish(work, failed);
      await this.commit(session);
      work.done.add(failed);
      return;
    }
    await this.write(work.part(batch.slice(0, middle)), manner);
    await this.write(work.part(batch.slice(middle)), manner);
  }

  private async transaction(work: BatchWork, manner: Manner): Promise<Answers> {
    const { session, forms, tables } = work.opened;
    const begun = this.begin(work);
    const answers = await this.behind(begun, async () => {
      switch (manner) {
        case 'fast':
          return writeGroups(session, forms.group(work.batch));
        case 'careful':
          await begun;
          return writeUnlocked(session, forms.group(work.batch));
        case 'isolate':
          await begun;
          return new Isolation(session, forms, tables).write(work.batch);
      }
    });
    failPoint('sink.commit.after-write');
    if (answers.outcomes.size === 0) {
      await session.query({ text: 'ROLLBACK' });
      return answers;
    }
    await this.finish(work, answers);
    await this.commit(session);
    return answers;
  }

  /** Opens the transaction as the one process that may; what is sent behind need not wait for the answer. */
  private async begin({ opened, batch }: BatchWork): Promise<void> {
    const { session, epoch } = opened;
    const commands = batch.filter(({ command }) => this.captured.has(command.entity)).length;
    const mark = commands === 0 ? null : { prefix: this.markPrefix, content: firstMark(commands) };
    const [, own] = await settled([
      session.query({ text: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE' }),
      session.query(beginBatch(this.identity, epoch, mark)),
    ]);
    if (own?.rowCount !== 1) throw this.fenced();
    failPoint('sink.commit.after-epoch');
    failPoint('sink.commit.after-first-mark');
  }

  /** The result of the second, unless the first fails: then that is the reason. */
  private async behind<T>(first: Promise<void>, second: () => Promise<T>): Promise<T> {
    const [begun, result] = await Promise.allSettled([first, second()]);
    if (begun.status === 'rejected') throw begun.reason;
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  }

  private async finish(work: BatchWork, answers: Answers): Promise<void> {
    const { session, epoch, birth } = work.opened;
    const hasMark = work.batch.some(({ command }) => this.captured.has(command.entity));
    const told: Outcome[] = [];
    const untold = [...work.done.outcomes.values()].filter(({ entity }) => !this.captured.has(entity));
    const answered = [...work.done.outcomes.keys()];
    for (const { offset } of work.batch) {
      const outcome = answers.outcomes.get(offset);
      if (outcome === undefined) continue;
      answered.push(offset);
      if (this.captured.has(outcome.entity)) told.push(outcome);
      else untold.push(outcome);
    }
    const progress = work.progressAfter(answered.sort((one, other) => one - other));
    const sent = await settled([
      session.query({ text: 'SET CONSTRAINTS ALL IMMEDIATE' }),
      ...(hasMark ? lastMarks(told).map((content) => session.query(emitMark(this.markPrefix, content))) : []),
      session.query(storeProgress(this.identity, epoch, birth, progress, untold)),
    ]);
    if (sent.at(-1)?.rowCount !== 1) throw this.fenced();
    failPoint('sink.commit.after-last-mark');
  }

  private async commit(session: Session): Promise<void> {
    failPoint('sink.commit.before-commit');
    try {
      const { command } = await session.query({ text: 'COMMIT' });
      if (command !== 'COMMIT') throw new DuologError('INTERNAL', `COMMIT was answered with ${command}`);
    } catch (error) {
      if (error instanceof DuologError) throw error;
      const kind = failureKind(error);
      if (kind === 'lost') {
        throw new DuologError('SINK_COMMIT_UNKNOWN', `${this.identity.system}: the answer to COMMIT was lost`);
      }
      if (kind === 'again' || kind === 'server') throw error;
      throw new CommitRefused(error);
    }
    failPoint('sink.commit.after-commit');
  }

  /** How to try again after an error; the transaction is rolled back. @throws the error when trying again is no use. */
  private async nextManner(opened: Opened, error: unknown, manner: Manner, attempt: number): Promise<Manner> {
    const { session } = opened;
    if (error instanceof DuologError || session.lost) throw error;
    const kind = error instanceof KeysUnknown ? 'keys' : failureKind(error);
    if (kind === 'lost' || kind === 'server' || attempt >= MAX_ATTEMPTS) throw error;
    await session.query({ text: 'ROLLBACK' });
    switch (kind) {
      case 'keys':
        (error as KeysUnknown).table.rowByRow = true;
        return manner;
      case 'again':
        await pause(attempt * 10);
        return attempt < 3 ? 'careful' : 'isolate';
      case 'internal':
        await pause(attempt * 10);
        return attempt < 3 ? manner : 'isolate';
      case 'locked':
        return manner === 'fast' ? 'careful' : 'isolate';
      case 'setup':
        await verifySetup(session, this.options.entities);
        return 'isolate';
      case 'row':
        return 'isolate';
    }
  }

  private firstManner(batch: readonly QueuedCommand[]): Manner {
    return this.deferred.size > 0 && batch.some(({ offset }) => this.deferred.has(offset)) ? 'careful' : 'fast';
  }

  /** A plan made while a table was small reads all of it when it is large: plans are made anew at each doubling. */
  private renewPlans({ session }: Opened): void {
    if (this.rowsWritten < this.plansMadeAt) return;
    this.plansMadeAt = this.rowsWritten * 2;
    session.query({ text: 'DISCARD PLANS' }).catch(() => undefined);
  }

  private result(batch: readonly QueuedCommand[], done: Answers): ApplyResult {
    const outcomes: { readonly offset: number; readonly outcome: Outcome }[] = [];
    if (this.deferred.size > MAX_REMEMBERED_DEFERRED) this.deferred.clear();
    for (const { offset } of batch) {
      const outcome = done.outcomes.get(offset);
      if (outcome === undefined) this.deferred.add(offset);
      else {
        outcomes.push({ offset, outcome });
        this.deferred.delete(offset);
      }
    }
    this.rowsWritten += outcomes.length;
    return { outcomes, deferred: batch.map(({ offset }) => offset).filter((offset) => done.deferred.has(offset)) };
  }

  private fenced(): DuologError {
    return new DuologError('SINK_FENCED', `${this.identity.system}: another process has taken over this sink`);
  }

  private asFailure(error: unknown, lost: boolean, done: Answers): DuologError {
    const { system } = this.identity;
    const ours = lost || error instanceof pg.DatabaseError || error instanceof DuologError;
    const failure = ours
      ? sinkFailure(error, system, 'writing a batch')
      : new DuologError('INTERNAL', `${system}: writing a batch failed`, { cause: error });
    if (done.outcomes.size === 0) return failure;
    // Part of the batch is committed: only the stored progress tells which.
    return new DuologError('SINK_COMMIT_UNKNOWN', `part of a batch is committed, then ${failure.message}`);
  }
}

/** A batch on its way, with what is committed of it. */
class BatchWork {
  constructor(
    readonly opened: Opened,
    readonly batch: readonly QueuedCommand[],
    /** Answers of this `apply` that are committed. */
    readonly done: Answers,
    readonly progressAfter: (answered: readonly number[]) => SinkProgress,
  ) {}

  part(batch: readonly QueuedCommand[]): BatchWork {
    return new BatchWork(this.opened, batch, this.done, this.progressAfter);
  }
}

/** A multi-row statement would write one of two commands for a row and report both (I9). */
function assertOneCommandPerRow(batch: readonly QueuedCommand[], tables: ReadonlyMap<string, TargetTable>): void {
  const keysOf = new Map<string, Set<string>>();
  for (const { command } of batch) {
    const table = tables.get(command.entity);
    if (table === undefined)
      throw new DuologError('INTERNAL', `a command for ${command.entity}, which is not written to`);
    if (command.key === null) continue;
    let keys = keysOf.get(table.sql);
    if (keys === undefined) keysOf.set(table.sql, (keys = new Set()));
    if (keys.has(command.key))
      throw new DuologError('INTERNAL', `two commands for one row of ${table.plan.table} in a batch`);
    keys.add(command.key);
  }
}
