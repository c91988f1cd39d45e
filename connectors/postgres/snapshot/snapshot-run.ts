import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Change, EndEvent } from '../../../src/connector/contract.js';
import { connectClient, destroyClient, queryTexts } from '../connection.js';
import { failPoint } from '../../../src/failpoints.js';
import type { TableShape } from '../../../src/model/table.js';
import type { DescribedTable } from '../catalogue.js';
import type { TableProgress } from '../position.js';
import { Signal } from '../signal.js';
import type { ChangedKeys } from './changed-keys.js';
import { type Chunk, ColumnsChanged, readChunk, readEvent } from './chunk-reader.js';
import { ChunkSize } from './chunk-size.js';
import { longestTransaction } from './longest-transaction.js';
import { TransactionSnapshot } from './transaction-snapshot.js';

export interface SnapshotSurroundings {
  readonly slot: string;
  /** Sessions that read tables: planned for walks along the key's index. */
  readonly client: pg.ClientConfig;
  readonly changedKeys: ChangedKeys;
  readonly maxChunkRows: number;
  /** The table as the stream has it now. */
  table(entity: string): DescribedTable;
  /** Reads the catalogue again, and the table from its beginning: its columns are others than before. */
  describeAgain(entity: string): Promise<void>;
  /** True while so little waits that another chunk may be read. */
  hasRoom(): boolean;
  /** A chunk, or a beginning, waits for its place in the stream. */
  chunkArrived(): void;
  /** Puts an event of a snapshot behind what the stream has told so far. */
  deliver(event: (position: string) => Change | EndEvent, bytes: number): void;
  passed(entity: string, after: readonly string[]): void;
  failed(error: unknown): void;
}

/** Chunks that are read and wait for their place in the stream. */
const MAX_WAITING_CHUNKS = 2;
const ROOM_POLL_MS = 1_000;
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 500;
const UNDEFINED_COLUMN_OR_TABLE = /^42(703|P01)$/;
const END_EVENT_BYTES = 200;

/** One reading of one table, from the row after `after`. */
interface Reading {
  readonly entity: string;
  after: readonly string[] | null;
  /** `snapshot-begin` has been sent. */
  begun: boolean;
  readonly size: ChunkSize;
}

/**
 * Reads the tables that are still to be read, one after the other, in chunks, while the stream goes on (DBLog).
 * A chunk enters the stream between two transactions behind its own watermark; rows are left out whose key the stream
 * has shown changed by a transaction that the chunk does not see.
 */
export class SnapshotRun {
  readonly #pending: Reading[] = [];
  readonly #waiting: Chunk[] = [];
  readonly #passedWatermarks = new Set<string>();
  readonly #wake = new Signal();
  readonly #token = Math.random().toString(36).slice(2, 10);
  #chunks = 0;
  #client: pg.Client | null = null;
  #closed = false;
  /** The chunks on their way are of no use: another reading of the table has begun. */
  #discard = false;
  /** Its beginning waits for its place in the stream. */
  #beginning: Reading | null = null;
  #phase: 'idle' | 'waiting-for-transactions' | 'reading' = 'idle';
  #detail: string | null = null;

  constructor(private readonly around: SnapshotSurroundings) {}

  get phase(): 'idle' | 'waiting-for-transactions' | 'reading' {
    return this.#pending.length === 0 ? 'idle' : this.#phase;
  }

  /** What is waited for, for people. */
  get detail(): string | null {
    return this.#pending.length === 0 ? null : this.#detail;
  }

  start(): void {
    void this.#run().catch((error: unknown) => {
      if (!this.#closed) this.around.failed(error);
    });
  }

  /** Reads an entity's table from where its progress says; nothing if that is done. */
  add(entity: string, progress: TableProgress): void {
    if (progress.state === 'done') return;
    const after = progress.state === 'reading' ? progress.after : null;
    this.#pending.push({ entity, after, begun: progress.state === 'reading', size: this.#size(entity) });
    this.#wake.notify();
  }

  /** Reads an entity's table from its beginning, also if it is being read. */
  restart(entity: string): void {
    const known = this.#pending.find((reading) => reading.entity === entity);
    if (known === undefined) return this.add(entity, { state: 'pending', table: '' });
    Object.assign(known, { after: null, begun: false });
    if (known === this.#pending[0]) this.#discardChunks();
  }

  isPending(entity: string): boolean {
    return this.#pending.some((reading) => reading.entity === entity);
  }

  /** There may be room for another chunk. */
  roomMade(): void {
    this.#wake.notify();
  }

  /** The stream has come to a chunk's place. */
  watermark(content: string): void {
    if (content.startsWith(`${this.#token}-`)) this.#passedWatermarks.add(content);
  }

  /** Lets a beginning in, and chunks that have come to their place; called between two transactions of the stream. */
  deliverReady(): void {
    const beginning = this.#beginning;
    if (beginning !== null) {
      this.#beginning = null;
      this.#deliverEnd(this.around.table(beginning.entity).shape, `${this.#token}-${++this.#chunks}`, 'snapshot-begin');
      beginning.begun = true;
      this.#wake.notify();
    }
    while (this.#waiting.length > 0 && this.#passedWatermarks.has(this.#waiting[0]!.watermark)) {
      const chunk = this.#waiting.shift()!;
      this.#passedWatermarks.delete(chunk.watermark);
      if (chunk.snapshot.xmin < this.around.changedKeys.floor) this.#discardChunks();
      else this.#deliver(this.#pending[0]!, chunk);
      this.#wake.notify();
    }
  }

  close(): void {
    this.#closed = true;
    this.#wake.notify();
    if (this.#client !== null) destroyClient(this.#client);
  }

  #size(entity: string): ChunkSize {
    return new ChunkSize(this.around.table(entity).estimate, this.around.maxChunkRows);
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const reading = this.#pending[0];
      if (reading === undefined) {
        this.#leaveClient();
        await this.#wake.wait(ROOM_POLL_MS);
      } else await this.#read(reading);
    }
  }

  /** One reading, until it is complete or has to begin again from what was delivered. */
  async #read(reading: Reading): Promise<void> {
    const client = (this.#client ??= await connectClient(this.around.client));
    try {
      if (!reading.begun) await this.#begin(reading);
      await this.#waitForOlderTransactions(client, reading.entity);
      // Meanwhile it may have to begin again.
      if (!reading.begun) return;
      this.#discard = false;
      this.#phase = 'reading';
      await this.#readChunks(client, reading);
    } catch (error) {
      this.#leaveClient();
      this.#discardChunks();
      if (this.#closed || !columnsChanged(error) || reading.size.failures++ > 3) throw error;
      await this.around.describeAgain(reading.entity);
    }
  }

  /**
   * Says that a reading begins, before changed keys are remembered: what the stream has delivered by then is seen by every
   * chunk, and what a chunk leaves out has been delivered behind it. A comparison counts that as shown.
   */
  async #begin(reading: Reading): Promise<void> {
    this.#beginning = reading;
    this.around.chunkArrived();
    while (!this.#closed && this.#beginning !== null) await this.#wake.wait(ROOM_POLL_MS);
  }

  /**
   * Begins to remember changed keys, takes a transaction id and waits until every transaction up to it has ended.
   * What the stream delivered before it remembered is then seen by every chunk.
   */
  async #waitForOlderTransactions(client: pg.Client, entity: string): Promise<void> {
    const { changedKeys } = this.around;
    this.#phase = 'waiting-for-transactions';
    this.#detail = null;
    changedKeys.begin(entity, (await this.#currentSnapshot(client)).xmax);
    changedKeys.setFloor(await ownTransactionId(client));
    for (let pollMs = FIRST_POLL_MS; !this.#closed; pollMs = Math.min(pollMs * 2, LONGEST_POLL_MS)) {
      const { xmin } = await this.#currentSnapshot(client);
      if (xmin >= changedKeys.floor) break;
      if (pollMs >= LONGEST_POLL_MS / 2) this.#detail = await longestTransaction(client);
      await delay(pollMs);
    }
    this.#detail = null;
  }

  async #currentSnapshot(client: pg.Client): Promise<TransactionSnapshot> {
    const [row] = await queryTexts(client, 'SELECT pg_current_snapshot()::text');
    return TransactionSnapshot.parse(row![0]!);
  }

  /** Reads ahead while the chunks before wait for their place. */
  async #readChunks(client: pg.Client, reading: Reading): Promise<void> {
    let { after } = reading;
    let last = false;
    while (!this.#closed && !this.#discard && !(last && this.#waiting.length === 0)) {
      if (last || this.#waiting.length >= MAX_WAITING_CHUNKS || !this.around.hasRoom()) {
        await this.#wake.wait(ROOM_POLL_MS);
        continue;
      }
      const chunk = await readChunk(client, {
        table: this.around.table(reading.entity),
        after,
        limit: reading.size.rows,
        maxBytes: reading.size.maxBytes,
        watermark: `${this.#token}-${++this.#chunks}`,
        slot: this.around.slot,
      });
      failPoint('source.snapshot.after-chunk');
      if (this.#discard) return;
      reading.size.read(chunk.rows);
      after = chunk.lastKey ?? after;
      last = chunk.last;
      this.#waiting.push(chunk);
      this.around.chunkArrived();
    }
  }

  #deliver(reading: Reading, chunk: Chunk): void {
    const { around } = this;
    const { entity } = reading;
    for (const row of chunk.rows) {
      if (around.changedKeys.hides(row.key, chunk.snapshot)) continue;
      around.deliver((position) => readEvent(chunk, row, position), row.bytes);
    }
    if (chunk.lastKey !== null) {
      reading.after = chunk.lastKey;
      around.passed(entity, chunk.lastKey);
    }
    around.changedKeys.passed(chunk.snapshot);
    if (!chunk.last) return;
    this.#deliverEnd(chunk.table.shape, chunk.watermark, 'snapshot');
    around.changedKeys.end();
    this.#pending.shift();
  }

  #deliverEnd(table: TableShape, transaction: string, end: 'snapshot-begin' | 'snapshot'): void {
    this.around.deliver(
      (position) => ({ kind: 'end', table, end, commitTimeMicros: null, transaction, position }),
      END_EVENT_BYTES,
    );
  }

  #discardChunks(): void {
    this.#discard = true;
    this.#waiting.length = 0;
    this.#passedWatermarks.clear();
    this.#wake.notify();
  }

  #leaveClient(): void {
    if (this.#client !== null) destroyClient(this.#client);
    this.#client = null;
  }
}

/** An id greater than that of every transaction that has begun; given back at once. */
async function ownTransactionId(client: pg.Client): Promise<number> {
  await client.query('BEGIN');
  const [row] = await queryTexts(client, 'SELECT pg_current_xact_id()::text');
  await client.query('ROLLBACK');
  return Number(row![0]);
}

function columnsChanged(error: unknown): boolean {
  if (error instanceof ColumnsChanged) return true;
  return error instanceof Error && 'code' in error && UNDEFINED_COLUMN_OR_TABLE.test(String(error.code));
}
