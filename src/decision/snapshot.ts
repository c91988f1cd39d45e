import { queueMatches, refreshMatch } from './canonical.js';
import { matchDeletion } from './early-deletions.js';
import { entry } from './entries.js';
import type { EndSeen } from './events.js';
import { allSnapshotsEnded } from './gates.js';
import { mergeLinks } from './merge-links.js';
import { partnerOf } from './partners.js';
import { observeGap, queueDoubts } from './resync.js';
import { related } from './related.js';
import type { SnapshotProgress } from './state.js';
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
  if (event.end === 'gap') return observeGap(turn, event);
  const progress = turn.sync.snapshots[`${system}/${entity}`];
  if (event.end === 'snapshot-begin') {
    const number = (progress?.number ?? 0) + 1;
    const phase = progress?.phase === 'matching' ? 'matching' : 'reading';
    const first = progress === undefined || (progress.first && progress.phase !== 'ended');
    setProgress(turn, system, entity, { ...progress, phase, first, number });
    return;
  }
  const { first, number } = progress ?? { first: true, number: 0 };
  const { request } = progress ?? {};
  const answered = { ...progress, ...(request === undefined ? {} : { answered: request }), first, number };
  // Where nothing is captured no row was shown: only what is in doubt is asked.
  const { captured } = turn.system(entity, system).plan;
  if (number > 1 && captured) turn.queue({ what: 'vanished', system, entity, snapshot: number });
  queueDoubts(turn, system, entity, number);
  if (progress?.phase === 'matching' || progress?.phase === 'ended') {
    if (progress.answered !== request) setProgress(turn, system, entity, { ...answered, phase: progress.phase });
    return;
  }
  setProgress(turn, system, entity, { ...answered, phase: first && captured ? 'matching' : 'ended' });
  if (first && captured) turn.queue({ what: 'snapshot', system, entity, phase: 'present' });
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
      if (turn.find(entry.unmatched(system, entity), 1).length > 0) {
        // They came while their system's others were being matched.
        turn.queue({ what: 'snapshot', system, entity, phase: 'present' });
        return;
      }
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
  return link.match.some((match) => {
    const hadFirst = (other: LinkDraft) => other.id !== link.id && other.firstMatch.includes(match);
    return related(turn, link.entity, match, hadFirst, 1).length > 0;
  });
}
