import { pino } from 'pino';
import { changeEvent } from '../src/avro/change-codec.js';
import { Decoder } from '../src/avro/codec.js';
import { keyOf } from '../src/avro/progress-codec.js';
import { HttpSchemaRegistry } from '../src/avro/registry.js';
import { openLog } from '../src/kafka/index.js';
import type { Log, LogReader, LogRecord } from '../src/log/contract.js';
import { TopicNames } from '../src/log/topics.js';
import type { Row } from '../src/model/value.js';
import { columns } from './contact-table.js';
import type { Equality } from './equality.js';
import type { Servers } from './servers.js';

const TOPIC = new TopicNames('bench').change('source', 'contact');

/** The source's change topic, as a read-committed subscriber sees it. */
export class ChangeTopic {
  private readonly decoder: Decoder;
  private readonly rows = new Map<string, Row>();
  private offset = 0;
  private reader: LogReader | null = null;
  private following: Promise<void> = Promise.resolve();
  /** Source statement (ms) and how long after it a subscriber had the row (ms). */
  private readonly arrivals: { readonly atMs: number; readonly latencyMs: number }[] = [];

  private constructor(
    private readonly log: Log,
    servers: Servers,
  ) {
    this.decoder = new Decoder(new HttpSchemaRegistry({ url: servers.registry.url }));
  }

  static async open(servers: Servers): Promise<ChangeTopic> {
    const log = await openLog({
      brokers: servers.kafka.brokers,
      clientId: 'bench',
      logger: pino({ level: 'silent' }),
      replicationFactor: 1,
      minInsyncReplicas: 1,
      sessionTimeoutMs: 10_000,
      transactionTimeoutMs: 30_000,
      requestTimeoutMs: 10_000,
      maxMessageBytes: 1_000_000,
    });
    return new ChangeTopic(log, servers);
  }

  /** Reads along from here on and notes when each row came. */
  async follow(): Promise<void> {
    const { end } = await this.log.bounds(TOPIC);
    const reader = await this.log.reader([{ topic: TOPIC, offset: end }]);
    this.reader = reader;
    this.following = this.note(reader);
  }

  latencies(sinceMs: number): readonly number[] {
    return this.arrivals.filter(({ atMs }) => atMs >= sinceMs).map(({ latencyMs }) => latencyMs);
  }

  /** Reads everything that has come, and says whether its last images are the source's rows. */
  async compare(servers: Servers): Promise<Equality> {
    const atMs = Date.now();
    this.offset = await this.log.readToEnd(TOPIC, this.offset, (records) => this.take(records));
    const shown = columns.map((name) =>
      name === 'updated' ? '(extract(epoch FROM updated) * 1000000)::bigint' : name,
    );
    const { rows } = await servers.source.pool.query<string[]>({
      text: `SELECT ${shown.map((column) => `${column}::text`).join(', ')} FROM contact`,
      rowMode: 'array',
    });
    const different = rows.filter((row) => {
      const told = this.rows.get(row[0] ?? '');
      return told === undefined || columns.some((name, at) => String(told[name]) !== row[at]);
    });
    const equal = different.length === 0 && rows.length === this.rows.size;
    const problem = equal ? null : `${rows.length} rows, ${this.rows.size} told of, ${different.length} different`;
    return { equal, atMs, problem };
  }

  async close(): Promise<void> {
    await this.reader?.close();
    await this.following;
    await this.log.close();
  }

  private async take(records: readonly LogRecord[]): Promise<void> {
    await this.decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
    for (const { key, value } of records) {
      if (key === null || value === null) continue;
      const recordKey = keyOf(this.decoder.decode(key));
      const event = changeEvent('source', 'contact', recordKey, this.decoder.decode(value));
      if (event.kind !== 'change') continue;
      if (event.after === null) this.rows.delete(recordKey);
      else this.rows.set(recordKey, event.after);
    }
  }

  private async note(reader: LogReader): Promise<void> {
    try {
      for (;;) {
        const records = await reader.poll({ maxRecords: 5000, maxWaitMs: 500 });
        if (this.reader !== reader) return;
        const nowMs = performance.timeOrigin + performance.now();
        await this.decoder.prepare(records.map(({ value }) => value));
        for (const { key, value } of records) {
          if (key === null || value === null) continue;
          const event = changeEvent('source', 'contact', '', this.decoder.decode(value));
          if (event.kind !== 'change' || event.after === null) continue;
          const atMs = Number(event.after['updated']) / 1000;
          this.arrivals.push({ atMs, latencyMs: nowMs - atMs });
        }
      }
    } catch {
      // Closed while it waited.
    }
  }
}
