import type { Hold, LinkRecord, Member } from './state.js';
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
      keys: keysOf(now),
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

function keysOf(link: Link): Record<string, string> {
  const keys: Record<string, string> = {};
  for (const system in link.members) {
    const key = link.members[system]!.key;
    if (key !== null) keys[system] = key;
  }
  return keys;
}

function settersByField(turn: Turn, link: LinkDraft): Record<string, { system: string; timeMicros: number | null }> {
  const setters: Record<string, { system: string; timeMicros: number | null }> = {};
  const { groupOf } = turn.entity(link.entity);
  for (const field in link.canonical) {
    const setter = link.set[groupOf.get(field)?.name ?? field];
    if (setter !== undefined) setters[field] = setter;
  }
  return setters;
}

function publishHolds(turn: Turn, before: LinkRecord | null, now: LinkDraft | null, link: Link): void {
  for (const system in link.members) {
    const was = holdToTell(before?.members[system]);
    const member = now?.members[system];
    const is = holdToTell(member);
    const key = member?.key ?? null;
    const sameKey = key === (before?.members[system]?.key ?? null);
    if (was === is && (is === undefined || sameKey)) continue;
    if (is === undefined) {
      turn.outputs.push({ kind: 'hold', entity: link.entity, link: link.id, system, hold: null });
    } else if (was === undefined || was.reason !== is.reason || was.detail !== is.detail || !sameKey) {
      const { reason, detail, sinceMicros } = is;
      const hold = { reason, detail, key, sinceMicros };
      turn.outputs.push({ kind: 'hold', entity: link.entity, link: link.id, system, hold });
    }
  }
}

/** Of several the first that keeps the record as it is; a double is told of, but written on. */
function holdToTell(member: Member | undefined): Hold | undefined {
  return member?.holds.find(({ reason }) => reason !== 'duplicate') ?? member?.holds[0];
}
