import type { Row } from '../model/value.js';
import { queueMatches, setGone, setSeen } from './canonical.js';
import { judge, type Verdict } from './conflict.js';
import { tellDeletions } from './decisions.js';
import { allSnapshotsEnded } from './gates.js';
import { hold, release } from './holds.js';
import { knew } from './merge.js';
import type { MappedColumn, SystemIndex } from './plan-index.js';
import { childUnknownTo, queueChildren, touchParents } from './references.js';
import type { Setter } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** A record was deleted in its own system, by somebody else than us. */
export interface Vanished {
  readonly timeMicros: number | null;
  /** The transaction whose `end` will come; null where the deletion is final at once (a soft-delete flag, a resync). */
  readonly transaction: string | null;
}

/**
 * Existence is merged like a field, with "absent" for N. A physical deletion waits for the end of its transaction,
 * for it may prove to be half of a key change (rule 11).
 */
export function observeDeletion(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  vanished: Vanished,
): void {
  touchParents(turn, link, system, member);
  const key = member.key!;
  const seen = member.seen!;
  release(turn, link, member, () => true);
  if (link.matching === 'first-snapshot') {
    buryUnmatched(turn, link, system, member, vanished, key);
  } else if (vanished.transaction === null || link.existence === 'deleted') {
    concludeDeletion(turn, link, system, member, key, vanished.timeMicros);
  } else {
    member.ending = { transaction: vanished.transaction, timeMicros: vanished.timeMicros, key, seen };
    member.key = null;
    member.seen = null;
    member.moves++;
    member.movedAfter = turn.sync.lastCommand;
    turn.changed(link);
  }
}

/** Deleted before its system's first snapshot ended: what it was the same as may be read yet (rule 10). */
function buryUnmatched(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  vanished: Vanished,
  key: string,
): void {
  if (link.firstMatch.length === 0) link.firstMatch = link.match;
  link.existence = 'deleted';
  link.deletions = [{ system: system.system, key, timeMicros: vanished.timeMicros }];
  setGone(turn, link, system, member);
}

/** The transaction that deleted the member's record is over, and it was no key change. */
export function endDeletion(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const { key, timeMicros } = member.ending!;
  concludeDeletion(turn, link, system, member, key, timeMicros);
}

/** Clean if nobody else changed a field that is written to S since S agreed; else update against delete. */
function concludeDeletion(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  key: string,
  timeMicros: number | null,
): void {
  const deletion: Setter = { system: system.system, timeMicros };
  const against = link.existence === 'present' ? unseenBy(turn, link, system, member) : null;
  setGone(turn, link, system, member);
  if (!system.reads) {
    if (!hasSource(turn, link)) markDeleted(turn, link);
    return;
  }
  link.deletions = [...link.deletions, { system: system.system, key, timeMicros }];
  if (link.existence === 'deleted') return;
  if (against === null) {
    markDeleted(turn, link);
    return;
  }
  // Where the last record goes nobody is left to want it, whatever has not been seen.
  const verdict: Verdict = hasSource(turn, link)
    ? judge(turn.index, turn.entity(link.entity).plan.conflict, against.setter, deletion)
    : { winner: 'incoming', rule: 'deleted everywhere' };
  const winner = { standing: against.setter.system, incoming: system.system, nobody: null }[verdict.winner];
  const values = Object.fromEntries(against.fields.map((field) => [field, link.canonical[field] ?? null]));
  tellDeletions(turn, link, { kind: 'update-delete', record: against.setter, values, winner, rule: verdict.rule });
  switch (verdict.winner) {
    case 'incoming':
      markDeleted(turn, link);
      return;
    case 'standing':
      link.deletions = [];
      return;
    case 'nobody':
      hold(turn, link, member, { reason: 'conflict', group: null, detail: `deleted here: ${verdict.rule}` });
  }
}

/** What somebody else changed and the deleting system had not seen: fields written to it, or a new child (rule 12). */
function unseenBy(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
): { readonly setter: Setter; readonly fields: readonly string[] } | null {
  let setter: Setter | null = null;
  const fields: string[] = [];
  for (const field in member.agreed) {
    const column = system.byField.get(field);
    const by = column?.write === true ? setterUnseen(link, system, member, column) : null;
    if (by === null) continue;
    fields.push(field);
    if (setter === null || (by.timeMicros ?? -1) > (setter.timeMicros ?? -1)) setter = by;
  }
  setter ??= childUnknownTo(turn, link, system.system);
  return setter === null ? null : { setter, fields };
}

/**
 * Who set a value that the system does not show, if somebody else did. A group that is read in part only has the system as
 * its setter although the value that is not read there may be another's: it is, where it has changed since both last met.
 */
function setterUnseen(link: LinkDraft, system: SystemIndex, member: MemberDraft, column: MappedColumn): Setter | null {
  const by = link.set[column.group.name];
  if (by === undefined || by.system !== system.system) return by ?? null;
  if (column.read || knew(link, member, column.field)) return null;
  for (const other of system.entity.systems.values()) {
    if (other === system || link.members[other.system]?.seen == null) continue;
    if (other.byField.get(column.field)?.read === true) return { system: other.system, timeMicros: by.timeMicros };
  }
  return null;
}

/** The link shall be absent everywhere; each system's delete policy says how (reconcile.ts). */
export function markDeleted(turn: Turn, link: LinkDraft): void {
  link.existence = 'deleted';
  link.moves++;
  if (link.firstMatch.length === 0 && !allSnapshotsEnded(turn, link.entity)) link.firstMatch = link.match;
  queueMatches(turn, link.entity, link.match);
  for (const name in link.members) {
    const member = link.members[name]!;
    release(turn, link, member, (one) => one.reason !== 'failed' && one.reason !== 'refused');
  }
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
}

/**
 * The link shall exist again, with the reason; the deletions that this undoes are named (rule 5). Gives the systems whose
 * policy had kept a record: its edits went nowhere, so that it is to be merged as if it were met for the first time.
 */
export function revive(
  turn: Turn,
  link: LinkDraft,
  by: Setter,
  values: Readonly<Record<string, never>> | Parameters<typeof tellDeletions>[2]['values'],
  rule: string,
): readonly string[] {
  if (link.deletions.length > 0) {
    tellDeletions(turn, link, { kind: 'revived', record: by, values, winner: by.system, rule });
  }
  link.existence = 'present';
  link.deletions = [];
  link.tombstoneMicros = null;
  link.moves++;
  const kept: string[] = [];
  for (const name in link.members) {
    const member = link.members[name]!;
    if (member.kept) kept.push(name);
    member.kept = false;
    // Whether it lives was what a person had to say.
    release(turn, link, member, (one) => one.reason === 'conflict' && one.group === null);
  }
  queueMatches(turn, link.entity, link.match);
  queueChildren(turn, link);
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
  return kept;
}

/** A record changed that is to be deleted: update against delete. If the link lives on, what `revive` gives, else null. */
export function editOfDeleted(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  by: Setter,
  values: Parameters<typeof tellDeletions>[2]['values'],
): readonly string[] | null {
  const last = link.deletions.at(-1);
  const deletion: Setter = { system: last?.system ?? system.system, timeMicros: last?.timeMicros ?? null };
  const verdict = judge(turn.index, turn.entity(link.entity).plan.conflict, deletion, by);
  switch (verdict.winner) {
    case 'incoming':
      return revive(turn, link, by, values, verdict.rule);
    case 'standing':
      tellDeletions(turn, link, {
        kind: 'update-delete',
        record: by,
        values,
        winner: deletion.system,
        rule: verdict.rule,
      });
      return null;
    case 'nobody':
      tellDeletions(turn, link, { kind: 'update-delete', record: by, values, winner: null, rule: verdict.rule });
      hold(turn, link, member, {
        reason: 'conflict',
        group: null,
        detail: `changed here, deleted elsewhere: ${verdict.rule}`,
      });
      return null;
  }
}

/** Some system whose records count has one, or has it ending. */
export function hasSource(turn: Turn, link: LinkDraft): boolean {
  for (const system of turn.entity(link.entity).systems.values()) {
    const member = link.members[system.system];
    if (system.reads && member !== undefined && (member.seen !== null || member.ending !== null)) return true;
  }
  return false;
}

/**
 * Somebody whose records count has one, or told of one that a delete of ours then took although the link lived again: that
 * was on its way already, and an edit there had been undone, so that it met what it expected.
 */
export function isWanted(turn: Turn, link: LinkDraft): boolean {
  if (hasSource(turn, link)) return true;
  const { systems } = turn.entity(link.entity);
  return Object.values(link.set).some((setter) => systems.get(setter.system)?.reads === true);
}

/** Takes a record over into a link in which its system has none. */
export function place(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  key: string,
  row: Row,
  transaction: string | null,
): MemberDraft {
  const member = turn.member(link, system.system);
  member.holds = [];
  member.transaction = transaction;
  member.agreed = {};
  // Its own users have taken a disputed deletion back.
  link.deletions = link.deletions.filter((one) => one.system !== system.system);
  setSeen(turn, link, system, member, key, row);
  return member;
}
