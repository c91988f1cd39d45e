import { ChangeEncoder } from '../avro/change-codec.js';
import { Encoders, type Encoder } from '../avro/codec.js';
import {
  heartbeatEncoder,
  heartbeatOf,
  KeyEncoder,
  positionEncoder,
  positionOf,
  type HeartbeatRecord,
  requestEncoder,
  type PositionRecord,
  type RequestRecord,
} from '../avro/progress-codec.js';
import type { Position, Source, SourceBatch, SourceEvent } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import { failPoint } from '../failpoints.js';
import type { LogMessage, LogProducer, TopicMessages } from '../log/contract.js';
import type { TableShape } from '../model/table.js';
import type { EntitySystemPlan } from '../plan/plan.js';
import { readLast } from './read-last.js';
import { RequestReader, takenKey } from './resync/requests.js';
import type { Task, TaskContext } from './task.js';

/**
 * The source commit: change events and the position that follows them, in one Kafka transaction; then, never before,
 * the system is told that it may forget (I1). One record's changes go to one partition, in the order of the system's
 * commits (I2).
 *
 *     fence ─▶ read position ─▶ open the system ─▶ ┌─▶ next batch ─▶ [ events + position ] ─▶ acknowledge ─┐
 *                                                  └───────────────────────────────────────────────────────┘
 *
 * A request for a resync is taken up by opening; the first commit, which has the gap in it, says so.
 */
export class SourceTask implements Task {
  private readonly encoders: Encoders;
  private readonly tables = new Map<TableShape, Table>();
  private producer: LogProducer | null = null;
  private source: Source | null = null;
  private positions!: { key: Buffer; encoder: Encoder<PositionRecord> };
  private heartbeats!: { key: Buffer; encoder: Encoder<HeartbeatRecord> };
  private readonly requests: RequestReader;
  private answers!: { key: Buffer; encoder: Encoder<RequestRecord> };
  /** Taken up by opening; its answer goes with the first commit. */
  private takingUp: RequestRecord | null = null;
  /** Taken up by this life. */
  private taken: string | null = null;
  private lastLookMs = 0;

  constructor(
    private readonly context: TaskContext,
    private readonly system: string,
    private readonly entities: readonly EntitySystemPlan[],
    private readonly createSource: () => Source,
  ) {
    this.encoders = new Encoders(context.registry);
    this.requests = new RequestReader(context);
  }

  async open(): Promise<void> {
    const { clock, log, prefix, topics } = this.context;
    this.producer = await log.producer(`${prefix}.source.${this.system}`);
    failPoint('source.open.after-fence');
    await this.register();
    const position = await readLast(
      this.context,
      topics.position(this.system),
      this.system,
      (value) => positionOf(value).position,
    );
    const heartbeat = await readLast(
      this.context,
      topics.heartbeat(),
      this.system,
      (value) => heartbeatOf(value).position,
    );
    this.lastLookMs = clock.nowMs();
    this.takingUp = await this.newRequest();
    this.taken = this.takingUp?.id ?? null;
    this.source = this.createSource();
    await this.source.open({ position, heartbeat, resync: this.takingUp });
    failPoint('source.open.after-system');
  }

  async step(): Promise<boolean> {
    const { clock, limits, metrics } = this.context;
    await this.lookForRequests();
    const batch = await this.source!.next(limits.idleWaitMs);
    if (batch === null) {
      metrics.behind(this.system, null);
      return false;
    }
    const startedMs = clock.nowMs();
    this.noteAge(batch);
    await this.commit(batch);
    this.measure(batch, startedMs);
    return true;
  }

  async close(): Promise<void> {
    await this.source?.close().catch(() => undefined);
    await this.producer?.close().catch(() => undefined);
  }

  /** Position and heartbeat both: those that stand there may be of another database, or of a log that is no more. */
  private answer(request: RequestRecord, { kind, position }: SourceBatch): TopicMessages[] {
    const time = this.context.clock.nowMs() * 1000;
    const { key, encoder } = this.answers;
    const value = encoder.encode({ ...request, taken: time });
    return [
      { topic: this.context.topics.request(), messages: [{ key, value }] },
      kind === 'events' ? this.heartbeat(position, time) : this.position(position),
    ];
  }

  private async newRequest(): Promise<RequestRecord | null> {
    const pending = await this.requests.pending();
    return pending.find(({ system, id }) => system === this.system && id !== this.taken) ?? null;
  }

  /** @throws DuologError RESYNC_REQUESTED: the source is to be opened anew. */
  private async lookForRequests(): Promise<void> {
    const nowMs = this.context.clock.nowMs();
    if (nowMs - this.lastLookMs < REQUESTS_EVERY_MS) return;
    this.lastLookMs = nowMs;
    const request = await this.newRequest();
    if (request === null) return;
    throw new DuologError('RESYNC_REQUESTED', `A resync of ${this.system} has been asked for (${request.id}).`);
  }

  private async commit(batch: SourceBatch): Promise<void> {
    const sends = batch.kind === 'events' ? await this.changes(batch.events) : [];
    sends.push(
      batch.kind === 'events' ? this.position(batch.position) : this.heartbeat(batch.position, batch.timeMicros),
    );
    if (this.takingUp !== null) sends.push(...this.answer(this.takingUp, batch));
    await this.producer!.commit({ sends, task: 'source' });
    this.takingUp = null;
    failPoint('source.acknowledge.before');
    await this.source!.acknowledge(batch.position);
    failPoint('source.acknowledge.after');
  }

  private async changes(events: readonly SourceEvent[]): Promise<TopicMessages[]> {
    const byTopic = new Map<string, LogMessage[]>();
    for (const event of events) {
      const table = this.tables.get(event.table) ?? (await this.registerTable(event.table));
      let messages = byTopic.get(table.topic);
      if (messages === undefined) byTopic.set(table.topic, (messages = []));
      const key = eventKey(event);
      messages.push({ key: key === null ? null : table.keys.encode(key), value: table.changes.encode(event) });
    }
    return Array.from(byTopic, ([topic, messages]) => ({ topic, messages }));
  }

  private position(position: Position): TopicMessages {
    const { key, encoder } = this.positions;
    const value = encoder.encode({
      system: this.system,
      position,
      time: this.context.clock.nowMs() * 1000,
    });
    return { topic: this.context.topics.position(this.system), messages: [{ key, value }] };
  }

  /** A quiet system: its position goes with the time, so that it may forget and that time passes for the decision. */
  private heartbeat(position: Position, timeMicros: number): TopicMessages {
    const { key, encoder } = this.heartbeats;
    const value = encoder.encode({
      system: this.system,
      position,
      sync: null,
      birth: null,
      commandsFrom: null,
      time: timeMicros,
    });
    return { topic: this.context.topics.heartbeat(), messages: [{ key, value }] };
  }

  /** All schemas before the first event, so that an incompatible one stops the task and not a batch half way. */
  private async register(): Promise<void> {
    const { topics } = this.context;
    const position = topics.position(this.system);
    const heartbeat = topics.heartbeat();
    this.positions = {
      key: (await KeyEncoder.register(this.encoders, position)).encode(this.system),
      encoder: await positionEncoder(this.encoders, position),
    };
    this.heartbeats = {
      key: (await KeyEncoder.register(this.encoders, heartbeat)).encode(this.system),
      encoder: await heartbeatEncoder(this.encoders, heartbeat),
    };
    const request = topics.request();
    this.answers = {
      key: (await KeyEncoder.register(this.encoders, request)).encode(takenKey(this.system)),
      encoder: await requestEncoder(this.encoders, request),
    };
    await Promise.all(this.entities.map(({ shape }) => this.registerTable(shape)));
  }

  /** Also when a table changes its columns: the new shape is another object. */
  private async registerTable(shape: TableShape): Promise<Table> {
    const { limits, topics } = this.context;
    const topic = topics.change(this.system, shape.entity);
    const table: Table = {
      topic,
      keys: await KeyEncoder.register(this.encoders, topic),
      changes: await ChangeEncoder.register(this.encoders, topic, shape, limits.messageBytes - MESSAGE_ROOM_BYTES),
    };
    for (const known of this.tables.keys()) {
      if (known.entity === shape.entity) this.tables.delete(known);
    }
    this.tables.set(shape, table);
    return table;
  }

  private measure(batch: SourceBatch, startedMs: number): void {
    const { clock, metrics } = this.context;
    if (batch.kind === 'heartbeat') return;
    metrics.committed(batch.events.length, batch.events.length, (clock.nowMs() - startedMs) / 1000);
  }

  /** Until it is committed the batch counts as not done; snapshot rows have no time of their own. */
  private noteAge(batch: SourceBatch): void {
    const time = batch.kind === 'events' ? batch.events.at(-1)?.commitTimeMicros : null;
    if (time !== null && time !== undefined) this.context.metrics.behind(this.system, time);
  }
}

const REQUESTS_EVERY_MS = 2000;

/** Of a message's limit, for its key and for the batch around it. */
const MESSAGE_ROOM_BYTES = 8192;

interface Table {
  readonly topic: string;
  readonly keys: KeyEncoder;
  readonly changes: ChangeEncoder;
}

function eventKey(event: SourceEvent): string | null {
  switch (event.kind) {
    case 'change':
      return event.key;
    case 'outcome':
      return event.outcome.key;
    case 'end':
      return null;
  }
}
