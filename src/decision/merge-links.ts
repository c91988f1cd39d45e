import { noteAgreement, queueMatches, refreshMatch, releaseSettled, setCanonical, withKey } from './canonical.js';
import { tellConflict } from './decisions.js';
import { judgeFirst } from './first-link.js';
import { hold } from './holds.js';
import { agrees, imageOf } from './project.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * Rule 2: one link becomes part of another; its id leads there from now on. Where their values differ, `kind` says what
 * the decision is called; null takes over no values.
 */
export function mergeLinks(
  turn: Turn,
  into: LinkDraft,
  from: LinkDraft,
  kind: 'merged-links' | 'first-link' | null,
): void {
  queueMatches(turn, into.entity, into.match, from.match);
  for (const name in from.members) {
    into.members[name] = mergeMembers(into.members[name], from.members[name]!);
  }
  into.deletions = [...into.deletions, ...from.deletions];
  into.moves++;
  if (into.firstMatch.length === 0) into.firstMatch = from.firstMatch;
  turn.changed(into);
  turn.remove(from, { to: into.id });
  if (kind !== null) mergeValues(turn, into, from, kind);
  refreshAgreement(turn, into);
  refreshMatch(turn, into);
  if (turn.entity(into.entity).plan.children.length > 0) {
    turn.queue({ what: 'children', link: from.id });
    // In the systems that only one of them knew, the other's children have a parent's key now.
    turn.queue({ what: 'children', link: into.id });
  }
  turn.queue({ what: 'link', link: into.id });
}

function mergeValues(turn: Turn, into: LinkDraft, from: LinkDraft, kind: 'merged-links' | 'first-link'): void {
  for (const group of turn.entity(into.entity).groups.values()) {
    const values = Object.fromEntries(
      group.fields.flatMap((field) => (from.canonical[field] === undefined ? [] : [[field, from.canonical[field]]])),
    );
    const incoming = from.set[group.name];
    if (incoming === undefined || Object.keys(values).length === 0) continue;
    const verdict = judgeFirst(turn, into, group, values, incoming, shownBy(turn, into, incoming.system));
    if (verdict.winner !== 'same' && verdict.tell) {
      const told = { winner: verdict.winner, rule: verdict.rule };
      tellConflict(turn, into, { kind, group, values, incoming, verdict: told });
    }
    if (verdict.winner === 'incoming') setCanonical(turn, into, group, values, incoming);
    const member = into.members[incoming.system];
    if (verdict.winner === 'nobody' && member !== undefined) {
      hold(turn, into, member, { reason: 'conflict', group: group.name, detail: `${group.name}: ${verdict.rule}` });
    }
  }
}

/** Compares by what the system shows, where it shows the value; else the values themselves. */
function shownBy(turn: Turn, link: LinkDraft, system: string): (field: string) => boolean | null {
  const columns = turn.entity(link.entity).systems.get(system)?.byField;
  const member = link.members[system];
  const image = member === undefined ? null : imageOf(member);
  return (field) => {
    const column = columns?.get(field);
    if (column === undefined || image === null) return null;
    return agrees(turn, column, system, image[column.column] ?? null, link.canonical[field]);
  };
}

/** Both lack a record, or one has it: that one's place is taken over, with every key that ever led to either. */
function mergeMembers(left: MemberDraft | undefined, right: MemberDraft): MemberDraft {
  if (left === undefined) return right;
  const rightCounts = right.seen !== null || (left.seen === null && (right.ending !== null || right.inFlight !== null));
  const [main, other] = rightCounts ? [right, left] : [left, right];
  let formerKeys = main.formerKeys;
  for (const key of other.formerKeys) formerKeys = withKey(formerKeys, key);
  if (other.ending !== null) formerKeys = withKey(formerKeys, other.ending.key);
  return {
    ...main,
    formerKeys,
    inFlight: main.inFlight ?? other.inFlight,
    moves: Math.max(left.moves, right.moves) + 1,
    movedAfter: Math.max(left.movedAfter, right.movedAfter),
  };
}

function refreshAgreement(turn: Turn, link: LinkDraft): void {
  const entity = turn.entity(link.entity);
  for (const name in link.members) {
    const member = link.members[name]!;
    const system = entity.systems.get(name);
    const image = imageOf(member);
    if (system === undefined || image === null) continue;
    for (const column of system.columns) noteAgreement(turn, link, member, system, column, image, undefined);
    for (const group of entity.groups.values()) releaseSettled(turn, link, member, group);
  }
}
