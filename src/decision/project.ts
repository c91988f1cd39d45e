import { Inconvertible } from '../mapping/convert.js';
import { matchValue } from '../mapping/normalise.js';
import type { Row, Value } from '../model/value.js';
import { entry } from './entries.js';
import type { FieldValue } from './events.js';
import type { EntityIndex, MappedColumn, SystemIndex } from './plan-index.js';
import { linkOfKey } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** The projection waits: the record referred to has no key in that system yet (rule 12). */
export class ParentMissing {
  constructor(
    readonly entity: string,
    /** While only observed, the parent's own insert is held back alike. */
    readonly isPaused: boolean,
  ) {}
}

/** What a member's system showed last, also while its deletion is not yet settled. */
export function imageOf(member: MemberDraft): Row | null {
  return member.seen ?? member.ending?.seen ?? null;
}

/** A column's value as the canonical's. */
export function readField(turn: Turn, column: MappedColumn, system: string, raw: Value): FieldValue | Inconvertible {
  const value = column.converter.toField(raw);
  if (column.refersTo === null || value === null || value instanceof Inconvertible) return value;
  const key = String(value);
  const link = resolve(turn, system, column.refersTo, key);
  return link === null ? { system, entity: column.refersTo, key } : { link: link.id };
}

/** The canonical's value as a column of the system would show it. */
export function projectField(
  turn: Turn,
  column: MappedColumn,
  system: string,
  value: FieldValue,
): Value | Inconvertible | ParentMissing {
  if (typeof value !== 'object' || value === null) return column.converter.toColumn(value);
  const key = keyOfReference(turn, system, value);
  return key === null ? parentMissing(turn, column, system, value) : column.converter.toColumn(key);
}

function parentMissing(
  turn: Turn,
  column: MappedColumn,
  system: string,
  value: Exclude<FieldValue, Value>,
): ParentMissing {
  const parent = turn.sync.observe && 'link' in value ? turn.link(value.link) : null;
  const isPaused = parent?.members[system]?.holds.some(({ reason }) => reason === 'paused') ?? false;
  return new ParentMissing(column.refersTo ?? '', isPaused);
}

/** True where a column shows the canonical's value, compared in the system's own terms: what it cannot tell apart is equal. */
export function agrees(
  turn: Turn,
  column: MappedColumn,
  system: string,
  raw: Value,
  value: FieldValue | undefined,
): boolean {
  if (value === undefined) return true;
  if (column.refersTo !== null) return referenceAgrees(turn, column, system, raw, value);
  const projected = column.converter.toColumn(value as Value);
  if (projected === raw) return true;
  return !(projected instanceof Inconvertible) && column.converter.comparable(raw) === projected;
}

function referenceAgrees(turn: Turn, column: MappedColumn, system: string, raw: Value, value: FieldValue): boolean {
  if (raw === null || value === null || typeof value !== 'object') return raw === value;
  const shown = column.converter.toField(raw);
  if (shown instanceof Inconvertible) return false;
  const key = String(shown);
  if (!('link' in value)) return value.system === system && value.key === key;
  const parent = turn.link(value.link);
  if (parent === null) return false;
  const current = parent.members[system]?.key ?? null;
  return current === null ? resolve(turn, system, parent.entity, key)?.id === parent.id : current === key;
}

function keyOfReference(turn: Turn, system: string, value: Exclude<FieldValue, Value>): string | null {
  if (!('link' in value)) return value.system === system ? value.key : null;
  const parent = turn.link(value.link);
  const member = parent?.members[system];
  if (parent === null || member === undefined || member.seen === null) return null;
  return parent.existence === 'present' || member.kept ? member.key : null;
}

/** The link of a record by its key there; of one that was deleted, the last that had the key (rule 12). */
export function resolve(turn: Turn, system: string, entity: string, key: string): LinkDraft | null {
  const existing = turn.linkOfRecord(system, entity, key);
  if (existing !== null) return existing;
  const former = turn.find(entry.former(system, entity, key), 100).at(-1);
  return former === undefined ? null : turn.link(linkOfKey(former));
}

/** Match values of a canonical record. */
export function matchOfFields(
  turn: Turn,
  entity: EntityIndex,
  canonical: Readonly<Record<string, FieldValue>>,
): readonly string[] {
  return matchValues(entity, (field) => {
    const value = canonical[field];
    if (typeof value !== 'object' || value === null) return value ?? null;
    return 'link' in value ? (turn.link(value.link)?.id ?? null) : null;
  });
}

/** Match values that a row of a system shows. */
export function matchOfRow(turn: Turn, system: SystemIndex, row: Row): readonly string[] {
  return matchValues(system.entity, (field) => {
    const column = system.byField.get(field);
    if (column === undefined) return null;
    const value = readField(turn, column, system.system, row[column.column] ?? null);
    if (value instanceof Inconvertible) return null;
    if (typeof value !== 'object' || value === null) return value;
    return 'link' in value ? value.link : null;
  });
}

const NO_MATCH: readonly string[] = Object.freeze([]);

function matchValues(entity: EntityIndex, valueOf: (field: string) => Value): readonly string[] {
  const rules = entity.plan.match;
  if (rules.length === 0) return NO_MATCH;
  const found: string[] = [];
  for (const rule of rules) {
    const value = matchValue(rule, rule.on.map(valueOf));
    if (value !== null) found.push(`${rule.name}=${value}`);
  }
  return found;
}

/** True where two canonical values are the same. */
export function sameValue(left: FieldValue | undefined, right: FieldValue | undefined): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if ('link' in left) return 'link' in right && left.link === right.link;
  return !('link' in right) && left.system === right.system && left.entity === right.entity && left.key === right.key;
}
