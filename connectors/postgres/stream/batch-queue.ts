import type { Change, EndEvent, SourceEvent } from '../../../src/connector/contract.js';
import { type SourcePosition, type TableProgress, writePosition } from '../position.js';
import { valueText } from '../value-text.js';
import { eventPosition } from './change-decoder.js';
import { type Lsn, sortableLsn } from './lsn.js';

type Entry =
  | {
      readonly kind: 'event';
      readonly event: SourceEvent;
      readonly bytes: number;
      readonly lsn: Lsn;
      readonly ordinal: number;
    }
  /** A row or an end of a snapshot; stands between transactions. */
  | { readonly kind: 'read'; readonly event: Change | EndEvent; readonly bytes: number }
  | { readonly kind: 'commit'; readonly lsn: Lsn }
  /** The snapshot of an entity has come past rows that it dropped. */
  | { readonly kind: 'passed'; readonly entity: string; readonly after: readonly string[] }
  /** The entity is to be read again from its beginning. */
  | { readonly kind: 'again'; readonly entity: string; readonly table: string };

export interface TakenEvents {
  readonly events: readonly SourceEvent[];
  readonly position: string;
}

interface Progress {
  state: TableProgress['state'];
  table: string;
  rows: number;
  after: readonly string[] | null;
  /** The last row sent, whose key `after` is made of only when a position is written. */
  lastRow: Change | null;
}

/**
 * What is read and not yet handed out, in order, with the position that follows whatever is taken.
 * Batches end at a commit unless a transaction is larger than a batch.
 */
export class BatchQueue {
  #entries: Entry[] = [];
  #head = 0;
  /** Entries up to here end at a commit or belong to a snapshot. */
  #whole = 0;
  #events = 0;
  #bytes = 0;
  readonly #progress = new Map<string, Progress>();
  #lsn: Lsn;
  #ordinal: number | null;
  #reads: number;
  /** The commit put in last, or the event that a restart goes on behind, and the number of snapshot events put in. */
  #tailPlace: string;
  #tailReads: number;

  constructor(
    private readonly cluster: string,
    start: SourcePosition,
  ) {
    this.#lsn = start.lsn;
    this.#ordinal = start.ordinal;
    this.#reads = start.reads;
    const place = sortableLsn(start.lsn);
    // Within a transaction its other events are still to come, behind what a snapshot says now.
    this.#tailPlace = start.ordinal === null ? place : eventPosition(place, start.ordinal);
    this.#tailReads = start.reads;
    for (const [entity, table] of Object.entries(start.tables)) {
      this.#progress.set(entity, {
        state: table.state,
        table: table.table,
        rows: table.state === 'pending' ? 0 : table.rows,
        after: table.state === 'reading' ? table.after : null,
        lastRow: null,
      });
    }
  }

  get events(): number {
    return this.#events;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The place behind the last event handed out. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  event(event: SourceEvent, bytes: number, lsn: Lsn, ordinal: number): void {
    this.#entries.push({ kind: 'event', event, bytes, lsn, ordinal });
    this.#events += 1;
    this.#bytes += bytes;
  }

  commit(lsn: Lsn): void {
    this.#entries.push({ kind: 'commit', lsn });
    this.#whole = this.#entries.length;
    this.#tailPlace = sortableLsn(lsn);
  }

  /** An event of a snapshot; its position lies behind every event that has been told before it. */
  read(event: (position: string) => Change | EndEvent, bytes: number): void {
    this.#tailReads += 1;
    const position = `${this.#tailPlace}.~${String(1e12 + this.#tailReads).slice(1)}`;
    this.#entries.push({ kind: 'read', event: event(position), bytes });
    this.#events += 1;
    this.#bytes += bytes;
    this.#whole = this.#entries.length;
  }

  passed(entity: string, after: readonly string[]): void {
    this.#entries.push({ kind: 'passed', entity, after });
    this.#whole = this.#entries.length;
  }

  again(entity: string, table: string): void {
    this.#entries.push({ kind: 'again', entity, table });
  }

  /**
   * The next events within the limits (at least one), or null where there is nothing whole to hand out. A transaction
   * that fits exactly waits for its commit, which may still be on its way, so that its position is never one inside.
   */
  take(maxEvents: number, maxBytes: number): TakenEvents | null {
    const end = this.#events > maxEvents || this.#bytes > maxBytes ? this.#entries.length : this.#whole;
    const events: SourceEvent[] = [];
    let bytes = 0;
    let at = this.#head;
    for (; at < end; at++) {
      const entry = this.#entries[at]!;
      if (entry.kind === 'event' || entry.kind === 'read') {
        if (events.length > 0 && (events.length >= maxEvents || bytes + entry.bytes > maxBytes)) break;
        events.push(entry.event);
        bytes += entry.bytes;
      }
      this.#follow(entry);
    }
    this.#head = at;
    this.#events -= events.length;
    this.#bytes -= bytes;
    this.#forgetTaken();
    return events.length === 0 ? null : { events, position: this.position() };
  }

  /** The position behind what was handed out, moved on to `lsn` where all before it is known to be nothing. */
  position(lsn: Lsn = this.#lsn): string {
    const further = lsn > this.#lsn;
    return writePosition({
      cluster: this.cluster,
      lsn: further ? lsn : this.#lsn,
      ordinal: further ? null : this.#ordinal,
      reads: this.#reads,
      tables: Object.fromEntries([...this.#progress].map(([entity, progress]) => [entity, this.#written(progress)])),
    });
  }

  /** How far the entity's snapshot has been handed out. */
  progress(entity: string): TableProgress | undefined {
    const progress = this.#progress.get(entity);
    return progress && this.#written(progress);
  }

  #follow(entry: Entry): void {
    switch (entry.kind) {
      case 'event':
        this.#lsn = entry.lsn;
        this.#ordinal = entry.ordinal;
        return;
      case 'commit':
        this.#lsn = entry.lsn;
        this.#ordinal = null;
        return;
      case 'read':
        this.#reads += 1;
        this.#followRead(entry.event);
        return;
      case 'passed': {
        const progress = this.#progress.get(entry.entity);
        if (progress !== undefined) Object.assign(progress, { after: entry.after, lastRow: null });
        return;
      }
      case 'again':
        this.#progress.set(entry.entity, { state: 'pending', table: entry.table, rows: 0, after: null, lastRow: null });
    }
  }

  #followRead(event: Change | EndEvent): void {
    const { entity, table } = event.table;
    if (event.kind === 'change') {
      const progress = this.#progress.get(entity)!;
      progress.rows += 1;
      progress.lastRow = event;
    } else if (event.end === 'snapshot') {
      const rows = this.#progress.get(entity)?.rows ?? 0;
      this.#progress.set(entity, { state: 'done', table, rows, after: null, lastRow: null });
    } else if (event.end === 'snapshot-begin') {
      this.#progress.set(entity, { state: 'reading', table, rows: 0, after: null, lastRow: null });
    }
  }

  #written(progress: Progress): TableProgress {
    const { state, table, rows, lastRow } = progress;
    if (lastRow !== null) {
      progress.after = keyTexts(lastRow);
      progress.lastRow = null;
    }
    switch (state) {
      case 'pending':
        return { state, table };
      case 'done':
        return { state, table, rows };
      case 'reading':
        return { state, table, after: progress.after, rows };
    }
  }

  #forgetTaken(): void {
    if (this.#head === this.#entries.length) {
      this.#entries = [];
      this.#whole = 0;
      this.#head = 0;
    } else if (this.#head > 4096 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#whole = Math.max(0, this.#whole - this.#head);
      this.#head = 0;
    }
  }
}

/** A row's key as Postgres reads it, for the WHERE of the next chunk. */
export function keyTexts(change: Pick<Change, 'table' | 'after'>): readonly string[] {
  const { key, columns } = change.table;
  return key.map((name) => {
    const column = columns.find((each) => each.name === name)!;
    return valueText(change.after![name]!, column.type);
  });
}
