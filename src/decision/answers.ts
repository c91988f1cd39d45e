import { Inconvertible } from '../mapping/convert.js';
import type { Row } from '../model/value.js';
import { setCanonical } from './canonical.js';
import { tell, tellConflict, tellDeletions } from './decisions.js';
import { markDeleted } from './deletes.js';
import type { AnswerEvent } from './events.js';
import { release } from './holds.js';
import { mergeColumns, readColumns, readGroup } from './merge.js';
import type { SystemIndex } from './plan-index.js';
import { queueChildren } from './references.js';
import type { LinkDraft, Turn } from './turn.js';

/**
 * Rule 9: an answer is given for what its person saw. If a record has moved since, it is not applied: the hold stays,
 * and the decision topic says so.
 */
export function observeAnswer(turn: Turn, event: AnswerEvent): void {
  const link = turn.link(event.link);
  const system = turn.index.entities.get(event.entity)?.systems.get(event.winner);
  if (link === null || system === undefined || link.entity !== event.entity) return;
  if (!isUpToDate(turn, link, event)) {
    tell(turn, link, 'ignored', event.group, [], null, 'answer: a record has changed since it was given');
    return;
  }
  if (event.group === null) answerExistence(turn, link, system, event);
  else answerGroup(turn, link, system, event.group, event.timeMicros);
}

function isUpToDate(turn: Turn, link: LinkDraft, event: AnswerEvent): boolean {
  for (const system of turn.entity(link.entity).systems.values()) {
    const now = link.members[system.system]?.seen ?? null;
    const then = event.seen[system.system] ?? null;
    if ((now === null) !== (then === null) || (now !== null && !sameColumns(system, now, then!))) return false;
  }
  return true;
}

function sameColumns(system: SystemIndex, left: Row, right: Row): boolean {
  return system.columns.every(({ column }) => (left[column] ?? null) === (right[column] ?? null));
}

function answerGroup(turn: Turn, link: LinkDraft, system: SystemIndex, name: string, timeMicros: number): void {
  const group = system.entity.groups.get(name);
  const row = link.members[system.system]?.seen;
  if (group === undefined || row == null) return;
  const values = readGroup(turn, system, readColumns(system, group), row);
  if (values instanceof Inconvertible) return;
  const incoming = { system: system.system, timeMicros };
  tellConflict(turn, link, {
    kind: 'conflict',
    group,
    values,
    incoming,
    verdict: { winner: 'incoming', rule: 'a person' },
  });
  releaseConflicts(turn, link, name);
  setCanonical(turn, link, group, values, incoming);
}

function answerExistence(turn: Turn, link: LinkDraft, system: SystemIndex, event: AnswerEvent): void {
  const isThere = link.members[system.system]?.seen != null;
  const record = isThere ? { system: system.system, timeMicros: event.timeMicros } : null;
  const told = { record, values: isThere ? link.canonical : {}, winner: system.system, rule: 'a person' };
  tellDeletions(turn, link, { kind: 'update-delete', ...told });
  releaseConflicts(turn, link, null);
  if (isThere) {
    link.existence = 'present';
    link.deletions = [];
    link.moves++;
    queueChildren(turn, link);
    turn.changed(link);
    takeRow(turn, link, system, event.timeMicros);
  } else if (link.existence === 'present') {
    markDeleted(turn, link);
  }
}

/** What the record shows stands as a whole, edits included that gave way to the deletion. */
function takeRow(turn: Turn, link: LinkDraft, system: SystemIndex, timeMicros: number): void {
  const member = link.members[system.system]!;
  const differing = system.columns.filter(({ field }) => field in member.agreed);
  const setter = { system: system.system, timeMicros };
  mergeColumns(turn, link, system, member, differing, { by: 'user', setter: () => setter });
}

function releaseConflicts(turn: Turn, link: LinkDraft, group: string | null): void {
  for (const name in link.members) {
    release(turn, link, link.members[name]!, (one) => one.reason === 'conflict' && one.group === group);
  }
  turn.queue({ what: 'link', link: link.id });
}
