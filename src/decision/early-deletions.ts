import { judge, type Verdict } from './conflict.js';
import { tellDeletions } from './decisions.js';
import { markDeleted } from './deletes.js';
import { hold } from './holds.js';
import { occupied } from './match.js';
import { mergeLinks } from './merge-links.js';
import { partnerOf } from './partners.js';
import type { Setter } from './state.js';
import type { LinkDraft, Turn } from './turn.js';

/**
 * Rule 10: somebody deleted a record while another system's were still being read: that which has the same match value
 * is meant, if it was read and not created since. It dies of a deletion that has never seen it, so that is told (I10).
 */
export function matchDeletion(turn: Turn, dead: LinkDraft): void {
  const last = dead.deletions.at(-1);
  if (dead.matching === 'unlinked' || last === undefined) return;
  const partner = partnerOf(turn, dead, [...dead.firstMatch, ...dead.match], true);
  if (partner === null || partner === 'several' || !wasRead(partner)) return;
  if (dead.deletions.some(({ system }) => occupied(partner.members[system]))) return;
  mergeLinks(turn, partner, dead, null);
  const deletion: Setter = { system: last.system, timeMicros: last.timeMicros };
  const edited = latestEdit(partner);
  const verdict: Verdict =
    edited === null
      ? { winner: 'incoming', rule: 'deleted while first snapshots were read' }
      : judge(turn.index, turn.entity(partner.entity).plan.conflict, edited, deletion);
  const record = edited ?? Object.values(partner.set)[0] ?? null;
  const winner = { standing: record?.system ?? null, incoming: last.system, nobody: null }[verdict.winner];
  tellDeletions(turn, partner, {
    kind: 'update-delete',
    record,
    values: partner.canonical,
    winner,
    rule: verdict.rule,
  });
  switch (verdict.winner) {
    case 'incoming':
      markDeleted(turn, partner);
      return;
    case 'standing':
      partner.deletions = [];
      return;
    case 'nobody': {
      const member = turn.member(partner, last.system);
      hold(turn, partner, member, { reason: 'conflict', group: null, detail: `deleted here: ${verdict.rule}` });
    }
  }
}

function wasRead(link: LinkDraft): boolean {
  return Object.values(link.members).every(({ seen, transaction }) => seen === null || transaction === null);
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
