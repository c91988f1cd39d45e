import assert from 'node:assert/strict';
import { decide } from '../../src/decision/decide.js';
import { indexEntries } from '../../src/decision/entries.js';
import type { Output } from '../../src/decision/outputs.js';
import { SYNC_KEY, syncRecord, type StateRecord } from '../../src/decision/state.js';
import type { LogRecord } from '../../src/log/contract.js';
import type { SyncPlan } from '../../src/plan/plan.js';
import type { QuietDecision } from '../../src/quiet/quiet-decision.js';
import { QuietPath, type QuietInput, type QuietOptions } from '../../src/quiet/quiet-path.js';
import type { ByteState, State } from '../../src/state/contract.js';
import { AvroStateCodec } from '../../src/state/state-codec.js';
import { StreamMessages } from '../../src/tasks/stream-messages.js';
import { streamInputs, StreamReader } from '../../src/tasks/stream-inputs.js';
import type { TaskContext } from '../../src/tasks/task.js';

/**
 * The quiet path beside the decision: whatever it says of an event, the decision is asked for the same event on the same
 * state, and must say the same to the byte: messages, links, index entries, and the sync's own record.
 */
export class CheckedQuietPath {
  /** Events that the quiet path has decided, and those that it left, by kind. */
  static readonly counts = { quiet: 0, left: 0 };

  private constructor(
    private readonly options: QuietOptions,
    private readonly quiet: QuietPath,
    private readonly reader: StreamReader,
    private readonly messages: StreamMessages,
    private readonly codec: AvroStateCodec,
  ) {}

  static async create(options: QuietOptions, context: TaskContext, plan: SyncPlan): Promise<CheckedQuietPath> {
    const { registry, topics } = context;
    const reader = new StreamReader(streamInputs(plan, topics), plan, registry);
    let written = writing.get(plan);
    if (written === undefined) {
      const messages = await StreamMessages.register(context, plan);
      written = { messages, codec: await AvroStateCodec.register(registry, topics.state(plan.name), plan) };
      writing.set(plan, written);
    }
    const { messages, codec } = written;
    // The plan that runs, whose `observe` may be another's.
    return new CheckedQuietPath({ ...options, plan }, new QuietPath({ ...options, plan }), reader, messages, codec);
  }

  decide(record: LogRecord, input: QuietInput): QuietDecision | null {
    const quiet = this.quiet.decide(record, input);
    CheckedQuietPath.counts[quiet === null ? 'left' : 'quiet']++;
    if (quiet !== null) this.compare(record, quiet);
    return quiet;
  }

  private compare(record: LogRecord, quiet: QuietDecision): void {
    const { plan, decoder, state } = this.options;
    Object.assign(this.reader, { decoder });
    const event = this.reader.event(record);
    assert.ok(event !== null && 'commitTimeMicros' in event);
    assert.deepEqual([quiet.system, quiet.commitTimeMicros], [event.system, event.commitTimeMicros]);
    const overlay = new Overlay(state);
    const outputs = decide(overlay, event, plan);
    assert.deepEqual(
      messagesOf(quiet),
      this.written(outputs),
      `messages of offset ${record.offset} of ${record.topic}`,
    );
    assert.deepEqual(quiet.sync ?? syncRecord(state), overlay.get(SYNC_KEY), 'the sync record');
    const puts = new Map(quiet.puts.map((put) => [put.key, put]));
    for (const [key, now] of overlay.changes) {
      if (key === SYNC_KEY) continue;
      assert.ok(now !== null, 'a quiet event removes nothing');
      const put = puts.get(key);
      assert.ok(put !== undefined, `${key} was left out`);
      puts.delete(key);
      assert.deepEqual(this.codec.decode(put.bytes), this.codec.decode(this.codec.encode(now)), `the record of ${key}`);
      assert.deepEqual(put.bytes, this.codec.encode(now), `the bytes of ${key}`);
      const before = state.get(key);
      const were = before === undefined ? [] : indexEntries(before);
      const are = indexEntries(now);
      assert.deepEqual(put.gone.toSorted(), were.filter((one) => !are.includes(one)).toSorted(), 'entries gone');
      assert.deepEqual(put.come.toSorted(), are.filter((one) => !were.includes(one)).toSorted(), 'entries that came');
    }
    assert.equal(puts.size, 0, 'records that the decision leaves alone');
  }

  private written(outputs: readonly Output[]): ReturnType<typeof messagesOf> {
    const batch = this.messages.batch();
    batch.take(outputs);
    return Object.fromEntries(
      batch
        .sends([])
        .filter(({ messages }) => messages.length > 0)
        .map(({ topic, messages }) => [topic, messages.map(({ key, value }) => [key, value])]),
    );
  }
}

/** By plan, as a simulated task is opened many times. */
const writing = new WeakMap<SyncPlan, { readonly messages: StreamMessages; readonly codec: AvroStateCodec }>();

function messagesOf({ outputs }: QuietDecision): Record<string, (Buffer | null)[][]> {
  const byTopic: Record<string, (Buffer | null)[][]> = {};
  for (const { topic, message } of outputs) (byTopic[topic] ??= []).push([message.key, message.value]);
  return byTopic;
}

/** A state that keeps to itself what is put into it. */
class Overlay implements State<StateRecord> {
  readonly changes = new Map<string, StateRecord | null>();

  constructor(private readonly below: ByteState<StateRecord>) {}

  get(key: string): StateRecord | undefined {
    const change = this.changes.get(key);
    return change === undefined ? this.below.get(key) : (change ?? undefined);
  }

  put(key: string, record: StateRecord): void {
    this.changes.set(key, record);
  }

  delete(key: string): void {
    this.changes.set(key, null);
  }

  indexed(entry: string, options?: { readonly after?: string; readonly limit?: number }): string[] {
    return this.below.indexed(entry, options);
  }
}
