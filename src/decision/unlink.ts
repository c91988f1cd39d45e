import { refreshMatch, setGone } from './canonical.js';
import { place } from './deletes.js';
import { mergeFirst } from './first-link.js';
import { hold } from './holds.js';
import type { SystemIndex } from './plan-index.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/** Delete policy `unlink`: the record stays, in a link of its own that is not matched again by itself. */
export function splitOff(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const { key, seen } = member;
  const own = turn.newLink(link.entity);
  own.matching = 'unlinked';
  setGone(turn, link, system, member);
  member.formerKeys = member.formerKeys.filter((one) => one !== key);
  member.holds = [];
  const placed = place(turn, own, system, key!, seen!, null);
  mergeFirst(turn, own, system, placed, { system: system.system, timeMicros: turn.timeMicros });
  refreshMatch(turn, own);
  for (const other of system.entity.systems.values()) {
    if (other === system || !other.plan.written) continue;
    const detail = 'taken out of its link by the delete policy: it is not matched again by itself';
    hold(turn, own, turn.member(own, other.system), { reason: 'approval', group: null, detail });
  }
}
