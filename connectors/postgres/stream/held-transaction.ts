import type { Change, Origin, Outcome } from '../../../src/connector/contract.js';
import type { Row, Value } from '../../../src/model/value.js';
import type { ChangeReceiver } from './change-decoder.js';
import { SpillFile } from './spill-file.js';

/** A change of the held transaction, ready to go on, with its ordinal. */
export interface ReleasedChange {
  readonly change: Change;
  readonly ordinal: number;
  /** Size of its message. */
  readonly bytes: number;
}

/** Net effect of a transaction on a row that one of our commands wrote. */
interface Net {
  bytes: number;
  readonly first: Change;
  last: Change;
  /** The last image there was, for a row that is gone at the end. */
  lastAfter: Row | null;
  unchanged: readonly string[];
}

/** A row that one of our commands wrote. */
interface WrittenRow {
  readonly applied: Applied;
  /** Ordinal of its first change. */
  readonly first: number;
  changes: number;
}

type Applied = Extract<Outcome, { status: 'applied' | 'unchanged' }>;

/**
 * The rows between the first and the last message of a transaction of ours (I8), in memory up to a bound and then on disk.
 * Only the last message tells which are our commands' writes, so none goes on before it; without it, all are edits.
 */
export class HeldTransaction {
  readonly #changes: Change[] = [];
  readonly #ordinals: number[] = [];
  readonly #sizes: number[] = [];
  #bytes = 0;
  #spill: SpillFile | null = null;
  readonly #outcomes: Outcome[] = [];

  constructor(
    readonly sync: string,
    private readonly memoryBytes: number,
    private readonly decode: (message: Buffer, ordinal: number, receive: ChangeReceiver) => void,
  ) {}

  get spilledBytes(): number {
    return this.#spill?.bytes ?? 0;
  }

  add(message: Buffer, ordinal: number): void {
    this.#bytes += message.length;
    if (this.#bytes > this.memoryBytes) {
      this.#spill ??= new SpillFile();
      this.#spill.add(message, ordinal);
    } else this.decode(message, ordinal, (change, place) => this.#keep(change, place, message.length));
  }

  addOutcomes(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) this.#outcomes.push(outcome);
  }

  /** Everything held, as edits: the transaction committed without its last message. */
  *releaseAsEdits(): Generator<ReleasedChange> {
    yield* this.#all();
  }

  /**
   * A command's row changes as one change with its origin, the transaction's other rows as edits beside it; returns
   * the outcomes that no change carries.
   */
  *release(): Generator<ReleasedChange, readonly Outcome[]> {
    const written = this.#written();
    const nets = this.#nets(written);
    for (const { change, ordinal, bytes } of this.#all()) {
      const name = recordName(change.table.entity, change.key);
      const row = written.get(name);
      if (row === undefined || ordinal < row.first) {
        yield { change: { ...change, origin: this.#beside() }, ordinal, bytes };
      } else if (ordinal === row.first) {
        yield* this.#released(nets.get(name) ?? begin(change, bytes), row.applied, ordinal);
        nets.delete(name);
      }
    }
    const carried = new Set([...written.values()].map(({ applied }) => applied.command));
    return this.#outcomes.filter((outcome) => !carried.has(outcome.command));
  }

  /** Removes what is on disk. */
  remove(): void {
    this.#spill?.remove();
  }

  #keep(change: Change, ordinal: number, bytes: number): void {
    this.#changes.push(change);
    this.#ordinals.push(ordinal);
    this.#sizes.push(bytes);
  }

  *#all(): Generator<ReleasedChange> {
    for (let index = 0; index < this.#changes.length; index++) {
      yield { change: this.#changes[index]!, ordinal: this.#ordinals[index]!, bytes: this.#sizes[index]! };
    }
    if (this.#spill === null) return;
    const decoded: ReleasedChange[] = [];
    for (const { message, ordinal } of this.#spill.messages()) {
      this.decode(message, ordinal, (change, place) => decoded.push({ change, ordinal: place, bytes: message.length }));
      yield* decoded;
      decoded.length = 0;
    }
  }

  /** The rows that our commands wrote, by name: no more than the outcomes, however many a trigger changed. */
  #written(): Map<string, WrittenRow> {
    const commands = new Map<string, Applied>();
    for (const outcome of this.#outcomes) {
      if (outcome.status === 'applied') commands.set(recordName(outcome.entity, outcome.key), outcome);
    }
    const written = new Map<string, WrittenRow>();
    if (commands.size === 0) return written;
    for (const { change, ordinal } of this.#all()) {
      const name = recordName(change.table.entity, change.key);
      const found = written.get(name);
      const applied = commands.get(name);
      if (found !== undefined) found.changes += 1;
      else if (change.keyChange !== null && 'to' in change.keyChange) {
        // The command wrote the key itself: what it did shows under the new one.
        commands.delete(name);
        if (applied) commands.set(recordName(change.table.entity, change.keyChange.to), applied);
      } else if (applied !== undefined) written.set(name, { applied, first: ordinal, changes: 1 });
    }
    return written;
  }

  /** Of those that changed more than once, what became of them; nearly all rows changed once, and need not be kept in memory. */
  #nets(written: ReadonlyMap<string, WrittenRow>): Map<string, Net> {
    const nets = new Map<string, Net>();
    let several = false;
    for (const { changes } of written.values()) several ||= changes > 1;
    if (!several) return nets;
    for (const { change, ordinal, bytes } of this.#all()) {
      const name = recordName(change.table.entity, change.key);
      const row = written.get(name);
      if (row === undefined || row.changes === 1 || ordinal < row.first) continue;
      const net = nets.get(name);
      if (net === undefined) nets.set(name, begin(change, bytes));
      else follow(net, change, bytes);
    }
    return nets;
  }

  *#released(net: Net, applied: Applied, ordinal: number): Generator<ReleasedChange> {
    const origin = { sync: this.sync, command: applied.command, link: applied.link };
    const { first, last, lastAfter, unchanged, bytes } = net;
    if (last.operation !== 'delete') {
      const operation = first.operation === 'insert' ? 'insert' : 'update';
      yield { change: { ...first, operation, after: last.after, unchanged, origin }, ordinal, bytes };
    } else if (lastAfter !== null && (first.operation === 'insert' || last.keyChange !== null)) {
      // Written by the command, then removed, or given another key, by something else in the same transaction.
      yield { change: { ...first, after: lastAfter, unchanged, origin }, ordinal, bytes };
      yield { change: { ...last, origin: this.#beside() }, ordinal: ordinal + 1, bytes };
    } else {
      yield { change: { ...first, operation: 'delete', after: null, unchanged: [], origin }, ordinal, bytes };
    }
  }

  #beside(): Origin {
    return { sync: this.sync, command: null, link: null };
  }
}

function recordName(entity: string, key: string): string {
  return `${entity}\n${key}`;
}

function begin(change: Change, bytes: number): Net {
  return { bytes, first: change, last: change, lastAfter: change.after, unchanged: change.unchanged };
}

/** Large values that a later change did not send again are those of the change before. */
function follow(net: Net, change: Change, bytes: number): void {
  net.bytes = Math.max(net.bytes, bytes);
  const earlier = net.last.after;
  if (change.after !== null && change.unchanged.length > 0 && earlier !== null) {
    const filled: Record<string, Value> = { ...change.after };
    const unchanged = change.unchanged.filter((name) => {
      const value = earlier[name];
      if (value === undefined) return true;
      filled[name] = value;
      return false;
    });
    net.last = { ...change, after: filled, unchanged };
  } else net.last = change;
  net.unchanged = net.last.unchanged;
  net.lastAfter = net.last.after ?? net.lastAfter;
}
