import type { AnswerEvent, StreamEvent } from '../decision/events.js';
import type { Output } from '../decision/outputs.js';
import { adoptConfiguration } from '../decision/added-fields.js';
import type { Share } from '../decision/settle.js';
import { hasCursors, initialState, SYNC_KEY, syncRecord, type StateRecord } from '../decision/state.js';
import { DuologError } from '../errors/duolog-error.js';
import { failPoint } from '../failpoints.js';
import type { LogProducer, LogReader, LogRecord, LogTransaction, TopicMessages } from '../log/contract.js';
import type { SyncPlan } from '../plan/plan.js';
import type { Changelog } from '../state/changelog.js';
import type { State } from '../state/contract.js';
import type { QuietDecision } from '../quiet/quiet-decision.js';
import type { QuietOptions, QuietPath } from '../quiet/quiet-path.js';
import { withdrawFormer } from './former-state.js';
import { BirthReader } from './read-last.js';
import { StreamGaps } from './resync/gaps.js';
import { streamInputs, StreamReader, type StreamInput } from './stream-inputs.js';
import { StepShare } from './step-share.js';
import { StreamMessages, writtenSystems, type MessageBatch } from './stream-messages.js';
import type { Task, TaskContext } from './task.js';
import { VanishedBrake, type Verdict } from './resync/vanished-brake.js';

/** The decision: pure, and an argument so that a replay can bring another. */
export type Decide = (
  state: State<StateRecord>,
  event: StreamEvent | AnswerEvent,
  plan: SyncPlan,
  share: Share,
) => readonly Output[];

type Decider = Pick<QuietPath, 'decide'>;

export interface StreamTaskOptions {
  readonly plan: SyncPlan;
  readonly decide: Decide;
  /** What spares the decision most of its work; null where every event is to be decided. */
  readonly quietPath: ((options: QuietOptions) => Decider | Promise<Decider>) | null;
  /** Outlives this object: a standby keeps it up to date. */
  readonly changelog: Changelog;
  /** An id that is never given twice. */
  readonly newBirth: () => string;
}

type DecisionOutput = Extract<Output, { readonly kind: 'decision' }>;

/** What one transaction will say. */
interface Decided {
  readonly batch: MessageBatch;
  readonly decisions: readonly DecisionOutput[];
  /** Records of the log that it covers. */
  readonly taken: number;
}

/** A stream task that has decided and committed everything it could read. */
export interface StreamRest {
  /** By topic, the offset below which nothing is left to be decided. */
  readonly decidedTo: Readonly<Record<string, number>>;
  /** Every captured table has been read once and its records are matched. */
  readonly snapshotsEnded: boolean;
}

/**
 * The stream commit: commands, canonical records, decisions, holds, the changelog of the state and the consumed
 * offsets, in one Kafka transaction; then the local store may have them (I3).
 *
 *     fence ─▶ restore ─▶ seek ─▶ ┌─▶ read ─▶ decide ─▶ [ outputs + changelog + offsets ] ─▶ store ─┐
 *                                 └────────────────────────────────────────────────────────────────┘
 */
export class StreamTask implements Task {
  private readonly inputs: readonly StreamInput[];
  private readonly records: StreamReader;
  private readonly outcomes: ReadonlySet<string>;
  private producer: LogProducer | null = null;
  private reader: LogReader | null = null;
  private readonly gaps: StreamGaps;
  private readonly brake: VanishedBrake;
  /** The record that may be decided next although much would go with it, or is left out. */
  private judged: { readonly record: LogRecord; readonly verdict: Verdict } | null = null;
  /** Asked for, to be decided before what was read. */
  private asked: StreamEvent[] = [];
  private messages!: StreamMessages;
  private quiet: Decider | null = null;
  /** Read and not yet decided. */
  private waiting: readonly LogRecord[] = [];
  /** Next offset of each topic. */
  private consumed: Record<string, number> = {};
  private rested: StreamRest | null = null;
  /** Commit time of the last event taken, by system. */
  private readonly newest = new Map<string, number>();
  private readonly share = new StepShare();
  private lastOffsetsMs = 0;
  private lastFlushMs = 0;
  private lastTrimMs = 0;
  private lastLookMs = 0;

  constructor(
    private readonly context: TaskContext,
    private readonly options: StreamTaskOptions,
  ) {
    this.inputs = streamInputs(options.plan, context.topics);
    this.records = new StreamReader(this.inputs, options.plan, context.registry);
    this.outcomes = new Set(this.inputs.filter(({ kind }) => kind === 'outcome').map(({ topic }) => topic));
    this.gaps = new StreamGaps(context, options.plan, this.inputs);
    this.brake = new VanishedBrake(context, options.plan);
  }

  async open(): Promise<void> {
    const { log, prefix } = this.context;
    const { plan, changelog } = this.options;
    this.producer = await log.producer(`${prefix}.stream.${plan.name}`);
    failPoint('stream.open.after-fence');
    this.messages = await StreamMessages.register(this.context, plan);
    await changelog.catchUp(await new BirthReader(this.context, plan.name).read());
    failPoint('stream.open.after-restore');
    const quietOptions = {
      plan,
      stateSchemaId: changelog.schemaId,
      decoder: this.records.decoder,
      topics: this.messages.quietTopics(),
      state: changelog.store,
    };
    this.quiet = (await this.options.quietPath?.(quietOptions)) ?? null;
    await this.begin();
    await this.openReader();
  }

  async step(): Promise<boolean> {
    const { clock, metrics } = this.context;
    const { store } = this.options.changelog;
    await this.lookForRequests();
    if (this.waiting.length === 0 && this.asked.length === 0 && !hasCursors(store)) {
      this.waiting = await this.read();
      if (this.waiting.length === 0) {
        this.rest();
        return false;
      }
      await this.records.prepare(this.waiting);
    }
    this.rested = null;
    const startedMs = clock.nowMs();
    await this.judgeNext();
    const decided = this.decide();
    // Time that only passes is no news: the next commit takes it along, so that topics are silent at rest.
    if (decided.batch.size === 0 && store.hasOnlyChanged(SYNC_KEY) && this.newest.size === 0) return true;
    for (const [system, micros] of this.newest) metrics.behind(system, micros);
    await this.commit(decided.batch);
    this.measure(decided, startedMs);
    await this.trim();
    return true;
  }

  /** Null while the task is at work. */
  atRest(): StreamRest | null {
    return this.rested;
  }

  async close(): Promise<void> {
    this.rested = null;
    await this.reader?.close().catch(() => undefined);
    await this.producer?.close().catch(() => undefined);
    this.options.changelog.discard();
  }

  private async openReader(): Promise<void> {
    await this.reader?.close();
    const start = this.inputs.map(({ topic }) => ({ topic, offset: this.consumed[topic]! }));
    this.reader = await this.context.log.reader(start);
  }

  /** @throws DuologError HISTORY_MISSING where records are gone that are yet to be read, and no resync was asked for. */
  private async read(): Promise<readonly LogRecord[]> {
    const { batchRecords, idleWaitMs } = this.context.limits;
    const options = { maxRecords: batchRecords, maxWaitMs: idleWaitMs };
    try {
      const records = await this.reader!.poll(options);
      if (records.length === 0 || !records.every(({ topic }) => this.outcomes.has(topic))) return records;
      // Nobody waits for an outcome as for a change: it goes with the next one, if that comes soon.
      const rest = { maxRecords: batchRecords - records.length, maxWaitMs: Math.min(OUTCOMES_WAIT_MS, idleWaitMs) };
      return rest.maxRecords === 0 ? records : [...records, ...(await this.reader!.poll(rest))];
    } catch (error) {
      if (!(error instanceof DuologError) || error.code !== 'KAFKA_OFFSET_OUT_OF_RANGE') throw error;
      const moved = await this.gaps.goOn(this.options.changelog.store, this.consumed);
      if (Object.keys(moved).length === 0) throw error;
      Object.assign(this.consumed, moved);
      await this.openReader();
      return this.reader!.poll(options);
    }
  }

  /** For targets that nobody captures: others are asked by their sources. */
  private async lookForRequests(): Promise<void> {
    const nowMs = this.context.clock.nowMs();
    if (nowMs - this.lastLookMs < REQUESTS_EVERY_MS || this.asked.length > 0) return;
    this.lastLookMs = nowMs;
    this.asked = [...(await this.gaps.asked(this.options.changelog.store))];
  }

  /** All that is known is done. The local store says so now and then, or it would be too old to be believed one day. */
  private rest(): void {
    const { clock, metrics } = this.context;
    this.rested = {
      decidedTo: Object.fromEntries(this.inputs.map(({ topic }) => [topic, this.reader!.position(topic)])),
      snapshotsEnded: this.snapshotsEnded(),
    };
    for (const system of this.newest.keys()) metrics.behind(system, null);
    this.newest.clear();
    if (clock.nowMs() - this.lastFlushMs < REST_FLUSH_EVERY_MS) return;
    this.lastFlushMs = clock.nowMs();
    this.options.changelog.store.flush();
  }

  private snapshotsEnded(): boolean {
    const ended = syncRecord(this.options.changelog.store)?.snapshots ?? {};
    const changes = this.inputs.filter((input) => input.kind === 'change');
    return changes.every(({ system, entity }) => ended[`${system}/${entity}`]?.phase === 'ended');
  }

  /** Decides what was read, and first of all what is left of earlier events, until there is enough for one transaction. */
  private decide(): Decided {
    const { limits } = this.context;
    const { changelog, decide, plan } = this.options;
    const batch = this.messages.batch();
    const decisions: DecisionOutput[] = [];
    let steps = 0;
    let taken = 0;
    const bytes = () => batch.bytes + changelog.store.touchedBytes;
    while (steps++ < limits.batchOutputs) {
      if (batch.size >= limits.batchOutputs || (steps > 1 && bytes() > MOST_BYTES)) break;
      const unread = hasCursors(changelog.store) ? CONTINUE : this.asked.shift();
      const quiet = unread === undefined ? this.quietly(this.waiting[taken]!) : null;
      if (quiet !== null) {
        this.apply(this.waiting[taken++]!, quiet, batch);
        if (taken === this.waiting.length) break;
        continue;
      }
      const read = unread ?? this.records.event(this.waiting[taken]!);
      const verdict = unread === undefined ? this.verdict(this.waiting[taken]!, read) : 'decide';
      if (verdict === null) break;
      const event = verdict === 'leave' ? null : read;
      if (unread === undefined) this.take(this.waiting[taken++]!, event);
      if (event !== null) {
        const outputs = this.share.of(changelog.store, (share) => decide(changelog.store, event, plan, share));
        batch.take(outputs);
        for (const output of outputs) if (output.kind === 'decision') decisions.push(output);
      }
      if (taken === this.waiting.length && this.asked.length === 0 && !hasCursors(changelog.store)) break;
    }
    this.waiting = this.waiting.slice(taken);
    return { batch, decisions, taken };
  }

  private quietly(record: LogRecord): QuietDecision | null {
    const input = this.records.input(record);
    if (this.quiet === null || (input?.kind !== 'change' && input?.kind !== 'outcome')) return null;
    return this.quiet.decide(record, input);
  }

  private apply(
    record: LogRecord,
    { system, commitTimeMicros, puts, sync, outputs }: QuietDecision,
    batch: MessageBatch,
  ): void {
    const { store } = this.options.changelog;
    this.consumed[record.topic] = record.offset + 1;
    if (commitTimeMicros !== null) this.newest.set(system, commitTimeMicros);
    for (const { key, bytes, gone, come } of puts) store.putBytes(key, bytes, gone, come);
    if (sync !== null) store.put(SYNC_KEY, sync);
    batch.takeWritten(outputs);
  }

  /** Null: it must be judged first, once all before it has been decided. */
  private verdict(record: LogRecord, event: StreamEvent | AnswerEvent | null): Verdict | null {
    if (!this.brake.concerns(this.options.changelog.store, event)) return 'decide';
    return this.judged?.record === record ? this.judged.verdict : null;
  }

  /** @throws DuologError RECORDS_VANISHED where a reading would take too much with it. */
  private async judgeNext(): Promise<void> {
    const { store } = this.options.changelog;
    const [record] = this.waiting;
    if (record === undefined || this.asked.length > 0 || hasCursors(store)) return;
    const event = this.records.event(record);
    if (!this.brake.concerns(store, event) || this.judged?.record === record) return;
    this.judged = { record, verdict: await this.brake.judge(store, event) };
  }

  private take(record: LogRecord, event: StreamEvent | AnswerEvent | null): void {
    this.consumed[record.topic] = record.offset + 1;
    if (event === null || !('commitTimeMicros' in event)) return;
    if (event.commitTimeMicros !== null) this.newest.set(event.system, event.commitTimeMicros);
  }

  private async commit(batch: MessageBatch, more: readonly TopicMessages[] = []): Promise<void> {
    const { changelog } = this.options;
    const { store } = changelog;
    store.put(SYNC_KEY, { ...syncRecord(store)!, consumed: { ...this.consumed } });
    const sends = [...batch.sends(store.seal()), ...more];
    failPoint('stream.decide.after');
    const { offsets } = await this.producer!.commit({ sends, ...this.groupOffsets(), task: 'stream' });
    failPoint('stream.flush.before');
    store.committed(offsets.get(changelog.topic)!);
    failPoint('stream.flush.after');
  }

  /** Checks that the state is of this configuration, or begins one; says which state is alive. */
  private async begin(): Promise<void> {
    const { clock } = this.context;
    const { changelog, plan, newBirth } = this.options;
    const { store } = changelog;
    const isNew = syncRecord(store) === undefined;
    if (isNew) {
      initialState(store, { birth: newBirth(), ...plan });
      store.put(SYNC_KEY, { ...syncRecord(store)!, commandsFrom: await this.commandsFrom() });
    } else adoptConfiguration(store, plan);
    const sync = syncRecord(store)!;
    this.consumed = { ...sync.consumed, ...(await this.gaps.beginnings(sync.consumed)) };
    if (isNew) await withdrawFormer(this.context, plan, this.producer!);
    await this.commit(this.messages.batch(), [this.messages.heartbeat(plan.name, sync, clock.nowMs())]);
  }

  /** What stands in the command topics already was decided by another state. */
  private async commandsFrom(): Promise<Readonly<Record<string, number>>> {
    const { log, topics } = this.context;
    const { plan } = this.options;
    const ends: Record<string, number> = {};
    for (const system of writtenSystems(plan)) {
      const topic = topics.command(plan.name, system);
      ends[topic] = (await log.bounds(topic)).end;
    }
    return ends;
  }

  /** For whoever looks at the group with Kafka's tools; now and then is enough. */
  private groupOffsets(): Pick<LogTransaction, 'consumed'> {
    const { clock, prefix } = this.context;
    if (clock.nowMs() - this.lastOffsetsMs < GROUP_OFFSETS_EVERY_MS) return {};
    this.lastOffsetsMs = clock.nowMs();
    const offsets = Object.entries(this.consumed).map(([topic, offset]) => ({ topic, offset }));
    return { consumed: { group: `${prefix}.stream.${this.options.plan.name}`, offsets } };
  }

  private measure({ batch, decisions, taken }: Decided, startedMs: number): void {
    const { clock, metrics } = this.context;
    metrics.committed(taken, batch.size, (clock.nowMs() - startedMs) / 1000);
    for (const { entity, decision } of decisions) metrics.decision(entity, decision);
  }

  /** What was consumed goes: at once where nobody else reads it, change topics once their subscribers had their time. */
  private async trim(): Promise<void> {
    const { clock, limits, log } = this.context;
    const nowMs = clock.nowMs();
    if (nowMs - this.lastTrimMs < limits.trimEveryMs) return;
    this.lastTrimMs = nowMs;
    for (const { kind, topic } of this.inputs) {
      if (kind === 'heartbeat') continue;
      const consumed = this.consumed[topic]!;
      const kept = kind === 'change' ? await log.offsetAt(topic, nowMs - limits.changeRetentionMs) : null;
      await log.trim(topic, kept === null ? consumed : Math.min(kept, consumed));
    }
  }
}

/** A transaction that says so much, or for which so much of large records has been read, takes up nothing more. */
const MOST_BYTES = 16 << 20;
const GROUP_OFFSETS_EVERY_MS = 5000;
const REQUESTS_EVERY_MS = 2000;
const OUTCOMES_WAIT_MS = 15;
const REST_FLUSH_EVERY_MS = 600_000;
const CONTINUE: StreamEvent = { kind: 'continue' };
