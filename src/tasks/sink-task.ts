import { Encoders } from '../avro/codec.js';
import { KeyEncoder } from '../avro/progress-codec.js';
import type { OpenedSink, Outcome, Sink, SinkProgress } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import { failPoint } from '../failpoints.js';
import type { LogAppender, LogReader, TopicMessages } from '../log/contract.js';
import type { EntitySystemPlan } from '../plan/plan.js';
import { CommandQueue } from './command-queue.js';
import { CommandReader } from './command-reader.js';
import { OutcomeWriter } from './outcome-writer.js';
import { BirthReader } from './read-last.js';
import { makesGood, RequestReader } from './resync/requests.js';
import type { Task, TaskContext } from './task.js';

export interface SinkTaskOptions {
  readonly sync: string;
  readonly system: string;
  readonly entities: readonly EntitySystemPlan[];
  readonly createSink: () => Sink;
}

/** One batch that was written. */
interface Done {
  readonly records: number;
  readonly outcomes: readonly { readonly outcome: Outcome }[];
  readonly startedMs: number;
}

const UNBORN_PAUSE_MS = 200;
/** Bytes of commands that are written in one transaction: more are no faster, and all are in memory some times over. */
const MOST_BATCH_BYTES = 16 << 20;
/** Bytes of commands read and not yet answered, give or take what one fetch brings. */
const MOST_PENDING_BYTES = 32 << 20;

/**
 * The sink commit: the writes, their outcomes and which commands are answered, in one transaction of the target, guarded
 * by the task's epoch (I4). What the target's own stream does not tell is published before the next batch commits.
 *
 *     take over the target ─▶ seek ─▶ ┌─▶ read ─▶ pick ─▶ [ writes + progress ] ─▶ publish outcomes ─┐
 *                                     └──────────────────────────────────────────────────────────────┘
 *
 * Publishing needs neither transaction nor fence: what is told is committed in the target, whoever tells it, and told
 * again by the next holder where this one may not have; the decision takes the first telling (I15).
 */
export class SinkTask implements Task {
  private readonly topic: string;
  private readonly commands: CommandReader;
  private readonly births: BirthReader;
  private readonly uncaptured: ReadonlySet<string>;
  private appender: LogAppender | null = null;
  private sink: Sink | null = null;
  private reader: LogReader | null = null;
  private outcomes: { topic: string; keys: KeyEncoder; values: OutcomeWriter } | null = null;
  /** Null until the target is taken over. */
  private queue: CommandQueue | null = null;
  private birth = '';
  /** The lowest unanswered offset that the target has stored; what a restart may still ask for lies above it. */
  private storedLowest = 0;
  private lastTrimMs = 0;

  constructor(
    private readonly context: TaskContext,
    private readonly options: SinkTaskOptions,
  ) {
    const { sync, system, entities } = options;
    this.topic = context.topics.command(sync, system);
    this.commands = new CommandReader(context.registry);
    this.births = new BirthReader(context, sync);
    this.uncaptured = new Set(entities.filter(({ captured }) => !captured).map(({ entity }) => entity));
  }

  async open(): Promise<void> {
    await this.registerOutcomes();
  }

  async step(): Promise<boolean> {
    const { queue } = this;
    if (queue === null) return this.begin();
    const { clock, limits } = this.context;
    await this.fill(queue);
    const batch = queue.batch(clock.nowMs(), limits.batchRecords, MOST_BATCH_BYTES);
    if (batch.length === 0) {
      this.measure(queue, null);
      return false;
    }
    const startedMs = clock.nowMs();
    this.context.metrics.behind(this.options.system, queue.oldestMicros);
    const { outcomes, deferred } = await this.sink!.apply(batch, (answered) => queue.progressAfter(answered));
    await this.publish(outcomes.map(({ outcome }) => outcome));
    const answered = outcomes.map(({ offset }) => offset);
    const { lowest } = queue.settle(answered, deferred, clock.nowMs());
    // A batch that is deferred as a whole stores nothing.
    if (answered.length > 0) this.storedLowest = lowest;
    this.count(outcomes);
    this.measure(queue, { records: batch.length, outcomes, startedMs });
    await this.trim();
    return answered.length > 0;
  }

  async close(): Promise<void> {
    await this.reader?.close().catch(() => undefined);
    await this.sink?.close().catch(() => undefined);
    await this.appender?.close().catch(() => undefined);
  }

  /** Takes the target over, once the stream task has said which state its commands are made from. */
  private async begin(): Promise<boolean> {
    const { clock, log } = this.context;
    const { entities, createSink } = this.options;
    const birth = await this.births.read();
    if (birth === null) {
      await clock.pause(UNBORN_PAUSE_MS);
      return false;
    }
    this.birth = birth;
    if (this.outcomes !== null) this.appender = await log.appender();
    this.sink = createSink();
    const opened = await this.sink.open(birth);
    failPoint('sink.open.after-epoch');
    await this.publish(opened.unpublished);
    const progress = await this.startingPoint(opened);
    this.storedLowest = progress.lowest;
    const places = new Map(entities.map(({ entity, table, shape }) => [entity, { table, key: shape.key }]));
    this.reader = await log.reader([{ topic: this.topic, offset: progress.lowest }]);
    this.queue = new CommandQueue(progress, (entity) => places.get(entity) ?? { table: entity, key: [] });
    return true;
  }

  /** Reads more commands, unless so many wait already that the bound on what is kept in memory or beside the data is near. */
  private async fill(queue: CommandQueue): Promise<void> {
    const { clock, limits } = this.context;
    const { answeredAhead, batchRecords, idleWaitMs, pendingCommands } = limits;
    const full =
      queue.size >= pendingCommands ||
      queue.bytes >= MOST_PENDING_BYTES ||
      queue.answeredAhead + queue.size >= answeredAhead;
    const ready = queue.batch(clock.nowMs(), 1).length > 0;
    const pauseMs = Math.min(idleWaitMs, queue.pauseMs(clock.nowMs()) ?? idleWaitMs);
    if (full) {
      if (!ready) await clock.pause(pauseMs);
      return;
    }
    const maxRecords = Math.min(batchRecords, pendingCommands - queue.size);
    const records = await this.reader!.poll({ maxRecords, maxWaitMs: ready ? 0 : pauseMs });
    await this.commands.prepare(records.map(({ value }) => value));
    for (const { offset, value } of records) {
      const command = value === null ? null : this.commands.read(value);
      const isOurs = command?.id.startsWith(this.birth) === true;
      if (command === null || (!isOurs && (await this.isReplaced()))) queue.pass(offset);
      else queue.add(offset, command, value?.length ?? 0);
    }
  }

  /**
   * A command of another state is met. One that was made anew gives its commands new ids; those of the old one mean
   * nothing any more.
   * @throws DuologError STATE_REPLACED: this task works for the old one.
   */
  private async isReplaced(): Promise<boolean> {
    if ((await this.births.read()) === this.birth) return true;
    throw new DuologError('STATE_REPLACED', `The state of ${this.options.sync} has been made anew.`);
  }

  /** Outcomes that no change stream of the target tells: acknowledged by Kafka before anything else happens. */
  private async publish(outcomes: readonly Outcome[]): Promise<void> {
    const told = outcomes.filter(({ entity }) => this.uncaptured.has(entity));
    if (told.length === 0 || this.outcomes === null) return;
    const { topic, keys, values } = this.outcomes;
    const messages = told.map((outcome) => ({ key: keys.encode(outcome.link), value: values.write(outcome) }));
    const sends: TopicMessages[] = [{ topic, messages }];
    failPoint('sink.publish.before');
    await this.appender!.append(sends);
    failPoint('sink.publish.after');
  }

  private async registerOutcomes(): Promise<void> {
    if (this.uncaptured.size === 0) return;
    const { registry, topics } = this.context;
    const encoders = new Encoders(registry);
    const topic = topics.outcome(this.options.sync, this.options.system);
    this.outcomes = {
      topic,
      keys: await KeyEncoder.register(encoders, topic),
      values: await OutcomeWriter.register(encoders, topic),
    };
  }

  /**
   * Where the target says it stands; for one that has not seen this state yet, where the state began. The latter may be
   * a target restored from a backup that is older than the state: what it was told since has been trimmed.
   */
  private async startingPoint({ progress, birth }: OpenedSink): Promise<SinkProgress> {
    const bounds = await this.context.log.bounds(this.topic);
    const { earliest, end } = bounds;
    const { lowest, answered } =
      progress !== null && birth === this.birth
        ? progress
        : { lowest: this.births.commandsFrom(this.topic), answered: [] };
    if (lowest >= earliest && lowest <= end) return { lowest, answered };
    await this.refuseMissing(lowest, bounds);
    return { lowest: earliest, answered: lowest > end ? [] : answered.filter((offset) => offset >= earliest) };
  }

  /** @throws DuologError HISTORY_MISSING unless a resync asked for since has what is lost decided again. */
  private async refuseMissing(next: number, { earliest, end }: { earliest: number; end: number }): Promise<void> {
    const { system, entities } = this.options;
    const { log } = this.context;
    const request = await new RequestReader(this.context).last(system);
    const names = entities.map(({ entity }) => entity);
    if (request !== null && makesGood(request, this.topic, earliest, names)) {
      const asked = request.ends[this.topic]!;
      // A topic that was made anew says nothing of requests from before.
      const later = next > end ? await log.offsetAt(this.topic, request.time / 1000) : null;
      if (next <= end || (asked <= end && (later === null || later >= asked))) return;
    }
    throw new DuologError(
      'HISTORY_MISSING',
      `${system} has yet to be told commands that have been deleted: ${this.topic} from ${next} on, which holds ${earliest} to ${end}.`,
      { hint: `Run: duolog resync ${system}` },
    );
  }

  /** Commands below the lowest unanswered one that is stored are of use to nobody. */
  private async trim(): Promise<void> {
    const { clock, limits, log } = this.context;
    if (clock.nowMs() - this.lastTrimMs < limits.trimEveryMs) return;
    this.lastTrimMs = clock.nowMs();
    failPoint('sink.trim.before');
    await log.trim(this.topic, this.storedLowest);
  }

  private count(outcomes: Done['outcomes']): void {
    const counts = new Map<Outcome['status'], number>();
    for (const { outcome } of outcomes) counts.set(outcome.status, (counts.get(outcome.status) ?? 0) + 1);
    for (const [status, count] of counts) this.context.metrics.outcomes(status, count);
  }

  private measure(queue: CommandQueue, done: Done | null): void {
    const { clock, metrics } = this.context;
    if (done !== null) {
      const published = done.outcomes.filter(({ outcome }) => this.uncaptured.has(outcome.entity)).length;
      metrics.committed(done.records, published, (clock.nowMs() - done.startedMs) / 1000);
    }
    const { oldestMicros, size, deferred } = queue;
    metrics.behind(this.options.system, oldestMicros);
    metrics.inFlight(size);
    metrics.deferred(deferred);
  }
}
