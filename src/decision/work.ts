/**
 * Something to look at again after a change. Every kind is safe to repeat and to delay, so that what exceeds
 * one event's share becomes a cursor and goes on with `continue` events.
 */
export type Work =
  /** Reconcile one link. */
  | { readonly what: 'link'; readonly link: string }
  /** A match value appeared on a link or record, or went: merges, releases of duplicates, inserts (rules 1–3). */
  | { readonly what: 'match'; readonly entity: string; readonly match: string }
  /** The keys of this link changed somewhere, or it was merged: its children's references (rule 12). */
  | { readonly what: 'children'; readonly link: string }
  /** A record that children named by its key now has a link. */
  | { readonly what: 'named'; readonly system: string; readonly entity: string; readonly key: string }
  /** A transaction that deleted records is over (rule 11). */
  | { readonly what: 'ending'; readonly system: string; readonly entity: string; readonly transaction: string }
  /** A command has its outcome: events that waited for it go on (rule 4). */
  | { readonly what: 'waiting'; readonly command: string }
  /** A row changed that was in the way of commands (rule 8). */
  | { readonly what: 'blocked'; readonly system: string; readonly entity: string; readonly key: string }
  /** A first snapshot has ended: match its records, by present then by first values, then the deletions (rule 10). */
  | { readonly what: 'snapshot'; readonly system: string; readonly entity: string; readonly phase: SnapshotPhase }
  /** A resync has ended: records it did not show have vanished. */
  | { readonly what: 'vanished'; readonly system: string; readonly entity: string; readonly snapshot: number }
  /** The rows behind a gap have been read: what became of commands in doubt, on links with a record in `among`, or with none. */
  | {
      readonly what: 'doubt';
      readonly system: string;
      readonly entity: string;
      readonly among: string | null;
      /** Number of the snapshot that read them; a cursor of an earlier version has none. */
      readonly snapshot?: number;
    }
  /** The configuration got fields: every link with a record there takes them over (I16). */
  | {
      readonly what: 'added-fields';
      readonly system: string;
      readonly entity: string;
      readonly fields: readonly string[];
    }
  /** Reconcile every link with a record there: the gate I12 opened, or commands may leave again. */
  | { readonly what: 'all'; readonly system: string; readonly entity: string };

export type SnapshotPhase = 'present' | 'first' | 'deletions' | 'forget-deletions';
