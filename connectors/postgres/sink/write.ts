import type { QueuedCommand } from '../../../src/connector/contract.js';
import { recordKey, recordKeyParts, type Row, type Value } from '../../../src/model/value.js';
import { imageToTell } from '../marks.js';
import { Answers } from './answers.js';
import { type CommandGroup, groupParameters, keyParameters } from './command-group.js';
import { settled } from './failures.js';
import type { Answer, Session } from './session.js';
import { imageOf, keyOf, type TargetTable } from './target-table.js';

/** A trigger gave an inserted row another key than its default, or kept it out: the rows must go in one by one. */
export class KeysUnknown extends Error {
  constructor(readonly table: TargetTable) {
    super(`The key of a row inserted into ${table.plan.table} is not the one its default gave`);
  }
}

/** Characters of one statement's values. */
const MAX_STATEMENT_LENGTH = 16 * 1024 * 1024;

/** Rows that are looked at in the first statement of a group, and characters that later ones may show, about. */
const FIRST_INSPECTED = 16;
const INSPECTED_LENGTH = 16 * 1024 * 1024;

const KEPT_OUT = {
  code: '02000',
  message: 'a trigger, a rule or row-level security of the table keeps the row from being written',
  constraint: null,
  column: null,
  blockingKey: null,
} as const;

/**
 * Writes the groups in the transaction that is open, all statements sent at once, and finds out about every row that
 * was not written: refused with the image met, unchanged, or held by somebody else (I7).
 * @throws the driver's error of the first statement that failed; KeysUnknown.
 */
export async function writeGroups(session: Session, groups: readonly CommandGroup[]): Promise<Answers> {
  const answers = new Answers();
  const left = await sendWrites(session, groups, answers);
  if (left.length === 0) return answers;
  // A row as expected that was not written was changed back meanwhile, and is locked now: once more.
  const again = await inspect(session, left, answers);
  const kept = again.length === 0 ? [] : await sendWrites(session, again, answers);
  for (const queued of kept.flatMap(({ commands }) => commands)) answers.failed(queued, KEPT_OUT);
  return answers;
}

/** The same, but rows that somebody else holds are left out beforehand, without waiting for any. */
export async function writeUnlocked(session: Session, groups: readonly CommandGroup[]): Promise<Answers> {
  const answers = new Answers();
  const locked = await lockRows(session, groups, answers);
  answers.add(await writeGroups(session, locked));
  return answers;
}

/**
 * Each statement goes out as soon as it is made and each answer is taken as it comes, so that the server writes
 * one group while the next is made ready.
 * @returns the commands whose rows were not written.
 */
async function sendWrites(
  session: Session,
  groups: readonly CommandGroup[],
  answers: Answers,
): Promise<CommandGroup[]> {
  const sent = groups.flatMap((group) => sendGroup(session, group));
  const left: CommandGroup[] = [];
  for (const { group, received } of sent) {
    const unwritten = writesOneByOne(group)
      ? takeKeysOneByOne(group, await received, answers)
      : takeAnswer(group, (await received)[0]!, answers);
    if (unwritten.length > 0) left.push({ form: group.form, commands: unwritten });
  }
  return left;
}

interface Sent {
  readonly group: CommandGroup;
  readonly received: Promise<readonly Answer[]>;
}

/** A group's statement; halved while its values are more than the server takes in one message. */
function sendGroup(session: Session, group: CommandGroup): Sent[] {
  if (writesOneByOne(group)) return [sentOut(group, oneByOne(session, group))];
  const { form, commands } = group;
  const values = groupParameters(group);
  const length = values.reduce((sum, value) => sum + value.length, 0);
  if (length > MAX_STATEMENT_LENGTH && commands.length > 1) {
    const middle = commands.length >> 1;
    return [commands.slice(0, middle), commands.slice(middle)].flatMap((half) =>
      sendGroup(session, { form, commands: half }),
    );
  }
  return [sentOut(group, [session.query({ text: form.statements.write, values, prepared: true })])];
}

function sentOut(group: CommandGroup, queries: readonly Promise<Answer>[]): Sent {
  const received = settled(queries);
  // It is awaited in its turn; until then its failure is nobody's.
  received.catch(() => undefined);
  return { group, received };
}

function writesOneByOne({ form }: CommandGroup): boolean {
  return form.operation === 'insert' && form.table.rowByRow;
}

function oneByOne(session: Session, { form, commands }: CommandGroup): Promise<Answer>[] {
  const text = form.statements.writeOne!;
  return commands.map((queued) => {
    const values = groupParameters({ form, commands: [queued] });
    return session.query({ text, values, prepared: true });
  });
}

function takeKeysOneByOne({ form, commands }: CommandGroup, received: readonly Answer[], answers: Answers) {
  return commands.filter((queued, at) => {
    const row = received[at]!.rows[0];
    if (row !== undefined) answers.applied(queued, keyOf(form.table, row));
    return row === undefined;
  });
}

function takeAnswer(group: CommandGroup, answer: Answer, answers: Answers): readonly QueuedCommand[] {
  return group.form.statements.answer === 'keys'
    ? takeKeys(group, answer, answers)
    : takeNumbers(group, answer, answers);
}

function takeNumbers(group: CommandGroup, answer: Answer, answers: Answers): readonly QueuedCommand[] {
  const { form, commands } = group;
  const [written, numbers, keysAreThose] = answer.rows[0] ?? [];
  if (keysAreThose === 'f') throw new KeysUnknown(form.table);
  if (numbers === null || numbers === undefined) {
    if (Number(written) === 0) return commands;
    for (const queued of commands) answers.applied(queued, writtenKey(form.table, queued));
    return [];
  }
  const applied = new Set(numbers.slice(1, -1).split(',').map(Number));
  return commands.filter((queued, at) => {
    const isApplied = applied.has(at + 1);
    if (isApplied) answers.applied(queued, writtenKey(form.table, queued));
    return !isApplied;
  });
}

function takeKeys({ form, commands }: CommandGroup, answer: Answer, answers: Answers): readonly QueuedCommand[] {
  const keys = new Map<number, string>();
  for (const [keysAreThose, number, ...key] of answer.rows) {
    if (keysAreThose === 'f') throw new KeysUnknown(form.table);
    keys.set(Number(number), keyOf(form.table, key));
  }
  return commands.filter((queued, at) => {
    const key = keys.get(at + 1);
    if (key !== undefined) answers.applied(queued, key);
    return key === undefined;
  });
}

/** The record's key after the write: a command may set key columns itself. */
function writtenKey({ plan, key }: TargetTable, { command }: QueuedCommand): string {
  let given = 0;
  for (const { name } of key) if (name in command.set) given++;
  if (command.key !== null && given === 0) return command.key;
  if (given === key.length) return recordKey(command.set, plan.shape.key);
  const parts = command.key === null ? [] : recordKeyParts(command.key);
  const row: Record<string, Value> = {};
  for (const [place, { name }] of key.entries()) row[name] = command.set[name] ?? parts[place] ?? null;
  return recordKey(row, plan.shape.key);
}

/** Locks what can be locked at once; what somebody holds is deferred, what does not exist is refused. */
async function lockRows(session: Session, groups: readonly CommandGroup[], answers: Answers): Promise<CommandGroup[]> {
  const locked: CommandGroup[] = [];
  for (const group of groups) {
    const { lock } = group.form.statements;
    if (lock === null) {
      locked.push(group);
      continue;
    }
    const answer = await session.query({ text: lock, values: keyParameters(group), prepared: true });
    const numbers = new Set(answer.rows.map(([number]) => Number(number)));
    const held = group.commands.filter((_, at) => numbers.has(at + 1));
    const rest = group.commands.filter((_, at) => !numbers.has(at + 1));
    if (held.length > 0) locked.push({ form: group.form, commands: held });
    if (rest.length > 0) await deferOrRefuse(session, { form: group.form, commands: rest }, answers);
  }
  return locked;
}

async function deferOrRefuse(session: Session, group: CommandGroup, answers: Answers): Promise<void> {
  const text = group.form.statements.exists!;
  const answer = await session.query({ text, values: keyParameters(group), prepared: true });
  const existing = new Set(answer.rows.map(([number]) => Number(number)));
  for (const [at, queued] of group.commands.entries()) {
    if (existing.has(at + 1)) answers.defer(queued);
    else answers.refused(queued, queued.command.key, null, 'there is no such row');
  }
}

/**
 * In parts: rows may be far larger than the commands about them. The first part tells how large.
 * @returns the commands whose row is as they expect after all.
 */
async function inspect(session: Session, groups: readonly CommandGroup[], answers: Answers): Promise<CommandGroup[]> {
  const again: CommandGroup[] = [];
  for (const { form, commands } of groups) {
    let count = FIRST_INSPECTED;
    for (let at = 0; at < commands.length; ) {
      const part = { form, commands: commands.slice(at, at + count) };
      at += count;
      const { asExpected, bytes } = await inspectPart(session, part, answers);
      if (asExpected.length > 0) again.push({ form, commands: asExpected });
      count = Math.max(1, Math.floor((INSPECTED_LENGTH * part.commands.length) / Math.max(1, bytes)));
    }
  }
  return again;
}

async function inspectPart(
  session: Session,
  { form, commands }: CommandGroup,
  answers: Answers,
): Promise<{ readonly asExpected: QueuedCommand[]; readonly bytes: number }> {
  const values = groupParameters({ form, commands });
  const answer = await session.query({ text: form.statements.inspect, values, prepared: true });
  const seen = new Map(answer.rows.map((row) => [Number(row[0]), row] as const));
  const unseen = commands.filter((_, at) => !seen.has(at + 1));
  const asExpected = commands.filter((queued, at) => {
    const row = seen.get(at + 1);
    return row !== undefined && !judge(form.table, queued, row, answers);
  });
  if (form.operation === 'insert') asExpected.push(...unseen);
  else if (unseen.length > 0) await deferOrRefuse(session, { form, commands: unseen }, answers);
  let bytes = 0;
  for (const row of answer.rows) for (const text of row) bytes += text?.length ?? 0;
  return { asExpected, bytes };
}

/** Answers from what the row shows; false when it shows what was expected and should have been written. */
function judge(
  table: TargetTable,
  queued: QueuedCommand,
  [, holds, same, ...texts]: readonly (string | null)[],
  answers: Answers,
): boolean {
  const { command } = queued;
  if (holds === 't') {
    if (command.operation !== 'update' || same !== 't') return false;
    answers.unchanged(queued, command.key!);
    return true;
  }
  const met = imageOf(table, texts);
  const key = recordKey(met, table.plan.shape.key);
  // What is not told need not be kept until then.
  answers.refused(queued, key, imageToTell(met), refusal(queued, key, met));
  return true;
}

/** Names columns, never values. */
function refusal({ command }: QueuedCommand, key: string, met: Row): string {
  if (command.operation === 'insert') {
    const shown = command.absent.find((row) => Object.keys(row).every((name) => met[name] === row[name]));
    if (shown !== undefined) return `a row shows the same ${Object.keys(shown).join(', ')} already`;
    return key === command.key ? 'the row exists already' : 'a row is in the way already';
  }
  const different = Object.keys(command.expect).filter((name) => met[name] !== command.expect[name]);
  return `the row shows other values than expected in ${different.join(', ')}`;
}
