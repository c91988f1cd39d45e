import type { Command, QueuedCommand, SinkProgress } from '../connector/contract.js';
import { recordKey, recordKeyParts } from '../model/value.js';

/** Where an entity's rows stand; no other entity's stand there. */
export interface RowPlace {
  readonly table: string;
  /** Key columns. */
  readonly key: readonly string[];
}

interface Pending extends QueuedCommand {
  /** Where the physical rows stand that it is about. */
  readonly table: string;
  /** Their keys: none for a new one with a key of the database's, two where it changes the key. */
  readonly key: string | null;
  readonly movedTo: string | null;
  /** Size of its message. */
  readonly bytes: number;
  attempts: number;
  notBeforeMs: number;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;

/**
 * Commands read and not yet answered, in the order of their topic, and which ones may go next: at most one for a
 * physical row at a time (I9), a row's in order, a deferred one again after a pause that grows.
 */
export class CommandQueue {
  private readonly pending = new Map<number, Pending>();
  /** Answered offsets above the lowest pending one, in order of offset. */
  private answered: number[];
  /** Everything below was read. */
  private next: number;
  private readonly skip: Set<number>;
  private pendingBytes = 0;
  private deferredCount = 0;

  constructor(
    progress: SinkProgress,
    private readonly placeOf: (entity: string) => RowPlace,
  ) {
    this.next = progress.lowest;
    this.answered = [...progress.answered];
    this.skip = new Set(progress.answered);
  }

  get size(): number {
    return this.pending.size;
  }

  /** Bytes of the messages of all that wait. */
  get bytes(): number {
    return this.pendingBytes;
  }

  /**
   * Answered commands above the lowest unanswered one; bounded by whoever feeds the queue. None after a restart until that
   * one has been read again: who waited at the bound would wait for ever.
   */
  get answeredAhead(): number {
    return this.pending.size === 0 ? 0 : this.answered.length;
  }

  get deferred(): number {
    return this.deferredCount;
  }

  /** When the oldest command was made, in microseconds; null when none waits. */
  get oldestMicros(): number | null {
    for (const { command } of this.pending.values()) return command.madeAtMicros;
    return null;
  }

  /** A command from its topic; one that a restart reads again and that is answered already is left out. */
  add(offset: number, command: Command, bytes = 0): void {
    this.next = offset + 1;
    if (this.skip.delete(offset)) return;
    if (command.again === true && this.isWaiting(command.id)) return;
    const { key } = command;
    const place = this.placeOf(command.entity);
    const movedTo = keyAfter(command, place);
    const { table } = place;
    this.pending.set(offset, { offset, command, table, key, movedTo, bytes, attempts: 0, notBeforeMs: 0 });
    this.pendingBytes += bytes;
  }

  private isWaiting(id: string): boolean {
    for (const { command } of this.pending.values()) if (command.id === id) return true;
    return false;
  }

  /** A record that is no command for us counts as read. */
  pass(offset: number): void {
    this.next = offset + 1;
  }

  /** What may be applied now: of at most so many bytes, but at least one. */
  batch(nowMs: number, limit: number, maxBytes = Number.POSITIVE_INFINITY): QueuedCommand[] {
    const batch: QueuedCommand[] = [];
    const taken = new Map<string, Set<string>>();
    let bytes = 0;
    for (const waiting of this.pending.values()) {
      if (batch.length >= limit || bytes >= maxBytes) break;
      let keys = taken.get(waiting.table);
      if (keys === undefined) taken.set(waiting.table, (keys = new Set()));
      // Also those of one that has to wait: what comes later must not overtake it.
      const isFree = takes(keys, waiting);
      if (!isFree || waiting.notBeforeMs > nowMs) continue;
      if (batch.length > 0 && bytes + waiting.bytes > maxBytes) break;
      batch.push(waiting);
      bytes += waiting.bytes;
    }
    return batch;
  }

  /** The progress to store beside the data, if exactly these are answered now. */
  progressAfter(offsets: readonly number[]): SinkProgress {
    const done = new Set(offsets);
    let lowest = this.next;
    for (const offset of this.pending.keys()) {
      if (!done.has(offset)) {
        lowest = offset;
        break;
      }
    }
    // With nothing pending, what comes next may be one that was answered before a restart and is not read again yet.
    const answered = [...this.answered, ...offsets].filter((offset) => offset >= lowest).sort((a, b) => a - b);
    return { lowest, answered };
  }

  /** The target has committed: the batch's answered commands are done, the deferred ones come again. */
  settle(answered: readonly number[], deferred: readonly number[], nowMs: number): SinkProgress {
    const progress = this.progressAfter(answered);
    for (const offset of answered) {
      const waiting = this.pending.get(offset);
      if (waiting === undefined) continue;
      this.pendingBytes -= waiting.bytes;
      if (waiting.attempts > 0) this.deferredCount--;
      this.pending.delete(offset);
    }
    this.answered = [...progress.answered];
    for (const offset of deferred) {
      const waiting = this.pending.get(offset);
      if (waiting === undefined) continue;
      waiting.notBeforeMs = nowMs + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(waiting.attempts, 10));
      if (waiting.attempts++ === 0) this.deferredCount++;
    }
    return progress;
  }

  /** Until the first deferred command may go again; null when none waits. */
  pauseMs(nowMs: number): number | null {
    if (this.deferredCount === 0) return null;
    let soonest: number | null = null;
    for (const { attempts, notBeforeMs } of this.pending.values()) {
      if (attempts === 0) continue;
      const pause = Math.max(0, notBeforeMs - nowMs);
      soonest = soonest === null ? pause : Math.min(soonest, pause);
    }
    return soonest;
  }
}

/** True if none of its rows was taken yet; they are from now on. */
function takes(keys: Set<string>, { key, movedTo }: Pending): boolean {
  if (key === null) return true;
  const isFree = !keys.has(key) && (movedTo === null || !keys.has(movedTo));
  keys.add(key);
  if (movedTo !== null) keys.add(movedTo);
  return isFree;
}

/** The key that an update gives its row; null where it leaves it. */
function keyAfter({ key, operation, set }: Command, place: RowPlace): string | null {
  if (key === null || operation !== 'update' || !place.key.some((column) => column in set)) return null;
  const parts = recordKeyParts(key);
  const moved = Object.fromEntries(place.key.map((column, at) => [column, set[column] ?? parts[at] ?? null]));
  return recordKey(moved, place.key);
}
