import type { Row, Value } from '../model/value.js';
import { noteAgreement, refreshMatch, refreshShown, releaseSettled, setCanonical } from './canonical.js';
import { entry } from './entries.js';
import { tellConflict } from './decisions.js';
import type { FieldValue } from './events.js';
import { Inconvertible } from '../mapping/convert.js';
import { release } from './holds.js';
import type { MappedColumn, SystemIndex } from './plan-index.js';
import { imageOf, readField, resolve, sameValue } from './project.js';
import { linkOfKey, type Setter } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * References between records (rule 12). No event waits for one; only the projection does. When a record gets a link,
 * a key or another key, its children are looked at again; when a child goes, its parent's deletion is. Topics of different
 * entities have no order between them (rule 14): whichever comes second finds the other.
 */

const PAGE = 100;

/** A child's row is gone from a system, or is about to refer elsewhere: its parents' deletions there may go on. */
export function touchParents(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const image = imageOf(member);
  if (image === null) return;
  for (const { field } of system.entity.references) {
    const column = system.byField.get(field);
    if (column !== undefined) touchParent(turn, system, column, image[column.column] ?? null);
    const value = link.canonical[field];
    if (typeof value === 'object' && value !== null && 'link' in value)
      wake(turn, turn.link(value.link), system.system);
  }
}

/** The link may be referred to again, or has a record for good that may: its children's commands can go on (rule 12). */
export function queueChildren(turn: Turn, link: LinkDraft): void {
  if (turn.entity(link.entity).plan.children.length > 0) turn.queue({ what: 'children', link: link.id });
}

/** The parent that a reference column named until now. */
export function touchParent(turn: Turn, system: SystemIndex, column: MappedColumn, raw: Value): void {
  if (column.refersTo === null || raw === null) return;
  const key = column.converter.toField(raw);
  if (!(key instanceof Inconvertible))
    wake(turn, resolve(turn, system.system, column.refersTo, String(key)), system.system);
}

function wake(turn: Turn, parent: LinkDraft | null, system: string): void {
  const member = parent?.members[system];
  if (parent === null || parent.existence !== 'deleted' || member === undefined || member.seen === null) return;
  release(turn, parent, member, ({ attempt }) => attempt?.operation === 'delete');
  if (member.inFlight !== null) {
    // A delete on its way may have met the child still: its failure is past.
    member.movedAfter = turn.sync.lastCommand;
    turn.changed(parent);
  }
  turn.queue({ what: 'link', link: parent.id });
}

/** True while a child's row in the system refers to the link's record there: a parent's deletion waits for its children's. */
export function hasChildIn(turn: Turn, link: LinkDraft, system: string): boolean {
  const { children } = turn.entity(link.entity).plan;
  const key = link.members[system]?.key ?? null;
  if (children.length === 0 || key === null) return false;
  return someChild(turn, link, (child) => {
    const member = child.members[system];
    const columns = turn.entity(child.entity).systems.get(system)?.byField;
    if (member === undefined || columns === undefined) return false;
    return children.some(({ entity, field }) => {
      const column = entity === child.entity ? columns.get(field) : undefined;
      if (column === undefined) return false;
      return names(column, member.seen, key) || names(column, member.inFlight?.set ?? null, key);
    });
  });
}

function names(column: MappedColumn, row: Row | null, key: string): boolean {
  const raw = row?.[column.column] ?? null;
  return raw !== null && column.converter.toField(raw) === key;
}

/** Who added a child that the system cannot have known when it deleted the parent; null where nobody did. */
export function childUnknownTo(turn: Turn, link: LinkDraft, system: string): Setter | null {
  const { children } = turn.entity(link.entity).plan;
  if (children.length === 0) return null;
  let setter: Setter | null = null;
  someChild(turn, link, (child) => {
    const member = child.members[system];
    const { groupOf } = turn.entity(child.entity);
    const field = children.find(
      ({ entity, field: name }) => entity === child.entity && refersTo(child.canonical[name], link),
    );
    const known =
      member !== undefined && (member.seen !== null || member.ending !== null || member.formerKeys.length > 0);
    const isShown = known && !(field !== undefined && field.field in member.agreed);
    if (isShown || child.existence === 'deleted' || !turn.entity(child.entity).systems.has(system)) return false;
    const by = field === undefined ? undefined : child.set[groupOf.get(field.field)!.name];
    if (by === undefined || by.system === system) return false;
    setter = by;
    return true;
  });
  return setter;
}

function refersTo(value: FieldValue | undefined, link: LinkDraft): boolean {
  return typeof value === 'object' && value !== null && 'link' in value && value.link === link.id;
}

const MAX_PAGES = 10;

function someChild(turn: Turn, link: LinkDraft, test: (child: LinkDraft) => boolean): boolean {
  let after: string | null = null;
  for (let page = 0; page < MAX_PAGES; page++) {
    const keys = turn.find(entry.child(link.id), PAGE, after);
    for (const key of keys) {
      const child = turn.link(linkOfKey(key));
      if (child !== null && test(child)) return true;
    }
    if (keys.length < PAGE) return false;
    after = keys.at(-1)!;
  }
  return true;
}

/**
 * Reads a child's references again: the parent has been merged into another link, has got a link of its own,
 * or another record has taken over the key it was known by.
 */
export function rereadReferences(turn: Turn, child: LinkDraft): void {
  const entity = turn.entity(child.entity);
  for (const { field } of entity.references) {
    const value = child.canonical[field];
    if (typeof value !== 'object' || value === null) continue;
    const current = rereadReference(turn, child, field, value);
    const group = entity.groupOf.get(field)!;
    if (!sameValue(current, value)) {
      const others = whoAgree(turn, child, field);
      setCanonical(turn, child, group, { [field]: current }, child.set[group.name]!);
      tellLeftBehind(turn, child, field, value, others);
    }
    for (const name in child.members) {
      const member = child.members[name]!;
      const system = entity.systems.get(name);
      const column = system?.byField.get(field);
      const image = imageOf(member);
      if (system === undefined || column === undefined || image === null) continue;
      noteAgreement(turn, child, member, system, column, image, current);
      releaseSettled(turn, child, member, group);
      if (column.inMatch) refreshShown(turn, child, system, member);
    }
    if (entity.matchFields.has(field)) refreshMatch(turn, child);
  }
  turn.queue({ what: 'link', link: child.id });
}

/** Systems other than the setter's that show the same parent: their users may have meant it. */
function whoAgree(turn: Turn, child: LinkDraft, field: string): readonly string[] {
  const entity = turn.entity(child.entity);
  const setter = child.set[entity.groupOf.get(field)!.name]!.system;
  return Object.keys(child.members).filter((name) => {
    const member = child.members[name]!;
    const isRead = entity.systems.get(name)?.byField.get(field)?.read === true;
    return name !== setter && isRead && member.seen !== null && !(field in member.agreed);
  });
}

/** The setter's reference means another parent now; where others go on to show the one that they agreed at, that gives way (I10). */
function tellLeftBehind(
  turn: Turn,
  child: LinkDraft,
  field: string,
  value: FieldValue,
  systems: readonly string[],
): void {
  const group = turn.entity(child.entity).groupOf.get(field)!;
  const verdict = { winner: 'standing' as const, rule: 'what it refers to there is another record now' };
  for (const system of systems) {
    if (!(field in child.members[system]!.agreed)) continue;
    const incoming = { system, timeMicros: null };
    tellConflict(turn, child, { kind: 'conflict', group, values: { [field]: value }, incoming, verdict });
  }
}

function rereadReference(turn: Turn, child: LinkDraft, field: string, value: Exclude<FieldValue, Value>): FieldValue {
  const entity = turn.entity(child.entity);
  const setter = child.set[entity.groupOf.get(field)!.name]!;
  if (!('link' in value)) {
    const link = resolve(turn, value.system, value.entity, value.key);
    return link === null ? value : { link: link.id };
  }
  const parent = turn.link(value.link);
  const column = entity.systems.get(setter.system)?.byField.get(field);
  const member = child.members[setter.system];
  const row: Row | null = member === undefined ? null : imageOf(member);
  const parentGone = parent === null || parent.members[setter.system]?.seen == null;
  if (parentGone && row !== null && column?.read === true && !(field in (member?.agreed ?? {}))) {
    const reread = readField(turn, column, setter.system, row[column.column] ?? null);
    if (!(reread instanceof Inconvertible) && reread !== null) return reread;
  }
  return parent === null ? value : { link: parent.id };
}

/** Writes down for every column whether it agrees, where a whole row was learned at once. */
export function noteRow(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  for (const column of system.columns) {
    noteAgreement(turn, link, member, system, column, member.seen!, link.canonical[column.field]);
  }
}
