import type {
  Position,
  ResyncRequest,
  Resume,
  Source,
  SourceBatch,
  SourceOptions,
  SourceStatus,
} from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import { clientConfig, type PostgresConnection } from './connection.js';
import { sourceFailure } from './failure.js';
import { publicationName, slotName } from './names.js';
import { type Prepared, prepareCapture } from './opening.js';
import { completeLsn, laterPosition, readPosition, type SourcePosition } from './position.js';
import { QuerySession } from './session.js';
import { Signal } from './signal.js';
import { ChangedKeys } from './snapshot/changed-keys.js';
import { SnapshotRun } from './snapshot/snapshot-run.js';
import { SlotWatch } from './slot-watch.js';
import { SourceTables } from './source-tables.js';
import { BatchQueue } from './stream/batch-queue.js';
import type { Lsn } from './stream/lsn.js';
import { Replication } from './stream/replication.js';
import { StreamReader } from './stream/stream-reader.js';

/** Bounds and intervals; the defaults are meant for production, tests make them small. */
export interface SourceTuning {
  /** A heartbeat after so long without a batch. */
  readonly heartbeatIntervalMs: number;
  readonly statusIntervalMs: number;
  /** Own transactions are held in memory up to this, on disk beyond. */
  readonly holdBytes: number;
  readonly maxChunkRows: number;
  /** Keys remembered while a table is being read. */
  readonly maxChangedKeys: number;
}

const DEFAULT_TUNING: SourceTuning = {
  heartbeatIntervalMs: 10_000,
  statusIntervalMs: 10_000,
  holdBytes: 8 << 20,
  maxChunkRows: 2_000,
  maxChangedKeys: 200_000,
};

/** Settings that make the planner walk the key's index, and refuse to read what row security would thin out. */
const SNAPSHOT_SETTINGS = {
  enable_bitmapscan: 'off',
  enable_seqscan: 'off',
  enable_sort: 'off',
  idle_in_transaction_session_timeout: '60000',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  row_security: 'off',
} as const;

/** What an open source is made of. */
interface Running {
  readonly session: QuerySession;
  readonly queue: BatchQueue;
  readonly tables: SourceTables;
  readonly replication: Replication;
  readonly reader: StreamReader;
  readonly snapshots: SnapshotRun;
  readonly watch: SlotWatch;
}

/**
 * Postgres' changes by logical replication, and the rows that were there before by snapshots, in one order:
 *
 *   Replication ─bytes─▶ StreamReader ─events─▶ BatchQueue ─▶ next()
 *   SnapshotRun ─chunks, at their watermark──────▶
 */
export class PostgresSource implements Source {
  readonly #system: string;
  readonly #slot: string;
  readonly #tuning: SourceTuning;
  readonly #news = new Signal();
  #running: Running | null = null;
  #opening: QuerySession | null = null;
  #failure: DuologError | null = null;
  #blocked = false;
  /** The position handed out last and not yet acknowledged. */
  #inFlight: Position | null = null;
  #lastBatchMs = 0;
  #heartbeatAskedMs: number | null = null;
  #keepalive: { readonly lsn: Lsn; readonly timeMicros: number; readonly receivedMs: number } | null = null;

  constructor(
    private readonly connection: PostgresConnection,
    private readonly options: SourceOptions,
    tuning: Partial<SourceTuning> = {},
  ) {
    this.#system = options.system;
    this.#slot = slotName(options.prefix, options.system);
    this.#tuning = { ...DEFAULT_TUNING, ...tuning };
  }

  async open(resume: Resume): Promise<void> {
    if (this.#running !== null) throw new DuologError('INTERNAL', `The source of ${this.#system} is open already`);
    const stored = laterPosition(readStored(resume.position), readStored(resume.heartbeat));
    this.#failure = null;
    this.#blocked = false;
    this.#inFlight = null;
    this.#keepalive = null;
    this.#heartbeatAskedMs = null;
    try {
      this.#opening = await QuerySession.connect(this.#client('source'));
      await this.#begin(this.#opening, stored, resume.resync ?? null);
    } catch (error) {
      await this.close();
      throw sourceFailure(error, this.#system, 'opening the source');
    } finally {
      this.#opening = null;
    }
  }

  async next(maxWaitMs: number): Promise<SourceBatch | null> {
    const deadlineMs = Date.now() + maxWaitMs;
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const running = this.#open();
      const taken = running.queue.take(this.options.maxBatchEvents, this.options.maxBatchBytes);
      running.reader.pump();
      this.#steer();
      running.snapshots.roomMade();
      if (taken !== null) return { kind: 'events', ...this.#handOut(taken) };
      const heartbeat = this.#heartbeat(running);
      if (heartbeat !== null) return heartbeat;
      const leftMs = deadlineMs - Date.now();
      if (leftMs <= 0) return null;
      await this.#news.wait(leftMs);
    }
  }

  async acknowledge(position: Position): Promise<void> {
    const running = this.#open();
    if (position === this.#inFlight) this.#inFlight = null;
    running.replication.acknowledge(completeLsn(readPosition(position)));
  }

  /** Reads an entity's table again from its beginning, while the stream goes on and without a gap in it. */
  readAgain(entity: string): void {
    const { tables } = this.#open();
    tables.get(entity);
    this.#readAgain(entity);
    this.#news.notify();
  }

  status(): SourceStatus {
    const running = this.#running;
    if (running === null) {
      // All that takes long in opening is to make the slot.
      const phase = this.#opening === null ? 'closed' : 'waiting-for-transactions';
      return { phase, detail: null, snapshot: {}, retainedBytes: null, newestCommitTimeMicros: null };
    }
    const { snapshots, reader, tables, queue, watch } = running;
    const phases = { idle: 'streaming', reading: 'snapshot' } as const;
    const phase = snapshots.phase;
    return {
      phase: phase === 'waiting-for-transactions' ? phase : phases[phase],
      detail: snapshots.detail,
      snapshot: Object.fromEntries(
        tables.all.map(({ shape: { entity }, estimate }) => {
          const progress = queue.progress(entity);
          const rows = progress === undefined || progress.state === 'pending' ? 0 : progress.rows;
          return [entity, { rows, estimate: estimate?.rows ?? null, done: progress?.state === 'done' }];
        }),
      ),
      retainedBytes: watch.retainedBytes,
      newestCommitTimeMicros: reader.newestCommitTimeMicros,
    };
  }

  async close(): Promise<void> {
    this.#opening?.close();
    const running = this.#running;
    this.#running = null;
    if (running === null) return;
    running.watch.close();
    running.snapshots.close();
    running.reader.stop();
    await running.replication.close();
    running.session.close();
    this.#news.notify();
  }

  async #begin(session: QuerySession, stored: SourcePosition | null, resync: ResyncRequest | null): Promise<void> {
    const prepared = await prepareCapture(session, this.options, stored, resync);
    const running = this.#assemble(session, prepared);
    this.#running = running;
    if (resync !== null) tellGaps(running, prepared.again, resync.id);
    for (const [entity, progress] of Object.entries(prepared.start.tables)) running.snapshots.add(entity, progress);
    await running.replication.start();
    this.#lastBatchMs = Date.now();
    running.snapshots.start();
    running.watch.start();
  }

  #assemble(session: QuerySession, { facts, described, start, durable }: Prepared): Running {
    const tables = new SourceTables(this.#system, session, described, (entity) => {
      if (snapshots.isPending(entity)) this.#readAgain(entity);
    });
    const queue = new BatchQueue(facts.cluster, start);
    const changedKeys = new ChangedKeys(this.#tuning.maxChangedKeys);
    const snapshots: SnapshotRun = this.#snapshots(queue, tables, changedKeys, () => this.#boundary(reader, snapshots));
    const reader: StreamReader = this.#reader(start, queue, tables, changedKeys, snapshots);
    const senderTimeoutMs = facts.senderTimeoutMs ?? Number.POSITIVE_INFINITY;
    const replication = new Replication(
      {
        client: this.#client('replication'),
        slot: this.#slot,
        publication: publicationName(this.options.prefix, this.#system),
        durable,
        statusIntervalMs: Math.min(this.#tuning.statusIntervalMs, senderTimeoutMs / 3),
      },
      {
        message: (bytes) => {
          reader.receive(bytes);
          if (queue.events > 0) this.#news.notify();
          if (this.#full(queue)) this.#steer();
        },
        keepalive: (lsn, timeMicros) => {
          this.#keepalive = { lsn, timeMicros, receivedMs: Date.now() };
          this.#news.notify();
        },
        ended: (error) => this.#fail(error, 'reading changes'),
      },
    );
    const watch = new SlotWatch(session, this.#system, this.#slot, (error) => this.#fail(error, 'watching the slot'));
    return { session, queue, tables, replication, reader, snapshots, watch };
  }

  #snapshots(queue: BatchQueue, tables: SourceTables, changedKeys: ChangedKeys, chunkArrived: () => void): SnapshotRun {
    return new SnapshotRun({
      slot: this.#slot,
      client: clientConfig(this.connection, this.#applicationName('snapshot'), SNAPSHOT_SETTINGS),
      changedKeys,
      maxChunkRows: this.#tuning.maxChunkRows,
      table: (entity) => tables.get(entity),
      describeAgain: async (entity) => {
        await tables.describeAgain(entity);
        this.#readAgain(entity);
      },
      hasRoom: () => queue.events < this.options.maxBatchEvents && queue.bytes < this.options.maxBatchBytes,
      chunkArrived,
      deliver: (event, bytes) => queue.read(event, bytes),
      passed: (entity, after) => queue.passed(entity, after),
      failed: (error) => this.#fail(error, 'reading a snapshot'),
    });
  }

  #reader(
    start: SourcePosition,
    queue: BatchQueue,
    tables: SourceTables,
    changedKeys: ChangedKeys,
    snapshots: SnapshotRun,
  ): StreamReader {
    return new StreamReader(
      this.#slot,
      start,
      {
        prefix: this.options.prefix,
        queue,
        holdBytes: this.#tuning.holdBytes,
        shape: (entity) => tables.find(entity)?.shape,
        relation: (message) => tables.relation(message),
        changed: (entity, key, transaction) => changedKeys.changed(entity, key, transaction),
        truncated: (entity) => this.#readAgain(entity),
        watermark: (content) => snapshots.watermark(content),
        boundary: () => snapshots.deliverReady(),
        blocked: (blocked) => {
          if (blocked === this.#blocked) return;
          this.#blocked = blocked;
          this.#steer();
          this.#news.notify();
        },
        failed: (error) => this.#fail(error, 'reading changes'),
      },
      () => !this.#full(queue),
    );
  }

  /** Lets chunks in between two transactions of the stream. */
  #boundary(reader: StreamReader, snapshots: SnapshotRun): void {
    if (!reader.betweenTransactions) return;
    snapshots.deliverReady();
    this.#news.notify();
  }

  #readAgain(entity: string): void {
    const { queue, tables, snapshots } = this.#open();
    queue.again(entity, tables.get(entity).shape.table);
    snapshots.restart(entity);
  }

  #full(queue: BatchQueue): boolean {
    return queue.events >= 2 * this.options.maxBatchEvents || queue.bytes >= 2 * this.options.maxBatchBytes;
  }

  /** Stops the socket while two batches wait (fewer would cost latency) or the reader is blocked; goes on otherwise. */
  #steer(): void {
    const running = this.#running;
    if (running === null) return;
    if (this.#blocked || this.#full(running.queue)) running.replication.pause();
    else running.replication.resume();
  }

  #handOut<T extends { readonly position: Position }>(batch: T): T {
    this.#inFlight = batch.position;
    this.#lastBatchMs = Date.now();
    this.#heartbeatAskedMs = null;
    return batch;
  }

  /**
   * After a quiet while: how far the server has come without anything for us. Only with nothing in flight or waiting,
   * and from the answer to a question asked then, so that its time is now.
   */
  #heartbeat({ queue, reader, replication }: Running): SourceBatch | null {
    const nowMs = Date.now();
    if (this.#inFlight !== null || queue.events > 0 || !reader.betweenTransactions) return null;
    if (nowMs - this.#lastBatchMs < this.#tuning.heartbeatIntervalMs) return null;
    const keepalive = this.#keepalive;
    if (this.#heartbeatAskedMs === null || keepalive === null || keepalive.receivedMs < this.#heartbeatAskedMs) {
      if (this.#heartbeatAskedMs === null || nowMs - this.#heartbeatAskedMs > this.#tuning.statusIntervalMs) {
        this.#heartbeatAskedMs = nowMs;
        replication.ask();
      }
      return null;
    }
    // The keepalive's place is where the next record may begin: what begins below it has been sent.
    const position = queue.position(keepalive.lsn - 1);
    return { kind: 'heartbeat', ...this.#handOut({ position, timeMicros: keepalive.timeMicros }) };
  }

  #fail(error: unknown, doing: string): void {
    this.#failure ??= sourceFailure(error, this.#system, doing);
    this.#running?.reader.stop();
    this.#news.notify();
  }

  #open(): Running {
    if (this.#running === null)
      throw new DuologError('SOURCE_UNREACHABLE', `The source of ${this.#system} is not open`);
    return this.#running;
  }

  #client(role: string) {
    return clientConfig(this.connection, this.#applicationName(role));
  }

  #applicationName(role: string): string {
    return `duolog ${role} ${this.options.prefix} ${this.#system}`;
  }
}

/** Before anything else: what came until now may be incomplete. */
function tellGaps({ queue, tables }: Running, entities: readonly string[], request: string): void {
  for (const entity of entities) {
    const table = tables.get(entity).shape;
    const gap = { kind: 'end', table, end: 'gap', commitTimeMicros: null, transaction: request } as const;
    queue.read((position) => ({ ...gap, position }), 0);
  }
}

function readStored(position: Position | null): SourcePosition | null {
  return position === null ? null : readPosition(position);
}
