import type { HeldFor } from './outputs.js';
import type { Hold, LinkRecord } from './state.js';
import type { LinkDraft, Turn } from './turn.js';

type Link = LinkRecord | LinkDraft;

/** Says what subscribers may know of a link's change: its current record, and holds that began or ended. `now` null: it is gone. */
export function publish(turn: Turn, before: LinkRecord | null, now: LinkDraft | null): void {
  const link = now ?? before;
  if (link === null) return;
  const wasVisible = before !== null && isVisible(before);
  const isNowVisible = now !== null && isVisible(now);
  if (isNowVisible && (!wasVisible || recordChanged(before, now))) {
    turn.outputs.push({
      kind: 'canonical',
      entity: now.entity,
      link: now.id,
      fields: now.canonical,
      keys: keysOf(turn, now),
      set: settersByField(turn, now),
    });
  } else if (wasVisible && !isNowVisible) {
    turn.outputs.push({ kind: 'canonical', entity: link.entity, link: link.id, fields: null, keys: {}, set: {} });
  }
  publishHolds(turn, before, now, link);
}

/** Records of a first snapshot are told once they are matched, so that subscribers do not see doubles (rule 10). */
function isVisible(link: Link): boolean {
  return link.existence === 'present' && link.matching !== 'first-snapshot';
}

function recordChanged(before: LinkRecord, now: LinkDraft): boolean {
  if (before.canonical !== now.canonical || before.set !== now.set) return true;
  for (const system in now.members) {
    if ((before.members[system]?.key ?? null) !== now.members[system]!.key) return true;
  }
  return false;
}

/** In the order of the plan, whatever became a member first: the same record has the same bytes. */
function keysOf(turn: Turn, link: Link): Record<string, string> {
  const keys: Record<string, string> = {};
  for (const system of turn.entity(link.entity).systems.keys()) {
    const key = link.members[system]?.key ?? null;
    if (key !== null) keys[system] = key;
  }
  return keys;
}

function settersByField(turn: Turn, link: LinkDraft): Record<string, { system: string; timeMicros: number | null }> {
  const setters: Record<string, { system: string; timeMicros: number | null }> = {};
  for (const [field, group] of turn.entity(link.entity).groupOf) {
    const setter = link.canonical[field] === undefined ? undefined : link.set[group.name];
    if (setter !== undefined) setters[field] = setter;
  }
  return setters;
}

function publishHolds(turn: Turn, before: LinkRecord | null, now: LinkDraft | null, link: Link): void {
  const { entity, id } = link;
  for (const system in link.members) {
    const was = before?.members[system]?.holds ?? NONE;
    const member = now?.members[system];
    const is = member?.holds ?? NONE;
    if (was.length === 0 && is.length === 0) continue;
    const key = member?.key ?? null;
    if (key === (before?.members[system]?.key ?? null) && sameHolds(was, is)) continue;
    const hold = is.length === 0 ? null : { key, ...holdsToTell(is) };
    turn.outputs.push({ kind: 'hold', entity, link: id, system, hold });
  }
}

const NONE: readonly Hold[] = [];

function sameHolds(left: readonly Hold[], right: readonly Hold[]): boolean {
  if (left === right) return true;
  return left.length === right.length && left.every((one, at) => sameTold(one, right[at]!));
}

function sameTold(left: Hold, right: Hold): boolean {
  return left.reason === right.reason && left.group === right.group && left.detail === right.detail;
}

/** Of several, first one that keeps the record as it is; a double is told of, but written on. */
function holdsToTell(holds: readonly Hold[]): HeldFor & { readonly others: readonly HeldFor[] } {
  const first = holds.find(({ reason }) => reason !== 'duplicate') ?? holds[0]!;
  return { ...heldFor(first), others: holds.filter((one) => one !== first).map(heldFor) };
}

function heldFor({ reason, group, detail, sinceMicros }: Hold): HeldFor {
  return { reason, group, detail, sinceMicros };
}
