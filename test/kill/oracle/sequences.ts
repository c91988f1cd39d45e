import type { AuditEntry, TextRow } from '../world/audit.js';
import { TABLES, type TableModel } from '../world/model.js';
import { recordName, type ToldChange, type ToldTopics } from './topics.js';

export interface Violation {
  /** Invariant or line of the proof that does not hold. */
  readonly rule: string;
  readonly message: string;
  /** The record it is about, for the evidence: system, entity, key. */
  readonly record?: string;
}

/**
 * The change topics tell of each record what the audit numbered: the same sequence, no gap, no double (I2), and whose each
 * change is (I8). Commands are sent once and answered once (I4).
 */
export function verifySequences(audit: readonly AuditEntry[], told: ToldTopics, startedMs: number): Violation[] {
  const violations: Violation[] = [];
  const happened = new Map<string, AuditEntry[]>();
  for (const entry of audit) {
    const table = TABLES.find((each) => each.system === entry.system && each.table === entry.table);
    if (table?.captured) put(happened, recordName(entry.system, table.entity, entry.key), entry);
  }
  const changes = new Map<string, ToldChange[]>();
  for (const change of told.changes) {
    if (change.operation === 'outcome' || change.operation === 'end') continue;
    put(changes, recordName(change.system, change.entity, change.key ?? ''), change);
  }
  for (const record of new Set([...happened.keys(), ...changes.keys()])) {
    const broken = compareRecord(happened.get(record) ?? [], changes.get(record) ?? [], startedMs);
    if (broken !== null) violations.push({ rule: 'I2', message: `${record}: ${broken}`, record });
  }
  return [...violations, ...verifyPositions(told), ...verifyCommands(told)];
}

/** What is different, or null. Entries from before the slot was there are told by the snapshot alone. */
function compareRecord(happened: readonly AuditEntry[], told: readonly ToldChange[], startedMs: number): string | null {
  const single = told.filter(({ operation }) => operation !== 'read');
  const untold = happened.length - single.length;
  if (untold < 0) return `${single.length} changes were told, ${happened.length} happened`;
  const late = happened.slice(0, untold).find(({ timeMs }) => timeMs > startedMs);
  if (late !== undefined) {
    return `${single.length} changes were told, ${happened.length} happened; untold is number ${late.number} or a later one`;
  }
  let at = untold;
  let image = untold > 0 ? happened[untold - 1]!.after : null;
  for (const change of told) {
    if (change.operation === 'read') {
      if (!sameRow(change.after, image)) return `the snapshot read at offset ${change.offset} is not what was there`;
      continue;
    }
    const entry = happened[at++]!;
    const differs = difference(entry, change);
    if (differs !== null) return `offset ${change.offset} against number ${entry.number}: ${differs}`;
    image = entry.after;
  }
  const needsRead = untold > 0 && happened[untold - 1]!.after !== null && single.length === 0;
  if (needsRead && told.length === 0) return 'it was there before the start and was never told';
  return null;
}

function difference(entry: AuditEntry, change: ToldChange): string | null {
  if (change.operation !== entry.operation) return `told as ${change.operation}, happened as ${entry.operation}`;
  if (change.transaction !== entry.transaction) {
    return `told of transaction ${change.transaction}, happened in ${entry.transaction}`;
  }
  if (!sameRow(change.after, entry.after)) return 'another image after it';
  if (!sameRow(change.before, entry.before)) return 'another image before it';
  if ((change.origin === null) !== entry.byUser) {
    return entry.byUser ? 'an edit of a user was told as our own (I8)' : 'a write of ours was told as an edit (I8)';
  }
  return null;
}

function sameRow(one: TextRow | null, other: TextRow | null): boolean {
  if (one === null || other === null) return one === other;
  const columns = Object.keys(one);
  return columns.length === Object.keys(other).length && columns.every((column) => one[column] === other[column]);
}

/** Positions are in order and unique, snapshot rows aside, which are numbered in their own way. */
function verifyPositions(told: ToldTopics): Violation[] {
  const seen = new Set<string>();
  const violations: Violation[] = [];
  for (const { system, entity, position, offset } of told.changes) {
    const name = `${system} ${entity} ${position}`;
    if (seen.has(name))
      violations.push({ rule: 'I2', message: `${system}.${entity} tells ${position} again at offset ${offset}` });
    seen.add(name);
  }
  for (const gap of told.gaps) violations.push({ rule: 'witness', message: gap });
  return violations;
}

function verifyCommands(told: ToldTopics): Violation[] {
  const answers = answersOf(told);
  const violations: Violation[] = [];
  for (const [command, { link, sent }] of told.commands) {
    if (sent !== 1) {
      violations.push({ rule: 'I3', message: `the command ${command} was sent ${sent} times`, record: link });
    }
    const answered = answers.get(command) ?? 0;
    // An outcome topic may tell an answer again after a crash; what a change topic tells, it tells once.
    const again = told.outcomes.has(command) && answered > 1 && answered === told.outcomes.get(command);
    const missed = answered === 0 && told.missedOwn > 0;
    if (answered !== 1 && !again && !missed) {
      const message = `the command ${command} was answered ${answered} times`;
      violations.push({ rule: 'I4', message, record: link });
    }
  }
  return violations;
}

/** How often each command was answered, in whatever topic. */
export function answersOf(told: ToldTopics): Map<string, number> {
  const answers = new Map(told.outcomes);
  for (const { origin, outcome } of told.changes) {
    const command = outcome?.command ?? origin?.command;
    if (command != null) answers.set(command, (answers.get(command) ?? 0) + 1);
  }
  return answers;
}

export function tableOfEntry(entry: AuditEntry): TableModel {
  return TABLES.find((each) => each.system === entry.system && each.table === entry.table)!;
}

function put<T>(map: Map<string, T[]>, name: string, value: T): void {
  const list = map.get(name);
  if (list === undefined) map.set(name, [value]);
  else list.push(value);
}
