import { DuologError } from '../../src/errors/duolog-error.js';
import { formatLsn, type Lsn, parseLsn } from './stream/lsn.js';

/**
 * Where the source stands: everything at or before (commit LSN, ordinal) has been sent, and each table's snapshot
 * has come as far as `tables` says. A table that is missing has yet to be read from its beginning.
 */
export interface SourcePosition {
  /** The database cluster; a position is worth nothing in another one. */
  readonly cluster: string;
  readonly lsn: Lsn;
  /** Place in the transaction that commits at `lsn`; null: all of it. */
  readonly ordinal: number | null;
  /** Snapshot events so far, which numbers them. */
  readonly reads: number;
  /** By entity. */
  readonly tables: Readonly<Record<string, TableProgress>>;
}

/** `after`: the key columns, as texts, of the last row sent; null before the first. */
export type TableProgress =
  | { readonly state: 'pending'; readonly table: string }
  | {
      readonly state: 'reading';
      readonly table: string;
      readonly after: readonly string[] | null;
      readonly rows: number;
    }
  | { readonly state: 'done'; readonly table: string; readonly rows: number };

export function writePosition(position: SourcePosition): string {
  return JSON.stringify({
    v: 1,
    cluster: position.cluster,
    lsn: formatLsn(position.lsn),
    ordinal: position.ordinal,
    reads: position.reads,
    tables: position.tables,
  });
}

/** @throws DuologError SOURCE_POSITION_INVALID. */
export function readPosition(text: string): SourcePosition {
  try {
    const { v, lsn, ...rest } = JSON.parse(text) as Omit<SourcePosition, 'lsn'> & { v: number; lsn: string };
    if (v !== 1) throw new RangeError(`format ${v}`);
    return { ...rest, lsn: parseLsn(lsn) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'no text';
    throw new DuologError('SOURCE_POSITION_INVALID', `The stored position of the source cannot be read: ${why}`, {
      cause,
    });
  }
}

/**
 * The last LSN whose commits are all sent: what the slot may be told to forget (I1). Inside a transaction that is
 * the byte before its commit, since commits come in the order of the log.
 */
export function completeLsn(position: SourcePosition): Lsn {
  return position.ordinal === null ? position.lsn : position.lsn - 1;
}

/** The later of two positions. */
export function laterPosition(one: SourcePosition | null, other: SourcePosition | null): SourcePosition | null {
  if (one === null || other === null) return one ?? other;
  if (one.lsn !== other.lsn) return one.lsn > other.lsn ? one : other;
  if (one.ordinal !== other.ordinal) {
    return one.ordinal === null || (other.ordinal !== null && one.ordinal > other.ordinal) ? one : other;
  }
  return one.reads >= other.reads ? one : other;
}
