import type { TargetColumn, TargetTable } from './target-table.js';

/** What the commands of one statement have in common: table, operation and columns. The values are its parameters. */
export interface GroupShape {
  readonly table: TargetTable;
  readonly operation: 'insert' | 'update' | 'delete';
  readonly set: readonly TargetColumn[];
  readonly expect: readonly TargetColumn[];
  /** The key stands in the command: all of an update or a delete, or an insert with a given key. */
  readonly keyed: boolean;
  /** For an insert, what no row may show; only what an index answers. */
  readonly absent: readonly AbsentForm[];
  /** The columns of every row of `absent`, to know a command of this form. */
  readonly absentRows: readonly (readonly { readonly name: string; readonly isNull: boolean }[])[];
  /** No expectation says that the new values differ from the row's: the statement must compare. */
  readonly compareSet: boolean;
}

/** The columns of one row of `absent`. */
export interface AbsentForm {
  /** Its place in the command's `absent`. */
  readonly place: number;
  readonly columns: readonly { readonly column: TargetColumn; readonly isNull: boolean }[];
}
