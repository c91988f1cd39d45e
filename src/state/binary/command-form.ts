import type { Attempt, InFlight } from '../../decision/state.js';
import type { Row, Value } from '../../model/value.js';
import type { BinaryReader, BinaryWriter } from './bytes.js';
import type { SetterForm } from './setters.js';
import { ValueForm } from './values.js';

/** The union of schemas/assignment.avsc. */
const ASSIGNED = new ValueForm(['null', 'boolean', 'long', 'double', 'string']);

type Operation = InFlight['operation'];

/** Commands in flight and attempts that failed: schemas/state-parts.avsc. */
export class CommandForm {
  constructor(private readonly setters: SetterForm) {}

  write(to: BinaryWriter, command: InFlight): void {
    to.text(command.command);
    to.text(command.operation);
    to.byte(command.soft ? 1 : 0);
    to.textOrNull(command.key);
    writeAssignments(to, command.set);
    writeAssignments(to, command.expect);
    to.texts(command.match);
    to.long(command.memberMoves);
    to.long(command.linkMoves);
    this.setters.writeMap(to, command.setters);
  }

  read(from: BinaryReader): InFlight {
    return {
      command: from.text(),
      operation: from.text() as Operation,
      soft: from.byte() === 1,
      key: from.textOrNull(),
      set: readAssignments(from),
      expect: readAssignments(from),
      match: from.texts(),
      memberMoves: from.long(),
      linkMoves: from.long(),
      setters: this.setters.readMap(from),
    };
  }

  writeAttempt(to: BinaryWriter, attempt: Attempt): void {
    to.text(attempt.operation);
    to.textOrNull(attempt.key);
    writeAssignments(to, attempt.set);
    writeAssignments(to, attempt.expect);
  }

  readAttempt(from: BinaryReader): Attempt {
    return {
      operation: from.text() as Operation,
      key: from.textOrNull(),
      set: readAssignments(from),
      expect: readAssignments(from),
    };
  }
}

function writeAssignments(to: BinaryWriter, row: Row): void {
  let count = 0;
  for (const _column in row) count++;
  if (count > 0) {
    to.long(count);
    for (const column in row) {
      to.text(column);
      ASSIGNED.write(to, row[column]);
    }
  }
  to.byte(0);
}

function readAssignments(from: BinaryReader): Row {
  const row: Record<string, Value> = {};
  for (let count = from.count(); count > 0; count = from.count()) {
    for (; count > 0; count--) row[from.text()] = ASSIGNED.read(from) as Value;
  }
  return row;
}
