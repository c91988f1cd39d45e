import { queueMatches, refreshMatch } from './canonical.js';
import { judge } from './conflict.js';
import { tellDeletions } from './decisions.js';
import { markDeleted, observeDeletion } from './deletes.js';
import { entry } from './entries.js';
import type { EndSeen, FieldValue } from './events.js';
import { allSnapshotsEnded } from './gates.js';
import { occupied } from './match.js';
import { mergeLinks } from './merge-links.js';
import type { SystemIndex } from './plan-index.js';
import { sameValue } from './project.js';
import { linkOfKey, type Setter, type SnapshotProgress } from './state.js';
import type { LinkDraft, Turn } from './turn.js';
import type { SnapshotPhase } from './work.js';

/**
 * The first snapshot of an entity in a system (rule 10, I12). Until its end its records stand alone: no match, no
 * command. Then, in steps: match by the present value; by the first value seen; then the deletions seen meanwhile.
 * Once all systems have ended, inserts may go. A resync stops nothing: only what it did not show waits for its end.
 */
export function observeSnapshot(turn: Turn, event: EndSeen): void {
  const { system, entity } = event;
  if (turn.index.entities.get(entity)?.systems.has(system) !== true) return;
  const progress = turn.sync.snapshots[`${system}/${entity}`];
  if (event.end === 'snapshot-begin') {
    const number = (progress?.number ?? 0) + 1;
    const phase = progress?.phase === 'matching' ? 'matching' : 'reading';
    const first = progress === undefined || (progress.first && progress.phase !== 'ended');
    setProgress(turn, system, entity, { phase, first, number });
    return;
  }
  const { first, number } = progress ?? { first: true, number: 0 };
  if (number > 1) turn.queue({ what: 'vanished', system, entity, snapshot: number });
  if (progress?.phase === 'matching' || progress?.phase === 'ended') return;
  setProgress(turn, system, entity, { phase: first ? 'matching' : 'ended', first, number });
  if (first) turn.queue({ what: 'snapshot', system, entity, phase: 'present' });
}

function setProgress(turn: Turn, system: string, entity: string, progress: SnapshotProgress): void {
  turn.setSync({ snapshots: { ...turn.sync.snapshots, [`${system}/${entity}`]: progress } });
}

/** The index that a phase walks over. */
export function entryOfPhase(system: string, entity: string, phase: SnapshotPhase): string {
  switch (phase) {
    case 'present':
    case 'first':
      return entry.unmatched(system, entity);
    case 'deletions':
    case 'forget-deletions':
      return entry.dead(entity);
  }
}

export function visitInPhase(turn: Turn, link: LinkDraft, phase: SnapshotPhase): void {
  switch (phase) {
    case 'present':
      if (stillAlone(link)) matchByPresent(turn, link);
      return;
    case 'first':
      if (stillAlone(link)) matchByFirst(turn, link);
      return;
    case 'deletions':
      matchDeletion(turn, link);
      return;
    case 'forget-deletions':
      link.firstMatch = [];
      link.matching = link.matching === 'first-snapshot' ? 'open' : link.matching;
      turn.changed(link);
      turn.queue({ what: 'link', link: link.id });
  }
}

function stillAlone(link: LinkDraft): boolean {
  return link.existence === 'present' && link.matching === 'first-snapshot';
}

/** What follows when a phase has been through all its links. */
export function finishPhase(turn: Turn, system: string, entity: string, phase: SnapshotPhase): void {
  switch (phase) {
    case 'present':
      turn.queue({ what: 'snapshot', system, entity, phase: 'first' });
      return;
    case 'first':
      turn.queue({ what: 'snapshot', system, entity, phase: 'deletions' });
      return;
    case 'deletions':
      setProgress(turn, system, entity, { ...turn.sync.snapshots[`${system}/${entity}`]!, phase: 'ended' });
      if (!allSnapshotsEnded(turn, entity)) {
        turn.queue({ what: 'all', system, entity });
        return;
      }
      turn.queue({ what: 'snapshot', system, entity, phase: 'forget-deletions' });
      for (const name of turn.entity(entity).systems.keys()) turn.queue({ what: 'all', system: name, entity });
      return;
    case 'forget-deletions':
      return;
  }
}

function matchByPresent(turn: Turn, link: LinkDraft): void {
  const partner = partnerOf(turn, link, link.match, false);
  if (partner === 'several') open(turn, link);
  else if (partner !== null) mergeLinks(turn, partner, link, 'first-link');
  else if (link.firstMatch.length === 0 && !anyFirst(turn, link)) open(turn, link);
}

function matchByFirst(turn: Turn, link: LinkDraft): void {
  const partner = partnerOf(turn, link, [...link.match, ...link.firstMatch], true);
  if (partner !== null && partner !== 'several') mergeLinks(turn, partner, link, 'first-link');
  else open(turn, link);
}

function open(turn: Turn, link: LinkDraft): void {
  link.matching = 'open';
  turn.changed(link);
  refreshMatch(turn, link);
  queueMatches(turn, link.entity, link.match);
}

function anyFirst(turn: Turn, link: LinkDraft): boolean {
  return link.match.some((match) =>
    turn.find(entry.first(link.entity, match), 2).some((key) => linkOfKey(key) !== link.id),
  );
}

/** The only live link with one of the values that lacks a record in every system where this one has one (rule 1). */
function partnerOf(
  turn: Turn,
  link: LinkDraft,
  matches: readonly string[],
  byFirst: boolean,
): LinkDraft | 'several' | null {
  for (const match of matches) {
    const keys = new Set(turn.find(entry.match(link.entity, match), 3));
    if (byFirst) for (const key of turn.find(entry.first(link.entity, match), 10)) keys.add(key);
    const links = [...keys]
      .map((key) => turn.link(linkOfKey(key))!)
      .filter((other) => other.id !== link.id && other.matching === 'open' && other.existence === 'present');
    if (links.length === 0) continue;
    const only = links.length === 1 ? links[0]! : null;
    return only !== null && sharesNoSystem(only, link) ? only : 'several';
  }
  return null;
}

function sharesNoSystem(left: LinkDraft, right: LinkDraft): boolean {
  return Object.keys(right.members).every(
    (system) => !occupied(right.members[system]) || !occupied(left.members[system]),
  );
}

/** Somebody deleted the record while another system's was still being read: that is the record meant, if it was read and not created since. */
function matchDeletion(turn: Turn, dead: LinkDraft): void {
  if (dead.matching === 'unlinked') return;
  const partner = partnerOf(turn, dead, [...dead.firstMatch, ...dead.match], true);
  if (partner === null || partner === 'several') return;
  if (Object.values(partner.members).some(({ seen, transaction }) => seen !== null && transaction !== null)) return;
  if (dead.deletions.some(({ system }) => occupied(partner.members[system]))) return;
  const { deletions } = dead;
  const last = deletions.at(-1);
  if (last === undefined) return;
  const unseen = unseenByDeletion(partner, dead);
  mergeLinks(turn, partner, dead, null);
  const edited = latestEdit(partner);
  const deletion: Setter = { system: last.system, timeMicros: last.timeMicros };
  const { conflict } = turn.entity(partner.entity).plan;
  const verdict = edited === null ? null : judge(turn.index, conflict, edited, deletion);
  const record = edited ?? setterOf(turn, partner, unseen);
  if (record !== null) {
    const winner = verdict?.winner === 'standing' ? record.system : last.system;
    const rule = verdict?.rule ?? 'deleted while the first snapshots were read';
    const values = edited === null ? unseen : partner.canonical;
    tellDeletions(turn, partner, { kind: 'update-delete', record, values, winner, rule });
  }
  if (verdict?.winner === 'standing') partner.deletions = [];
  else markDeleted(turn, partner);
}

/** What the record shows that the deleted one did not: whoever deleted that has not seen it (I10). */
function unseenByDeletion(link: LinkDraft, dead: LinkDraft): Record<string, FieldValue> {
  const values = Object.entries(link.canonical);
  return Object.fromEntries(
    values.filter(([field, value]) => value !== null && !sameValue(value, dead.canonical[field])),
  );
}

function setterOf(turn: Turn, link: LinkDraft, values: Readonly<Record<string, FieldValue>>): Setter | null {
  const { groupOf } = turn.entity(link.entity);
  for (const field in values) return link.set[groupOf.get(field)!.name] ?? null;
  return null;
}

/** The last value that somebody set since the start; null if all come from snapshots. */
function latestEdit(link: LinkDraft): Setter | null {
  let latest: Setter | null = null;
  for (const group in link.set) {
    const setter = link.set[group]!;
    if (setter.timeMicros !== null && (latest === null || setter.timeMicros > latest.timeMicros!)) latest = setter;
  }
  return latest;
}

/** A resync did not show the record: it vanished while nobody looked. */
export function visitVanished(turn: Turn, link: LinkDraft, system: SystemIndex, snapshot: number): void {
  const member = link.members[system.system];
  if (member === undefined || member.seen === null || member.snapshot >= snapshot) return;
  observeDeletion(turn, link, system, member, { timeMicros: null, transaction: null });
}
