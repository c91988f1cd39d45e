import { DuologError } from '../../src/errors/duolog-error.js';
import type {
  Lease,
  Log,
  LogAppender,
  LogMessage,
  LogProducer,
  LogReader,
  LogRecord,
  LogTransaction,
  PollOptions,
  Tenure,
  TopicFinding,
  TopicMessages,
  TopicSpec,
} from '../../src/log/contract.js';
import { type Pending, Topic } from './log-topic.js';

/** What a process is to the broker: it can be held up, cut off or ended wherever it waits for an answer. */
export interface Client {
  readonly name: string;
  roundTrip(point: string): Promise<void>;
  /** At most so many records of the topic reach this client with the next fetch: how slow the network is. */
  fetchLimit(topic: string): number;
  /** Has nothing to do until it is stepped again. */
  idle(): Promise<void>;
  /** The broker hears its heartbeats. */
  isMember(): boolean;
}

/** Kafka's `delete.retention.ms`. */
const TOMBSTONES_KEPT_MS = 24 * 3_600_000;

interface ProducerState {
  epoch: number;
  pending: Pending[];
}

/**
 * A Kafka in memory with what the tasks rely on: transactions with fencing by transactional id, hanging
 * transactions that hold readers back, transaction markers that take an offset, records outside of transactions that
 * nothing takes back, compaction, trimming and leases.
 */
export class MemoryBroker {
  private readonly topics = new Map<string, Topic>();
  private readonly producers = new Map<string, ProducerState>();
  private readonly tenures = new Map<string, MemoryTenure>();
  private readonly observers: ((record: LogRecord) => void)[] = [];

  constructor(readonly nowMs: () => number) {}

  connect(client: Client): Log {
    return new MemoryLog(this, client);
  }

  /** Sees every committed record, in commit order. */
  observe(observer: (record: LogRecord) => void): void {
    this.observers.push(observer);
  }

  create(spec: TopicSpec): void {
    if (!this.topics.has(spec.name)) this.topics.set(spec.name, new Topic(spec));
  }

  topic(name: string): Topic {
    const topic = this.topics.get(name);
    if (!topic) throw new DuologError('INTERNAL', `there is no topic ${name}`);
    return topic;
  }

  has(name: string): boolean {
    return this.topics.has(name);
  }

  records(name: string): readonly LogRecord[] {
    return this.topics.get(name)?.records ?? [];
  }

  /** Removes older records of each key from compacted topics; a tombstone goes when it is a day old. */
  compact(): void {
    for (const topic of this.topics.values()) {
      if (topic.spec.cleanup !== 'compact') continue;
      const { stable } = topic;
      const newest = new Map<string, number>();
      for (const record of topic.records) {
        if (record.offset < stable) newest.set(record.key!.toString('latin1'), record.offset);
      }
      topic.records = topic.records.filter(
        (record) =>
          record.offset >= stable ||
          (newest.get(record.key!.toString('latin1')) === record.offset &&
            (record.value !== null || this.nowMs() - record.timestampMs < TOMBSTONES_KEPT_MS)),
      );
    }
  }

  // ------------------------------------------------------------ producers

  /** Raises the id's epoch, which fences its earlier producers and aborts their open transaction. */
  openProducer(transactionalId: string): number {
    const state = this.producers.get(transactionalId) ?? { epoch: 0, pending: [] };
    this.producers.set(transactionalId, state);
    for (const pending of state.pending) pending.topic.open.delete(pending);
    state.pending = [];
    state.epoch += 1;
    return state.epoch;
  }

  begin(transactionalId: string, epoch: number, transaction: LogTransaction): void {
    const state = this.current(transactionalId, epoch);
    for (const { topic: name, messages } of transaction.sends) {
      if (messages.length === 0) continue;
      const topic = this.topic(name);
      const open = state.pending.find((pending) => pending.topic === topic) ?? { topic, records: [] };
      for (const message of messages) open.records.push(this.numbered(topic, message));
      topic.open.add(open);
      if (!state.pending.includes(open)) state.pending.push(open);
    }
  }

  /** Returns, for each topic, the offset that follows the last record. */
  end(transactionalId: string, epoch: number): Map<string, number> {
    const state = this.current(transactionalId, epoch);
    const offsets = new Map<string, number>();
    for (const pending of state.pending) {
      const { topic, records } = pending;
      topic.open.delete(pending);
      const inOrder = topic.records.length === 0 || topic.records.at(-1)!.offset < records[0]!.offset;
      topic.records.push(...records);
      if (!inOrder) topic.records.sort((left, right) => left.offset - right.offset);
      topic.end += 1;
      offsets.set(topic.spec.name, records.at(-1)!.offset + 1);
      for (const observer of this.observers) for (const record of records) observer(record);
    }
    state.pending = [];
    return offsets;
  }

  /** Outside of transactions: there for good, behind what is open in the topic. */
  append(name: string, messages: readonly LogMessage[]): void {
    const topic = this.topic(name);
    for (const message of messages) {
      const record = this.numbered(topic, message);
      topic.records.push(record);
      for (const observer of this.observers) observer(record);
    }
  }

  private numbered(topic: Topic, { key, value, timestampMs }: LogMessage): LogRecord {
    const { name, cleanup } = topic.spec;
    if (cleanup === 'compact' && key === null) {
      throw new DuologError('INTERNAL', `a record without a key in compacted ${name}`);
    }
    return { topic: name, offset: topic.end++, key, value, timestampMs: timestampMs ?? this.nowMs() };
  }

  private current(transactionalId: string, epoch: number): ProducerState {
    const state = this.producers.get(transactionalId)!;
    if (state.epoch !== epoch) {
      throw new DuologError('KAFKA_FENCED', `another producer has taken over ${transactionalId}`);
    }
    return state;
  }

  // ------------------------------------------------------------ leases

  /** Gives the group's task to the client, unless a living one has it. */
  grant(group: string, client: Client): Tenure | null {
    const holder = this.tenures.get(group);
    if (holder && holder.client !== client && holder.client.isMember()) return null;
    holder?.lose();
    const tenure = new MemoryTenure(client, () => {
      if (this.tenures.get(group) === tenure) this.tenures.delete(group);
    });
    this.tenures.set(group, tenure);
    return tenure;
  }
}

class MemoryTenure implements Tenure {
  private readonly controller = new AbortController();

  constructor(
    readonly client: Client,
    private readonly onRelease: () => void,
  ) {}

  get lost(): AbortSignal {
    return this.controller.signal;
  }

  lose(): void {
    this.controller.abort();
  }

  async release(): Promise<void> {
    this.onRelease();
  }
}

/** One process's connection to the broker. */
class MemoryLog implements Log {
  constructor(
    private readonly broker: MemoryBroker,
    private readonly client: Client,
  ) {}

  async producer(transactionalId: string): Promise<LogProducer> {
    await this.trip('kafka fence', 'KAFKA_UNREACHABLE');
    const epoch = this.broker.openProducer(transactionalId);
    await this.trip('kafka fenced', 'KAFKA_UNREACHABLE');
    return {
      commit: async (transaction) => {
        const { task } = transaction;
        await this.trip(`kafka ${task} begin`, 'KAFKA_UNREACHABLE');
        this.broker.begin(transactionalId, epoch, transaction);
        await this.trip(`kafka ${task} commit`, 'KAFKA_COMMIT_UNKNOWN');
        const offsets = this.broker.end(transactionalId, epoch);
        await this.trip(`kafka ${task} committed`, 'KAFKA_COMMIT_UNKNOWN');
        return { offsets };
      },
      close: async () => {},
    };
  }

  async appender(): Promise<LogAppender> {
    await this.trip('kafka appender', 'KAFKA_UNREACHABLE');
    return {
      append: async (sends) => {
        for (const { topic, messages } of inTwoRequests(sends)) {
          // Held up here, its holder may long be another.
          await this.trip('kafka append', 'KAFKA_UNREACHABLE');
          this.broker.append(topic, messages);
          await this.trip('kafka appended', 'KAFKA_UNREACHABLE');
        }
      },
      close: async () => {},
    };
  }

  lease(group: string): Lease {
    return {
      acquire: async () => {
        for (;;) {
          await this.trip('kafka join', 'KAFKA_UNREACHABLE');
          const tenure = this.broker.grant(group, this.client);
          if (tenure) return tenure;
          await this.client.idle();
        }
      },
    };
  }

  async reader(start: readonly { readonly topic: string; readonly offset: number }[]): Promise<LogReader> {
    await this.trip('kafka reader', 'KAFKA_UNREACHABLE');
    return new MemoryReader(this.broker, this.client, start, () => this.trip('kafka fetch', 'KAFKA_UNREACHABLE'));
  }

  async readToEnd(
    topic: string,
    offset: number,
    onRecords: (records: readonly LogRecord[]) => void | Promise<void>,
  ): Promise<number> {
    await this.trip('kafka read', 'KAFKA_UNREACHABLE');
    const found = this.broker.topic(topic);
    found.verifyOffset(offset);
    const { stable } = found;
    const records = found.records.slice(found.indexOf(offset), found.indexOf(stable));
    const half = records.length >> 1;
    if (half > 0) await onRecords(records.slice(0, half));
    if (records.length > half) await onRecords(records.slice(half));
    return Math.max(stable, offset);
  }

  async bounds(topic: string): Promise<{ readonly earliest: number; readonly end: number }> {
    await this.trip('kafka bounds', 'KAFKA_UNREACHABLE');
    const { earliest, stable } = this.broker.topic(topic);
    return { earliest, end: stable };
  }

  async offsetAt(topic: string, timestampMs: number): Promise<number | null> {
    await this.trip('kafka offset of a time', 'KAFKA_UNREACHABLE');
    const found = this.broker.records(topic).find((record) => record.timestampMs >= timestampMs);
    return found?.offset ?? null;
  }

  async trim(topic: string, offset: number): Promise<void> {
    await this.trip('kafka trim', 'KAFKA_UNREACHABLE');
    const found = this.broker.topic(topic);
    if (offset <= found.earliest) return;
    found.earliest = Math.min(offset, found.stable);
    found.records.splice(0, found.indexOf(found.earliest));
  }

  async clusterId(): Promise<string> {
    return 'memory';
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) this.broker.create(spec);
  }

  async inspectTopics(topics: readonly TopicSpec[]): Promise<readonly TopicFinding[]> {
    return topics.map(({ name }) => ({
      topic: name,
      state: this.broker.has(name) ? 'ok' : 'missing',
      message: this.broker.has(name) ? 'is there' : 'is missing',
    }));
  }

  async close(): Promise<void> {}

  private async trip(point: string, lost: 'KAFKA_UNREACHABLE' | 'KAFKA_COMMIT_UNKNOWN'): Promise<void> {
    try {
      await this.client.roundTrip(point);
    } catch (cause) {
      throw new DuologError(lost, 'the connection to the broker was lost', { cause });
    }
  }
}

/** As what is large is sent: the first part may be there without the other. */
function inTwoRequests(sends: readonly TopicMessages[]): TopicMessages[] {
  return sends.flatMap(({ topic, messages }) => {
    const half = messages.length >> 1;
    const parts = half === 0 ? [messages] : [messages.slice(0, half), messages.slice(half)];
    return parts.map((part) => ({ topic, messages: part }));
  });
}

class MemoryReader implements LogReader {
  private readonly positions = new Map<string, number>();
  private readonly known = new Map<string, number>();
  private readonly paused = new Set<string>();

  constructor(
    private readonly broker: MemoryBroker,
    private readonly client: Client,
    start: readonly { readonly topic: string; readonly offset: number }[],
    private readonly fetch: () => Promise<void>,
  ) {
    for (const { topic, offset } of start) this.positions.set(topic, offset);
  }

  async poll(options: PollOptions): Promise<readonly LogRecord[]> {
    await this.fetch();
    const polled: LogRecord[] = [];
    for (const [name, position] of this.positions) {
      if (this.paused.has(name)) continue;
      const topic = this.broker.topic(name);
      topic.verifyOffset(position);
      const { stable } = topic;
      const room = Math.min(options.maxRecords - polled.length, this.client.fetchLimit(name));
      if (room <= 0) continue;
      const first = topic.indexOf(position);
      const past = topic.indexOf(stable);
      const last = Math.min(past, first + room);
      for (let index = first; index < last; index++) polled.push(topic.records[index]!);
      this.positions.set(name, last < past ? topic.records[last]!.offset : Math.max(stable, position));
      this.known.set(name, stable);
    }
    return polled;
  }

  position(topic: string): number {
    return this.known.get(topic) ?? this.positions.get(topic)!;
  }

  pause(topics: readonly string[]): void {
    for (const topic of topics) this.paused.add(topic);
  }

  resume(topics: readonly string[]): void {
    for (const topic of topics) this.paused.delete(topic);
  }

  async close(): Promise<void> {}
}
