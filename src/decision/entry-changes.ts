import { indexEntries, sameEntries } from './entries.js';
import { linkKey, type LinkRecord } from './state.js';

/** A link of a turn, as its index entries see it. */
export interface IndexedLink {
  readonly draft: LinkRecord;
  /** As the state has it; null for a new one. */
  readonly original: LinkRecord | null;
  removed: boolean;
  /** Index entries that the state has for it; null until asked for. */
  stored: readonly string[] | null;
  /** Those that the questions of this turn know of; null while they are the stored ones. */
  present: readonly string[] | null;
  /** Changed since `present` was made. */
  dirty: boolean;
}

const NOTHING: readonly string[] = Object.freeze([]);

/** What a turn has done to the index and the state does not know yet. Entries are made only when one is asked for. */
export class EntryChanges {
  private dirty: IndexedLink[] | null = null;
  /** By entry, keys of links that have come to it (true) or left it. */
  private changes: Map<string, Map<string, boolean>> | null = null;

  note(link: IndexedLink): void {
    if (link.dirty) return;
    link.dirty = true;
    (this.dirty ??= []).push(link);
  }

  /** The state has been told of its removal. */
  forget(link: IndexedLink): void {
    const key = linkKey(link.draft.id);
    for (const name of link.present ?? NOTHING) this.changes?.get(name)?.delete(key);
    for (const name of link.stored ?? NOTHING) this.changes?.get(name)?.delete(key);
  }

  of(name: string): ReadonlyMap<string, boolean> | null {
    if (this.dirty !== null) this.lookAtDirty(this.dirty);
    const changes = this.changes?.get(name);
    return changes === undefined || changes.size === 0 ? null : changes;
  }

  private lookAtDirty(dirty: readonly IndexedLink[]): void {
    this.dirty = null;
    for (const link of dirty) {
      link.dirty = false;
      if (link.removed) continue;
      const { draft, original } = link;
      if (original !== null && link.present === null && sameEntries(original, draft)) continue;
      const stored = (link.stored ??= original === null ? NOTHING : indexEntries(original));
      const before = link.present ?? stored;
      const now = indexEntries(draft);
      for (const name of before) if (!now.includes(name)) this.mark(name, draft.id, false, stored);
      for (const name of now) if (!before.includes(name)) this.mark(name, draft.id, true, stored);
      link.present = now;
    }
  }

  private mark(name: string, link: string, there: boolean, stored: readonly string[]): void {
    this.changes ??= new Map();
    let changes = this.changes.get(name);
    if (changes === undefined) this.changes.set(name, (changes = new Map()));
    if (stored.includes(name) === there) changes.delete(linkKey(link));
    else changes.set(linkKey(link), there);
  }
}

/** Keys of the state as the changes leave them, in order, at most `limit`: `keys` are its first ones after `after`, as many more than `limit` as there are changes. */
export function withChanges(
  keys: readonly string[],
  changes: ReadonlyMap<string, boolean>,
  after: string | null,
  limit: number,
): readonly string[] {
  const left = keys.filter((key) => changes.get(key) !== false);
  const last = left.length <= limit ? null : left[left.length - 1]!;
  const all = new Set(left);
  for (const [key, there] of changes) {
    if (there && (after === null || key > after) && (last === null || key < last)) all.add(key);
  }
  return [...all].sort().slice(0, limit);
}
