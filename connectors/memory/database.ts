import type { Outcome, SinkProgress } from '../../src/connector/contract.js';
import type { TableShape } from '../../src/model/table.js';
import { recordKey, type Row, type Value } from '../../src/model/value.js';
import { CommitLog, type LoggedChange } from './commit-log.js';

/** How a table of the memory database is made: its shape and the rules that every write must pass. */
export interface TableDefinition {
  readonly shape: TableShape;
  /** Who fills the key of a new row that comes without one. `given`: nobody, the writer must. */
  readonly keys: 'sequence' | 'text' | 'given';
  /** Rows that `where` excludes are not in the index; null indexes every row. Nulls are distinct. */
  readonly unique: readonly {
    readonly name: string;
    readonly columns: readonly string[];
    readonly where: ((row: Row) => boolean) | null;
  }[];
  /** Foreign keys to the (single) key column of another table; deleting or renaming a row in use is refused. */
  readonly references: readonly { readonly name: string; readonly column: string; readonly table: string }[];
  readonly checks: readonly {
    readonly name: string;
    readonly column: string;
    readonly accepts: (value: Value) => boolean;
  }[];
  /** Sees the row about to be written and returns the one that is written instead. */
  readonly beforeWrite: ((row: Row, old: Row | null) => Row) | null;
  /** Columns to write in a second update of the same transaction, or null. */
  readonly afterWrite: ((row: Row, old: Row | null) => Row | null) | null;
  /** `full`: changes carry the whole row as it was; `key`: they do not. */
  readonly identity: 'full' | 'key';
}

/** A write that a constraint forbids, with what a database tells about it. */
export class ConstraintViolation extends Error {
  constructor(
    readonly code: '23502' | '23503' | '23505' | '23514',
    readonly constraint: string,
    readonly column: string | null,
    readonly blockingKey: string | null,
  ) {
    super(`${VIOLATIONS[code]} violated: ${constraint}`);
  }
}

const VIOLATIONS = {
  23502: 'not-null constraint',
  23503: 'foreign key constraint',
  23505: 'unique constraint',
  23514: 'check constraint',
} as const;

/** The row, or a unique value, belongs to a transaction that has not ended yet. */
export class RowLocked extends Error {}

/** What one sync keeps in a database that it writes to, in the same transactions as the data (I4). */
export interface Bookkeeping {
  readonly epoch: number;
  readonly birth: string;
  readonly progress: SinkProgress | null;
  readonly unpublished: readonly Outcome[];
}

interface OpenTransaction {
  readonly locked: ReadonlySet<string>;
  readonly inserts: readonly { readonly table: Table; readonly row: Row }[];
}

/**
 * A database in memory: tables with keys, constraints and triggers, transactions that hold rows locked,
 * and a commit log to capture changes from. One instance is one server; a process crash does not touch it.
 */
export class MemoryDatabase {
  readonly log: CommitLog;
  readonly bookkeeping = new Map<string, Bookkeeping>();
  /** The connection that reads the log; a newer one ends it. */
  logReader: object | null = null;
  private readonly tables = new Map<string, Table>();
  private readonly open = new Map<number, OpenTransaction>();
  private openTransactions = 0;

  /** @param nowMicros the database's own clock, in microseconds since 1970 */
  constructor(readonly nowMicros: () => number) {
    this.log = new CommitLog(nowMicros);
  }

  create(definition: TableDefinition): Table {
    const table = new Table(definition);
    this.tables.set(definition.shape.table, table);
    return table;
  }

  find(name: string): Table | undefined {
    return this.tables.get(name);
  }

  table(name: string): Table {
    const table = this.tables.get(name);
    if (!table) throw new Error(`no table ${name}`);
    return table;
  }

  /** All or nothing: what `work` wrote is committed when it returns and undone when it throws. */
  transaction<T>(work: (transaction: Transaction) => T): T {
    const transaction = new Transaction(this);
    let result: T;
    try {
      result = work(transaction);
    } catch (error) {
      transaction.undoTo(0);
      throw error;
    }
    this.log.append(transaction.changes, transaction.mark);
    return result;
  }

  /** Begins a transaction of somebody else that stays open: rows locked, inserts not visible. Returns its number. */
  begin(rows: readonly { table: string; key: string }[], inserts: readonly { table: string; row: Row }[]): number {
    for (const { table, key } of rows) {
      if (this.isLocked(this.table(table), key)) throw new RowLocked();
    }
    const number = ++this.openTransactions;
    this.open.set(number, {
      locked: new Set(rows.map(({ table, key }) => lockName(this.table(table), key))),
      inserts: inserts.map(({ table, row }) => ({ table: this.table(table), row })),
    });
    return number;
  }

  /** Ends an open transaction: its locks go, and `work` and its inserts are committed, or nothing is. */
  end(number: number, work: ((transaction: Transaction) => void) | null): void {
    const ended = this.open.get(number);
    if (!ended) return;
    this.open.delete(number);
    if (work === null) return;
    this.transaction((transaction) => {
      for (const { table, row } of ended.inserts) transaction.insert(table, row);
      work(transaction);
    });
  }

  isLocked(table: Table, key: string): boolean {
    if (this.open.size === 0) return false;
    const name = lockName(table, key);
    for (const { locked } of this.open.values()) if (locked.has(name)) return true;
    return false;
  }

  /** Rows that open transactions have inserted: invisible, but a unique index already waits for them. */
  *pendingInserts(table: Table): Iterable<Row> {
    for (const { inserts } of this.open.values()) {
      for (const insert of inserts) if (insert.table === table) yield insert.row;
    }
  }

  /** Tables with a foreign key to this one. */
  *referencesTo(table: Table): Iterable<{ readonly child: Table; readonly name: string; readonly column: string }> {
    for (const child of this.tables.values()) {
      for (const reference of child.definition.references) {
        if (reference.table === table.name) yield { child, name: reference.name, column: reference.column };
      }
    }
  }
}

/** The rows of one table by key. */
export class Table {
  readonly name: string;
  readonly rows = new Map<string, Row>();
  private lastKey = 0;

  constructor(readonly definition: TableDefinition) {
    this.name = definition.shape.table;
  }

  get shape(): TableShape {
    return this.definition.shape;
  }

  keyOf(row: Row): string {
    return recordKey(row, this.shape.key);
  }

  /** The row with every column, its key from the sequence or the default where the writer gave none. */
  complete(row: Row): Row {
    const completed: Record<string, Value> = {};
    for (const column of this.shape.columns) completed[column.name] = row[column.name] ?? null;
    const keyColumn = this.shape.key[0]!;
    if (completed[keyColumn] === null && this.definition.keys !== 'given') completed[keyColumn] = this.nextKey();
    return completed;
  }

  private nextKey(): Value {
    this.lastKey += 1;
    return this.definition.keys === 'sequence' ? this.lastKey : `K${this.lastKey}`;
  }
}

/** One running transaction: its writes are visible at once and undone if it fails. */
export class Transaction {
  readonly changes: LoggedChange[] = [];
  /** Marks the transaction as ours: the sync and its commands' outcomes. */
  mark: { readonly sync: string; readonly outcomes: readonly Outcome[] } | null = null;
  private readonly undo: (() => void)[] = [];

  constructor(private readonly database: MemoryDatabase) {}

  /** @throws ConstraintViolation, RowLocked. Returns the key. */
  insert(table: Table, values: Row): string {
    const row = this.rewritten(table, table.complete(values), null);
    const key = table.keyOf(row);
    this.verify(table, key, row, null);
    this.write(table, key, row);
    this.changes.push({ table: table.name, operation: 'insert', key, before: null, after: row, keyChange: null });
    this.runAfterWrite(table, key, row, null);
    return key;
  }

  /** @throws ConstraintViolation, RowLocked. Returns the key, which is another one if a key column was set. */
  update(table: Table, key: string, set: Row): string {
    const newKey = this.updateRow(table, key, set);
    const old = this.changes.at(-1)!.before;
    this.runAfterWrite(table, newKey, table.rows.get(newKey)!, old);
    return newKey;
  }

  /** @throws ConstraintViolation, RowLocked. */
  delete(table: Table, key: string): void {
    const old = this.existing(table, key);
    this.verifyUnused(table, key);
    this.write(table, key, null);
    this.changes.push({ table: table.name, operation: 'delete', key, before: old, after: null, keyChange: null });
  }

  /** Runs `work`; if it throws, undoes only what it wrote. */
  savepoint<T>(work: () => T): T {
    const undone = this.undo.length;
    const logged = this.changes.length;
    try {
      return work();
    } catch (error) {
      this.undoTo(undone);
      this.changes.length = logged;
      throw error;
    }
  }

  undoTo(length: number): void {
    while (this.undo.length > length) this.undo.pop()!();
  }

  private updateRow(table: Table, key: string, set: Row): string {
    const old = this.existing(table, key);
    const row = this.rewritten(table, { ...old, ...set }, old);
    const newKey = table.keyOf(row);
    this.verify(table, newKey, row, key);
    if (newKey !== key) {
      this.verifyUnused(table, key);
      this.write(table, key, null);
      this.changes.push({
        table: table.name,
        operation: 'delete',
        key,
        before: old,
        after: null,
        keyChange: { to: newKey },
      });
    }
    this.write(table, newKey, row);
    this.changes.push({
      table: table.name,
      operation: 'update',
      key: newKey,
      before: old,
      after: row,
      keyChange: newKey === key ? null : { from: key },
    });
    return newKey;
  }

  private existing(table: Table, key: string): Row {
    if (this.database.isLocked(table, key)) throw new RowLocked();
    const row = table.rows.get(key);
    if (!row) throw new Error(`no row ${key} in ${table.name}`);
    return row;
  }

  private rewritten(table: Table, row: Row, old: Row | null): Row {
    return table.definition.beforeWrite?.(row, old) ?? row;
  }

  private runAfterWrite(table: Table, key: string, row: Row, old: Row | null): void {
    const set = table.definition.afterWrite?.(row, old) ?? null;
    if (set !== null) this.updateRow(table, key, set);
  }

  private write(table: Table, key: string, row: Row | null): void {
    const old = table.rows.get(key);
    if (row) table.rows.set(key, row);
    else table.rows.delete(key);
    this.undo.push(() => {
      if (old) table.rows.set(key, old);
      else table.rows.delete(key);
    });
  }

  private verify(table: Table, key: string, row: Row, replacedKey: string | null): void {
    for (const column of table.shape.columns) {
      if (!column.nullable && row[column.name] === null) {
        throw new ConstraintViolation('23502', `${table.name}_${column.name}_not_null`, column.name, null);
      }
    }
    for (const check of table.definition.checks) {
      if (!check.accepts(row[check.column] ?? null)) {
        throw new ConstraintViolation('23514', check.name, check.column, null);
      }
    }
    this.verifyUnique(table, key, row, replacedKey);
    for (const reference of table.definition.references) {
      const value = row[reference.column] ?? null;
      if (value !== null && !this.database.table(reference.table).rows.has(String(value))) {
        throw new ConstraintViolation('23503', reference.name, reference.column, null);
      }
    }
  }

  private verifyUnique(table: Table, key: string, row: Row, replacedKey: string | null): void {
    if (key !== replacedKey && table.rows.has(key)) {
      throw new ConstraintViolation('23505', `${table.name}_pkey`, table.shape.key[0]!, key);
    }
    for (const { name, columns, where } of table.definition.unique) {
      if (where && !where(row)) continue;
      const same = (other: Row) =>
        (!where || where(other)) && columns.every((column) => row[column] !== null && other[column] === row[column]);
      for (const [otherKey, other] of table.rows) {
        if (otherKey !== replacedKey && same(other)) {
          throw new ConstraintViolation('23505', name, columns[0]!, otherKey);
        }
      }
      for (const pending of this.database.pendingInserts(table)) if (same(pending)) throw new RowLocked();
    }
  }

  private verifyUnused(table: Table, key: string): void {
    for (const { child, name, column } of this.database.referencesTo(table)) {
      for (const row of child.rows.values()) {
        if (row[column] !== null && String(row[column]) === key) {
          throw new ConstraintViolation('23503', name, column, null);
        }
      }
    }
  }
}

function lockName(table: Table, key: string): string {
  return `${table.name} ${key}`;
}
