import { Inconvertible } from '../mapping/convert.js';
import { noteAgreement, refreshMatch, setCanonical } from './canonical.js';
import { byPrecedence, judge, type Verdict } from './conflict.js';
import { tellConflict } from './decisions.js';
import type { FieldValue } from './events.js';
import { hold } from './holds.js';
import { holdUnreadable, isUnread, readGroup } from './merge.js';
import type { GroupIndex, SystemIndex } from './plan-index.js';
import { agrees, sameValue } from './project.js';
import type { Setter } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

export interface FirstVerdict {
  readonly winner: Verdict['winner'] | 'same';
  readonly rule: string;
  /** A value that was there gives way: say so (I10). */
  readonly tell: boolean;
}

/**
 * Two records that existed apart become one: a merge with nothing agreed before. `leading`, `newest`, or the leading
 * system's values with empty fields filled. Fields that nobody told yet, or only a system that does not count, are filled.
 */
export function judgeFirst(
  turn: Turn,
  link: LinkDraft,
  group: GroupIndex,
  values: Readonly<Record<string, FieldValue>>,
  incoming: Setter,
  shown: (field: string) => boolean | null,
  isKept = false,
): FirstVerdict {
  const fields = Object.keys(values);
  const known = fields.filter((field) => link.canonical[field] !== undefined);
  const standing = link.set[group.name];
  const taken = (rule: string): FirstVerdict => ({ winner: 'incoming', rule, tell: false });
  if (known.length < fields.length && known.length === 0) return taken('first value');
  const same = known.every((field) => shown(field) ?? sameValue(link.canonical[field], values[field]));
  if (same) return known.length === fields.length ? { winner: 'same', rule: '', tell: false } : taken('first value');
  if (standing === undefined || isUnread(turn, link, standing, group)) return taken('the other system is not read');
  if (isUnread(turn, link, incoming, group))
    return { winner: 'standing', rule: 'this system is not read', tell: false };
  const { first } = turn.entity(link.entity).plan.conflict;
  const tell = (verdict: Verdict): FirstVerdict => ({ ...verdict, tell: true });
  switch (first) {
    case 'newest':
      return tell(judge(turn.index, { ...group.rule, policy: 'newest' }, standing, incoming));
    case 'leading':
      return tell(byPrecedence(turn.index, group.rule, standing, incoming, 'first link: leading'));
    case 'fill': {
      if (fields.every((field) => values[field] === null))
        return { winner: 'standing', rule: 'filled', tell: isKept || mayBeCleared(link, incoming) };
      if (known.every((field) => link.canonical[field] === null))
        return { winner: 'incoming', rule: 'filled', tell: mayBeCleared(link, standing) };
      return tell(byPrecedence(turn.index, group.rule, standing, incoming, 'first link: leading, empty fields filled'));
    }
  }
}

/**
 * An empty field is filled without a word where nobody is known to have wanted it empty. Where two records shared it,
 * one of them perhaps still on its way, with a time, somebody may have cleared it: that gives way with a decision (I10).
 */
function mayBeCleared(link: LinkDraft, { timeMicros }: Setter): boolean {
  if (timeMicros === null) return false;
  const members = Object.values(link.members);
  return members.filter(({ seen, inFlight }) => seen !== null || inFlight?.operation === 'insert').length > 2;
}

/**
 * Merges a record that has just joined a link; `seen` shows it already. With `fields`, only those are looked at. One that
 * was kept has been of this link before: what is empty in it may have been cleared.
 */
export function mergeFirst(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  setter: Setter,
  fields: ReadonlySet<string> | null = null,
  isKept = false,
): void {
  const row = member.seen!;
  const concerned = fields === null ? system.columns : system.columns.filter(({ field }) => fields.has(field));
  for (const column of concerned) noteAgreement(turn, link, member, system, column, row, undefined);
  for (const group of system.entity.groups.values()) {
    const columns = concerned.filter(
      (column) => column.group === group && (column.read || link.canonical[column.field] === undefined),
    );
    if (columns.length === 0) continue;
    const values = readGroup(turn, system, columns, row);
    if (values instanceof Inconvertible) {
      if (!system.reads) continue;
      holdUnreadable(turn, link, member, group, values);
      continue;
    }
    const shown = (field: string) =>
      agrees(
        turn,
        system.byField.get(field)!,
        system.system,
        row[system.byField.get(field)!.column] ?? null,
        link.canonical[field],
      );
    const verdict = judgeFirst(turn, link, group, values, setter, shown, isKept);
    if (verdict.winner === 'same') continue;
    if (verdict.tell) {
      const told = { winner: verdict.winner, rule: verdict.rule };
      tellConflict(turn, link, { kind: 'first-link', group, values, incoming: setter, verdict: told });
    }
    if (verdict.winner === 'incoming') setCanonical(turn, link, group, values, setter);
    if (verdict.winner === 'nobody') {
      hold(turn, link, member, { reason: 'conflict', group: group.name, detail: `${group.name}: ${verdict.rule}` });
    }
  }
}

/** Records that a policy kept while their link was deleted are records like others again: what their users wrote meanwhile counts. */
export function mergeKept(turn: Turn, link: LinkDraft, systems: readonly string[]): void {
  for (const name of systems) {
    const system = turn.system(link.entity, name);
    mergeFirst(turn, link, system, link.members[name]!, { system: name, timeMicros: null }, null, true);
  }
}

/** A link of its own for a record: the canonical is what the row says, at once and without a decision. */
export function takeWholeRow(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  setter: Setter,
): void {
  const row = member.seen!;
  const canonical: Record<string, FieldValue> = {};
  const set: Record<string, Setter> = {};
  for (const group of system.entity.groups.values()) {
    const columns = system.columns.filter((column) => column.group === group);
    if (columns.length === 0) continue;
    const values = readGroup(turn, system, columns, row);
    if (!(values instanceof Inconvertible)) {
      Object.assign(canonical, values);
      set[group.name] = setter;
    } else if (system.reads) {
      holdUnreadable(turn, link, member, group, values);
    }
  }
  link.canonical = canonical;
  link.set = set;
  link.moves++;
  refreshMatch(turn, link);
  turn.changed(link);
}
