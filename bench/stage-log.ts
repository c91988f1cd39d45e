import type {
  Log,
  LogProducer,
  LogReader,
  LogRecord,
  LogTransaction,
  PollOptions,
  TopicMessages,
} from '../src/log/contract.js';

/** A log in memory for one task alone: no broker, no network, so that what is measured is the task. */
export class StageLog {
  /** What is left of each topic, the first of it at its `earliest` offset. */
  readonly topics = new Map<string, LogRecord[]>();
  private readonly earliest = new Map<string, number>();
  /** Sees what a task commits. */
  onCommit: (transaction: LogTransaction) => void = () => undefined;
  messages = 0;
  bytes = 0;
  /** Topics whose records nobody reads again: counted, not kept. */
  constructor(private readonly dropped: (topic: string) => boolean) {}

  append(topic: string, key: Buffer | null, value: Buffer | null): void {
    const records = this.recordsOf(topic);
    records.push({ topic, offset: this.startOf(topic) + records.length, key, value, timestampMs: 0 });
  }

  /** What the tasks ask of a log and nothing else. */
  asLog(): Log {
    const producer: LogProducer = {
      commit: async (transaction) => this.commit(transaction),
      close: async () => undefined,
    };
    const log: Pick<
      Log,
      'producer' | 'appender' | 'reader' | 'readToEnd' | 'bounds' | 'clusterId' | 'offsetAt' | 'trim'
    > = {
      producer: async () => producer,
      appender: async () => ({
        append: async (sends) => void this.take(sends),
        close: async () => undefined,
      }),
      reader: async (start) => this.reader(start),
      readToEnd: async (topic, offset, onRecords) => {
        const records = this.from(topic, offset);
        if (records.length > 0) await onRecords(records);
        return this.endOf(topic);
      },
      bounds: async (topic) => ({ earliest: this.startOf(topic), end: this.endOf(topic) }),
      clusterId: async () => 'bench',
      offsetAt: async () => null,
      trim: async (topic, offset) => this.trim(topic, offset),
    };
    return log as Log;
  }

  private readonly ends = new Map<string, number>();

  private async commit(transaction: LogTransaction): Promise<{ readonly offsets: ReadonlyMap<string, number> }> {
    const offsets = this.take(transaction.sends);
    this.onCommit(transaction);
    return { offsets };
  }

  private take(sends: readonly TopicMessages[]): Map<string, number> {
    const offsets = new Map<string, number>();
    for (const { topic, messages } of sends) {
      this.messages += messages.length;
      for (const { key, value } of messages) this.bytes += (key?.length ?? 0) + (value?.length ?? 0);
      const end = (this.ends.get(topic) ?? 0) + messages.length;
      this.ends.set(topic, end);
      offsets.set(topic, end);
      if (!this.dropped(topic)) for (const { key, value } of messages) this.append(topic, key, value);
    }
    return offsets;
  }

  private reader(start: readonly { readonly topic: string; readonly offset: number }[]): LogReader {
    const places = start.map((place) => ({ ...place }));
    return {
      poll: async ({ maxRecords }: PollOptions) => {
        const taken: LogRecord[] = [];
        const ready = places.filter(
          (place) => place.offset < this.startOf(place.topic) + this.recordsOf(place.topic).length,
        );
        // From each topic in turn an equal part, as the reader of Kafka does.
        for (const [at, place] of ready.entries()) {
          const first = place.offset - this.startOf(place.topic);
          const share = Math.ceil((maxRecords - taken.length) / (ready.length - at));
          const records = this.recordsOf(place.topic).slice(first, first + share);
          place.offset += records.length;
          for (const record of records) taken.push(record);
        }
        return taken;
      },
      position: (topic) => this.endOf(topic),
      pause: () => undefined,
      resume: () => undefined,
      close: async () => undefined,
    };
  }

  private trim(topic: string, offset: number): void {
    const earliest = this.startOf(topic);
    if (offset <= earliest) return;
    this.topics.set(topic, this.from(topic, offset));
    this.earliest.set(topic, offset);
  }

  private from(topic: string, offset: number): LogRecord[] {
    return this.recordsOf(topic).slice(offset - this.startOf(topic));
  }

  private startOf(topic: string): number {
    return this.earliest.get(topic) ?? 0;
  }

  private endOf(topic: string): number {
    return this.ends.get(topic) ?? this.startOf(topic) + this.recordsOf(topic).length;
  }

  private recordsOf(topic: string): LogRecord[] {
    let records = this.topics.get(topic);
    if (records === undefined) this.topics.set(topic, (records = []));
    return records;
  }
}
