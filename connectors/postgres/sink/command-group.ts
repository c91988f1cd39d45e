import type { QueuedCommand } from '../../../src/connector/contract.js';
import { recordKeyParts, type Row, type Value } from '../../../src/model/value.js';
import { arrayLiteral, keyArrayLiteral } from './literals.js';
import { groupStatements, type GroupStatements } from './statements.js';
import { type TargetColumn, type TargetTable, targetColumn } from './target-table.js';

/** What the commands of one statement have in common: table, operation and columns. The values are its parameters. */
export interface GroupForm {
  readonly table: TargetTable;
  readonly operation: 'insert' | 'update' | 'delete';
  readonly set: readonly TargetColumn[];
  readonly expect: readonly TargetColumn[];
  /** The key stands in the command: all of an update or a delete, or an insert with a given key. */
  readonly keyed: boolean;
  /** For an insert, what no row may show; only what an index answers. */
  readonly absent: readonly AbsentForm[];
  /** No expectation says that the new values differ from the row's: the statement must compare. */
  readonly compareSet: boolean;
  readonly statements: GroupStatements;
}

/** The columns of one row of `absent`. */
export interface AbsentForm {
  /** Its place in the command's `absent`. */
  readonly place: number;
  readonly columns: readonly { readonly column: TargetColumn; readonly isNull: boolean }[];
}

/** Commands that go into one statement. */
export interface CommandGroup {
  readonly form: GroupForm;
  readonly commands: readonly QueuedCommand[];
}

const MAX_FORMS = 2_000;

/** The forms met so far, by what tells them apart; their statements are made once. */
export class GroupForms {
  private readonly forms = new Map<string, GroupForm>();

  constructor(private readonly tables: ReadonlyMap<string, TargetTable>) {}

  /**
   * The commands as groups, in the order in which they may run: deletes before updates before inserts, so that
   * what one gives up another may take; children before parents among deletes, else after.
   */
  group(commands: readonly QueuedCommand[]): CommandGroup[] {
    const bySignature = new Map<string, { form: GroupForm; commands: QueuedCommand[] }>();
    for (const queued of commands) {
      const signature = signatureOf(queued);
      const group = bySignature.get(signature);
      if (group === undefined) bySignature.set(signature, { form: this.formOf(signature, queued), commands: [queued] });
      else group.commands.push(queued);
    }
    const order = [...this.tables.keys()];
    const rank = ({ form }: CommandGroup): number => {
      const place = order.indexOf(form.table.plan.entity);
      if (form.operation === 'delete') return -1 - place;
      return form.operation === 'update' ? place : order.length + place;
    };
    const groups = [...bySignature.values()];
    // One order of keys in every session, so that two of ours never wait for each other in a circle.
    for (const group of groups) if (group.form.keyed) group.commands.sort(byKey);
    return groups.sort((one, other) => rank(one) - rank(other));
  }

  private formOf(signature: string, queued: QueuedCommand): GroupForm {
    const known = this.forms.get(signature);
    if (known !== undefined) return known;
    if (this.forms.size >= MAX_FORMS) this.forms.clear();
    const form = makeForm(this.tables.get(queued.command.entity)!, queued);
    this.forms.set(signature, form);
    return form;
  }
}

function byKey(one: QueuedCommand, other: QueuedCommand): number {
  return one.command.key! < other.command.key! ? -1 : 1;
}

function signatureOf({ command }: QueuedCommand): string {
  let signature = `${command.entity} ${command.operation} ${command.key === null}`;
  for (const column in command.set) signature += ` ${JSON.stringify(column)}`;
  signature += ' expects';
  let known = false;
  for (const column in command.expect) {
    signature += ` ${JSON.stringify(column)}`;
    if (!known && column in command.set && command.set[column] !== command.expect[column]) known = true;
  }
  if (known) signature += ' differs';
  for (const row of command.absent) {
    signature += ' absent';
    for (const column in row) signature += ` ${JSON.stringify(column)} ${row[column] === null}`;
  }
  return signature;
}

function makeForm(table: TargetTable, { command }: QueuedCommand): GroupForm {
  const columns = (row: Row): TargetColumn[] => Object.keys(row).map((name) => targetColumn(table, name));
  const changesKnown = Object.keys(command.expect).some(
    (name) => name in command.set && command.set[name] !== command.expect[name],
  );
  const form = {
    table,
    operation: command.operation,
    set: columns(command.set),
    expect: columns(command.expect),
    keyed: command.key !== null,
    absent: command.absent.flatMap((row, place) => absentForm(table, row, place)),
    compareSet: !changesKnown,
  };
  return { ...form, statements: groupStatements(form) };
}

/** A guard that no index answers would read the whole table for each row: the double is found when it comes back. */
function absentForm(table: TargetTable, row: Row, place: number): AbsentForm[] {
  const names = Object.keys(row);
  if (!names.some((name) => table.indexedColumns.has(name))) return [];
  const columns = names.map((name) => ({ column: targetColumn(table, name), isNull: row[name] === null }));
  if (columns.some(({ column, isNull }) => !isNull && !column.form.hasEquality)) return [];
  return [{ place, columns }];
}

/**
 * The parameters of a group's statements: an array for each key column (where the commands name the key),
 * set column, expected column and absent column, in this order.
 */
export function groupParameters({ form, commands }: CommandGroup): string[] {
  const parameters = form.keyed ? keyParameters({ form, commands }) : [];
  const rowParameter = (column: TargetColumn, rowOf: (queued: QueuedCommand) => Row): string => {
    const values: Value[] = new Array(commands.length);
    for (let at = 0; at < commands.length; at++) values[at] = rowOf(commands[at]!)[column.name]!;
    return arrayLiteral(column.type, values);
  };
  for (const column of form.set) parameters.push(rowParameter(column, (queued) => queued.command.set));
  for (const column of form.expect) parameters.push(rowParameter(column, (queued) => queued.command.expect));
  for (const { place, columns } of form.absent) {
    for (const { column, isNull } of columns) {
      if (!isNull) parameters.push(rowParameter(column, (queued) => queued.command.absent[place]!));
    }
  }
  return parameters;
}

/** Only the key's arrays. */
export function keyParameters({ form, commands }: CommandGroup): string[] {
  const { key } = form.table;
  const only = key[0];
  if (key.length === 1 && only !== undefined) {
    const parts = commands.map(({ command }) => command.key!);
    // Most keys have nothing to unescape.
    const plain = parts.every((part) => !part.includes('\\'));
    return [keyArrayLiteral(only.type, plain ? parts : parts.map((part) => recordKeyParts(part)[0]!))];
  }
  const rows = commands.map(({ command }) => recordKeyParts(command.key!));
  return key.map((column, place) =>
    keyArrayLiteral(
      column.type,
      rows.map((parts) => parts[place] ?? ''),
    ),
  );
}
