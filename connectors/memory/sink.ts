import type {
  ApplyResult,
  Command,
  OpenedSink,
  Outcome,
  QueuedCommand,
  Sink,
  SinkOptions,
  SinkProgress,
} from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import type { Row } from '../../src/model/value.js';
import type { RoundTrip } from './round-trip.js';
import { ConstraintViolation, RowLocked, type MemoryDatabase, type Table, type Transaction } from './database.js';

/** Writes commands with their outcomes, the progress and the epoch in one transaction of the database (I4). */
export class MemorySink implements Sink {
  private readonly entities = new Map<string, EntitySystemPlan>();
  private epoch = 0;
  private birth = '';

  constructor(
    private readonly database: MemoryDatabase,
    private readonly options: SinkOptions,
    private readonly roundTrip: RoundTrip,
  ) {
    for (const entity of options.entities) this.entities.set(entity.entity, entity);
  }

  async open(birth: string): Promise<OpenedSink> {
    await this.trip('sink open', 'SINK_UNREACHABLE');
    const { bookkeeping } = this.database;
    const before = bookkeeping.get(this.options.sync);
    this.epoch = (before?.epoch ?? 0) + 1;
    this.birth = birth;
    bookkeeping.set(this.options.sync, {
      epoch: this.epoch,
      birth: before?.birth ?? birth,
      progress: before?.progress ?? null,
      unpublished: before?.unpublished ?? [],
    });
    await this.trip('sink opened', 'SINK_UNREACHABLE');
    return {
      epoch: this.epoch,
      progress: before?.progress ?? null,
      birth: before?.birth ?? null,
      unpublished: before?.unpublished ?? [],
    };
  }

  async apply(
    batch: readonly QueuedCommand[],
    progressAfter: (answered: readonly number[]) => SinkProgress,
  ): Promise<ApplyResult> {
    await this.trip('sink apply', 'SINK_UNREACHABLE');
    await this.trip('sink commit', 'SINK_COMMIT_UNKNOWN');
    const outcomes: { readonly offset: number; readonly outcome: Outcome }[] = [];
    const deferred: number[] = [];
    const { bookkeeping } = this.database;
    const before = bookkeeping.get(this.options.sync);
    if (before?.epoch !== this.epoch) {
      throw new DuologError('SINK_FENCED', `another sink has taken over ${this.options.system}`);
    }
    this.database.transaction((transaction) => {
      for (const { offset, command } of batch) {
        const outcome = this.execute(transaction, command);
        if (outcome) outcomes.push({ offset, outcome });
        else deferred.push(offset);
      }
      transaction.mark = { sync: this.options.sync, outcomes: outcomes.map(({ outcome }) => outcome) };
      if (outcomes.length === 0) transaction.mark = null;
    });
    // As in a database: with nothing to commit, nothing is stored.
    if (outcomes.length === 0) return { outcomes, deferred };
    bookkeeping.set(this.options.sync, {
      epoch: this.epoch,
      birth: this.birth,
      progress: progressAfter(outcomes.map(({ offset }) => offset)),
      unpublished: outcomes.map(({ outcome }) => outcome).filter(({ entity }) => !this.entities.get(entity)!.captured),
    });
    await this.trip('sink applied', 'SINK_COMMIT_UNKNOWN');
    return { outcomes, deferred };
  }

  async close(): Promise<void> {}

  /** The command's outcome, or null while its row is locked by somebody else's transaction. */
  private execute(transaction: Transaction, command: Command): Outcome | null {
    const table = this.database.table(this.entities.get(command.entity)!.table);
    const identity = { command: command.id, link: command.link, entity: command.entity };
    try {
      return { ...identity, ...transaction.savepoint(() => this.write(transaction, table, command)) };
    } catch (error) {
      if (error instanceof RowLocked) return null;
      if (!(error instanceof ConstraintViolation)) throw error;
      const { code, message, constraint, column, blockingKey } = error;
      return { ...identity, status: 'failed', key: command.key, code, message, constraint, column, blockingKey };
    }
  }

  private write(transaction: Transaction, table: Table, command: Command): Answer {
    if (command.operation === 'insert') return this.insert(transaction, table, command);
    const key = command.key!;
    if (this.database.isLocked(table, key)) throw new RowLocked();
    const row = table.rows.get(key) ?? null;
    if (!row || !shows(row, command.expect)) {
      const reason = row ? 'the row shows other values than expected' : 'there is no such row';
      return { status: 'refused', key, met: row, reason };
    }
    if (command.operation === 'delete') {
      transaction.delete(table, key);
      return { status: 'applied', key };
    }
    if (shows(row, command.set)) return { status: 'unchanged', key };
    return { status: 'applied', key: transaction.update(table, key, command.set) };
  }

  private insert(transaction: Transaction, table: Table, command: Command): Answer {
    for (const [key, row] of table.rows) {
      if (command.absent.some((values) => shows(row, values))) {
        return { status: 'refused', key, met: row, reason: 'a row shows the match values already' };
      }
    }
    return { status: 'applied', key: transaction.insert(table, command.set) };
  }

  /** What a lost connection means depends on what was asked over it. */
  private async trip(point: string, lost: 'SINK_UNREACHABLE' | 'SINK_COMMIT_UNKNOWN'): Promise<void> {
    try {
      await this.roundTrip(point);
    } catch (cause) {
      throw new DuologError(lost, `the connection to ${this.options.system} was lost`, { cause });
    }
  }
}

type Answer =
  | { readonly status: 'applied' | 'unchanged'; readonly key: string }
  | { readonly status: 'refused'; readonly key: string; readonly met: Row | null; readonly reason: string };

function shows(row: Row, values: Row): boolean {
  for (const column in values) if (row[column] !== values[column]) return false;
  return true;
}
