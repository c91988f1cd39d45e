import type { Command, QueuedCommand } from '../../../src/connector/contract.js';
import { recordKeyParts, type Row, type Value } from '../../../src/model/value.js';
import type { AbsentForm, GroupShape } from './group-shape.js';
import { arrayLiteral, keyArrayLiteral } from './literals.js';
import { groupStatements, type GroupStatements } from './statements.js';
import { type TargetColumn, type TargetTable, targetColumn } from './target-table.js';

/** What the commands of one statement have in common, and the statements themselves. */
export interface GroupForm extends GroupShape {
  readonly statements: GroupStatements;
}

/** Commands that go into one statement. */
export interface CommandGroup {
  readonly form: GroupForm;
  readonly commands: readonly QueuedCommand[];
}

const MAX_FORMS = 2_000;
const RECENT_FORMS = 8;

/** The forms met so far, by what tells them apart; their statements are made once. */
export class GroupForms {
  private readonly bySignature = new Map<string, GroupForm>();
  /** The newest first. */
  private readonly forms: GroupForm[] = [];

  constructor(private readonly tables: ReadonlyMap<string, TargetTable>) {}

  /**
   * The commands as groups, in the order in which they may run: deletes before updates before inserts, so that
   * what one gives up another may take; children before parents among deletes, else after.
   */
  group(commands: readonly QueuedCommand[]): CommandGroup[] {
    const groups: { form: GroupForm; commands: QueuedCommand[] }[] = [];
    const byForm = new Map<GroupForm, QueuedCommand[]>();
    let last: { form: GroupForm; commands: QueuedCommand[] } | undefined;
    for (const queued of commands) {
      // Most commands are like the one before.
      if (last === undefined || !hasForm(queued.command, last.form)) {
        const form = this.formOf(queued.command);
        let members = byForm.get(form);
        if (members === undefined) {
          members = [];
          byForm.set(form, members);
          groups.push({ form, commands: members });
        }
        last = { form, commands: members };
      }
      last.commands.push(queued);
    }
    // One order of keys in every session, so that two of ours never wait for each other in a circle.
    for (const group of groups) if (group.form.keyed && !inOrder(group.commands)) group.commands.sort(byKey);
    return groups.sort((one, other) => this.rank(one.form) - this.rank(other.form));
  }

  private rank({ table, operation }: GroupForm): number {
    const order = [...this.tables.keys()];
    const place = order.indexOf(table.plan.entity);
    if (operation === 'delete') return -1 - place;
    return operation === 'update' ? place : order.length + place;
  }

  private formOf(command: Command): GroupForm {
    const known = this.forms.find((form) => hasForm(command, form));
    if (known !== undefined) return known;
    const signature = signatureOf(command);
    let form = this.bySignature.get(signature);
    if (form === undefined) {
      if (this.bySignature.size >= MAX_FORMS) this.bySignature.clear();
      form = makeForm(this.tables.get(command.entity)!, command);
      this.bySignature.set(signature, form);
    }
    this.forms.unshift(form);
    if (this.forms.length > RECENT_FORMS) this.forms.pop();
    return form;
  }
}

function byKey(one: QueuedCommand, other: QueuedCommand): number {
  return one.command.key! < other.command.key! ? -1 : 1;
}

function inOrder(commands: readonly QueuedCommand[]): boolean {
  for (let at = 1; at < commands.length; at++) {
    if (commands[at - 1]!.command.key! > commands[at]!.command.key!) return false;
  }
  return true;
}

/** The same question as an equal `signatureOf`, without making a text. */
function hasForm(command: Command, form: GroupForm): boolean {
  if (command.operation !== form.operation || command.entity !== form.table.plan.entity) return false;
  if ((command.key !== null) !== form.keyed || command.absent.length !== form.absentRows.length) return false;
  if (!hasColumns(command.set, form.set) || !hasColumns(command.expect, form.expect)) return false;
  if (changesKnownValue(command) === form.compareSet) return false;
  return command.absent.every((row, place) => {
    const columns = form.absentRows[place]!;
    let at = 0;
    for (const name in row) {
      const column = columns[at++];
      if (column?.name !== name || column.isNull !== (row[name] === null)) return false;
    }
    return at === columns.length;
  });
}

function hasColumns(row: Row, columns: readonly TargetColumn[]): boolean {
  let at = 0;
  for (const name in row) if (columns[at++]?.name !== name) return false;
  return at === columns.length;
}

/** Where the row is as expected, it then shows another value than the command's. */
function changesKnownValue({ set, expect }: Command): boolean {
  for (const name in expect) if (name in set && set[name] !== expect[name]) return true;
  return false;
}

function signatureOf(command: Command): string {
  const { entity, operation, key, set, expect, absent } = command;
  return JSON.stringify([
    entity,
    operation,
    key === null,
    Object.keys(set),
    Object.keys(expect),
    changesKnownValue(command),
    absent.map((row) => Object.entries(row).map(([name, value]) => [name, value === null])),
  ]);
}

function makeForm(table: TargetTable, command: Command): GroupForm {
  const columns = (row: Row): TargetColumn[] => Object.keys(row).map((name) => targetColumn(table, name));
  const form = {
    table,
    operation: command.operation,
    set: columns(command.set),
    expect: columns(command.expect),
    keyed: command.key !== null,
    absent: command.absent.flatMap((row, place) => absentForm(table, row, place)),
    absentRows: command.absent.map((row) =>
      Object.entries(row).map(([name, value]) => ({ name, isNull: value === null })),
    ),
    compareSet: !changesKnownValue(command),
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
