import type {
  Change,
  EndEvent,
  Origin,
  OutcomeEvent,
  Position,
  ResyncRequest,
  Resume,
  Source,
  SourceBatch,
  SourceEvent,
  SourceOptions,
  SourceStatus,
} from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { TableShape } from '../../src/model/table.js';
import type { Row } from '../../src/model/value.js';
import type { LoggedChange, LoggedTransaction } from './commit-log.js';
import type { RoundTrip } from './round-trip.js';
import type { MemoryDatabase, Table } from './database.js';

/** What a position says: everything before `ordinal` of `transaction` has been sent, and how far each snapshot is. */
interface Standing {
  readonly transaction: number;
  readonly ordinal: number;
  /** By entity: where its snapshot is; an entity that is missing has not begun. */
  readonly snapshots: Readonly<Record<string, SnapshotStanding>>;
  /** Chunks sent so far. */
  readonly chunks: number;
}

/** `pending`: to be read again from its beginning. */
type SnapshotStanding = { readonly lastKey: string | null; readonly rows: number } | 'pending' | 'done';

/** A chunk of rows read between two watermarks of the log; it counts once the stream has come to the high one. */
interface Chunk {
  readonly entity: string;
  readonly high: number;
  /** Keys that changed between the watermarks: the stream tells them better. */
  readonly changed: ReadonlySet<string>;
  readonly rows: readonly { readonly key: string; readonly row: Row }[];
  readonly last: boolean;
}

const CHUNK_ROWS = 3;
const HEARTBEAT_INTERVAL_MICROS = 10_000_000;

/**
 * Reads the commit log, and the rows that were there before in chunks between watermarks (DBLog): a chunk is
 * read while streaming goes on, and a row of it is dropped if its key changed between the two watermarks.
 */
export class MemorySource implements Source {
  private readonly shapes = new Map<string, TableShape>();
  private transaction = 0;
  private ordinal = 0;
  private snapshots: Record<string, SnapshotStanding> = {};
  private chunks = 0;
  private chunk: Chunk | null = null;
  private newestCommitTimeMicros: number | null = null;
  private lastSentMicros = 0;
  private opened = false;
  /** Said before anything else. */
  private gaps: readonly EndEvent[] = [];

  constructor(
    private readonly database: MemoryDatabase,
    private readonly options: SourceOptions,
    private readonly roundTrip: RoundTrip,
  ) {
    for (const entity of options.entities) this.shapes.set(entity.table, entity.shape);
  }

  async open({ position, heartbeat, resync = null }: Resume): Promise<void> {
    await this.trip('source open');
    this.database.logReader = this;
    const { log } = this.database;
    const standing = newer(read(position), read(heartbeat));
    const isLost = standing !== null && standing.transaction < log.forgottenTo;
    if (isLost && resync === null) {
      throw new DuologError('SLOT_LOST', `the log of ${this.options.system} no longer reaches back to our position`);
    }
    this.transaction = isLost ? log.end : (standing?.transaction ?? log.end);
    this.ordinal = isLost ? 0 : (standing?.ordinal ?? 0);
    this.snapshots = { ...standing?.snapshots };
    this.chunks = standing?.chunks ?? 0;
    this.gaps = resync === null ? [] : this.readAgain(resync, isLost);
    this.chunk = null;
    this.lastSentMicros = this.database.nowMicros();
    this.opened = true;
  }

  async next(): Promise<SourceBatch | null> {
    await this.trip('source read');
    this.verifyReader();
    const events: SourceEvent[] = [...this.gaps];
    this.gaps = [];
    this.stream(events);
    if (events.length < this.options.maxBatchEvents) await this.advanceSnapshot(events);
    if (events.length > 0) {
      this.lastSentMicros = this.database.nowMicros();
      return { kind: 'events', events, position: this.position() };
    }
    const nowMicros = this.database.nowMicros();
    if (nowMicros - this.lastSentMicros < HEARTBEAT_INTERVAL_MICROS) return null;
    this.lastSentMicros = nowMicros;
    return { kind: 'heartbeat', position: this.position(), timeMicros: nowMicros };
  }

  async acknowledge(position: Position): Promise<void> {
    await this.trip('source acknowledge');
    this.verifyReader();
    this.database.log.forget(read(position)!.transaction);
  }

  status(): SourceStatus {
    const snapshotting = this.unfinishedSnapshot() !== null;
    return {
      phase: !this.opened ? 'closed' : snapshotting ? 'snapshot' : 'streaming',
      detail: null,
      snapshot: Object.fromEntries(
        this.options.entities.map(({ entity, table }) => {
          const standing = this.snapshots[entity];
          const estimate = this.database.table(table).rows.size;
          if (standing === 'done') return [entity, { rows: estimate, estimate, done: true }];
          return [entity, { rows: rowsOf(standing), estimate, done: false }];
        }),
      ),
      retainedBytes: null,
      newestCommitTimeMicros: this.newestCommitTimeMicros,
    };
  }

  async close(): Promise<void> {
    this.opened = false;
    if (this.database.logReader === this) this.database.logReader = null;
  }

  private readAgain({ id, entities }: ResyncRequest, isLost: boolean): EndEvent[] {
    const again = this.options.entities.filter(({ entity }) => isLost || (entities?.includes(entity) ?? true));
    for (const { entity } of again) this.snapshots[entity] = 'pending';
    const chunk = place(this.chunks++);
    return again.map(({ shape }, ordinal) => ({
      kind: 'end',
      table: shape,
      end: 'gap',
      commitTimeMicros: null,
      transaction: id,
      position: `${place(this.transaction)}-~${chunk}-${place(ordinal)}`,
    }));
  }

  private async trip(point: string): Promise<void> {
    try {
      await this.roundTrip(point);
    } catch (cause) {
      throw new DuologError('SOURCE_UNREACHABLE', `the connection to ${this.options.system} was lost`, { cause });
    }
  }

  private verifyReader(): void {
    if (this.database.logReader !== this) {
      throw new DuologError('SOURCE_FENCED', `another reader has taken over the log of ${this.options.system}`);
    }
  }

  // ------------------------------------------------------------ stream

  /** Adds what was committed since, up to the chunk that waits for its high watermark. */
  private stream(events: SourceEvent[]): void {
    const until = this.chunk?.high ?? this.database.log.end;
    while (this.transaction < until) {
      const transaction = this.database.log.at(this.transaction + 1);
      if (!transaction) throw new DuologError('SLOT_LOST', `the log of ${this.options.system} was cut`);
      const all = this.eventsOf(transaction);
      const room = this.options.maxBatchEvents - events.length;
      const some = all.slice(this.ordinal, this.ordinal + room);
      events.push(...some);
      this.newestCommitTimeMicros = transaction.commitTimeMicros;
      if (this.ordinal + some.length < all.length) {
        this.ordinal += some.length;
        return;
      }
      this.transaction += 1;
      this.ordinal = 0;
    }
  }

  /** Row changes in their order, then outcomes that no row shows, then the end of a transaction that deleted. */
  private eventsOf(transaction: LoggedTransaction): SourceEvent[] {
    const events: SourceEvent[] = [];
    const shown = new Set<string>();
    const own = new Map<string, Origin>();
    for (const outcome of transaction.mark?.outcomes ?? []) {
      const shape = this.shapeOfEntity(outcome.entity);
      if (shape && outcome.status === 'applied') {
        const origin = { sync: transaction.mark!.sync, command: outcome.command, link: outcome.link };
        own.set(`${shape.table} ${outcome.key}`, origin);
      }
    }
    const deletedFrom = new Set<TableShape>();
    for (const logged of transaction.changes) {
      const shape = this.shapes.get(logged.table);
      if (!shape) continue;
      if (logged.operation === 'delete') deletedFrom.add(shape);
      const origin = this.originOf(transaction, logged, own);
      if (origin?.command) shown.add(origin.command);
      events.push(this.changeOf(transaction, logged, shape, origin, events.length));
    }
    for (const outcome of transaction.mark?.outcomes ?? []) {
      const shape = this.shapeOfEntity(outcome.entity);
      if (!shape || shown.has(outcome.command)) continue;
      const event: OutcomeEvent = { kind: 'outcome', table: shape, outcome, ...this.at(transaction, events.length) };
      events.push(event);
    }
    for (const table of deletedFrom) {
      const event: EndEvent = { kind: 'end', table, end: 'transaction', ...this.at(transaction, events.length) };
      events.push(event);
    }
    return events;
  }

  /** The first change of a command's row is the command; a later one, or another row's, is a trigger's: an edit. */
  private originOf(transaction: LoggedTransaction, change: LoggedChange, own: Map<string, Origin>): Origin | null {
    if (!transaction.mark) return null;
    const key = change.keyChange && 'to' in change.keyChange ? change.keyChange.to : change.key;
    const name = `${change.table} ${key}`;
    const origin = own.get(name);
    // A changed key comes as a delete and an update, both of them the command.
    if (origin && !(change.keyChange && 'to' in change.keyChange)) own.delete(name);
    return origin ?? { sync: transaction.mark.sync, command: null, link: null };
  }

  private changeOf(
    transaction: LoggedTransaction,
    logged: LoggedChange,
    table: TableShape,
    origin: Origin | null,
    ordinal: number,
  ): Change {
    const full = this.database.table(table.table).definition.identity === 'full';
    return {
      kind: 'change',
      table,
      operation: logged.operation,
      key: logged.key,
      keyChange: logged.keyChange,
      before: full ? logged.before : null,
      after: logged.after,
      unchanged: [],
      origin,
      ...this.at(transaction, ordinal),
    };
  }

  private at(transaction: LoggedTransaction, ordinal: number) {
    return {
      commitTimeMicros: transaction.commitTimeMicros,
      transaction: String(transaction.number),
      position: `${place(transaction.number)}-${place(ordinal)}`,
    };
  }

  private shapeOfEntity(entity: string): TableShape | undefined {
    return this.options.entities.find((candidate) => candidate.entity === entity)?.shape;
  }

  // ------------------------------------------------------------ snapshot

  /** Reads the next chunk, or adds the one whose high watermark has been reached. */
  private async advanceSnapshot(events: SourceEvent[]): Promise<void> {
    if (this.chunk === null) {
      const entity = this.unfinishedSnapshot();
      if (entity === null) return;
      // First of all: what the stream tells from here on counts as shown, for the chunks leave it out.
      if (typeof this.snapshots[entity] !== 'object' && !this.begin(entity, events)) return;
      this.chunk = await this.readChunk(entity);
      this.verifyReader();
      this.stream(events);
    }
    if (this.chunk !== null && this.transaction >= this.chunk.high && this.ordinal === 0) {
      const { chunk } = this;
      this.chunk = null;
      this.addChunk(chunk, events);
    }
  }

  /** False within a transaction: a reading begins between two of them. */
  private begin(entity: string, events: SourceEvent[]): boolean {
    if (this.ordinal !== 0) return false;
    const { shape } = this.options.entities.find((one) => one.entity === entity)!;
    events.push({
      kind: 'end',
      table: shape,
      end: 'snapshot-begin',
      commitTimeMicros: null,
      transaction: String(this.transaction),
      position: `${place(this.transaction)}-~${place(this.chunks++)}-${place(0)}`,
    });
    this.snapshots = { ...this.snapshots, [entity]: { lastKey: null, rows: 0 } };
    return true;
  }

  private unfinishedSnapshot(): string | null {
    for (const { entity } of this.options.entities) if (this.snapshots[entity] !== 'done') return entity;
    return null;
  }

  private async readChunk(entity: string): Promise<Chunk> {
    const { log } = this.database;
    const low = log.end;
    await this.trip('source chunk');
    const standing = this.snapshots[entity];
    const lastKey = typeof standing === 'object' ? standing.lastKey : null;
    const table = this.tableOf(entity);
    const keys = [...table.rows.keys()].filter((key) => lastKey === null || key > lastKey).sort();
    const rows = keys.slice(0, CHUNK_ROWS).map((key) => ({ key, row: table.rows.get(key)! }));
    await this.trip('source chunk read');
    const high = log.end;
    const changed = new Set<string>();
    for (let number = low + 1; number <= high; number++) {
      for (const change of log.at(number)?.changes ?? []) if (change.table === table.name) changed.add(change.key);
    }
    return { entity, high, changed, rows, last: keys.length <= CHUNK_ROWS };
  }

  private addChunk(chunk: Chunk, events: SourceEvent[]): void {
    const { shape } = this.options.entities.find(({ entity }) => entity === chunk.entity)!;
    let ordinal = 0;
    const next = () => ({
      commitTimeMicros: null,
      transaction: String(chunk.high),
      // After every event of that transaction, and after the chunks that came there before this one.
      position: `${place(chunk.high)}-~${place(this.chunks)}-${place(ordinal++)}`,
    });
    const row = { kind: 'change', table: shape, operation: 'read', keyChange: null, before: null } as const;
    for (const { key, row: after } of chunk.rows) {
      if (!chunk.changed.has(key)) events.push({ ...row, key, after, unchanged: [], origin: null, ...next() });
    }
    if (chunk.last) events.push({ kind: 'end', table: shape, end: 'snapshot', ...next() });
    this.chunks += 1;
    const rows = rowsOf(this.snapshots[chunk.entity]) + chunk.rows.length;
    this.snapshots = {
      ...this.snapshots,
      [chunk.entity]: chunk.last ? 'done' : { lastKey: chunk.rows.at(-1)!.key, rows },
    };
  }

  private tableOf(entity: string): Table {
    return this.database.table(this.options.entities.find((candidate) => candidate.entity === entity)!.table);
  }

  private position(): Position {
    const standing: Standing = {
      transaction: this.transaction,
      ordinal: this.ordinal,
      snapshots: this.snapshots,
      chunks: this.chunks,
    };
    return JSON.stringify(standing);
  }
}

function rowsOf(standing: SnapshotStanding | undefined): number {
  return typeof standing === 'object' ? standing.rows : 0;
}

function read(position: Position | null): Standing | null {
  return position === null ? null : (JSON.parse(position) as Standing);
}

function newer(left: Standing | null, right: Standing | null): Standing | null {
  if (!left || !right) return left ?? right;
  return right.transaction > left.transaction ? right : left;
}

/** A number as text that sorts like the number. */
function place(value: number): string {
  return String(value).padStart(8, '0');
}
