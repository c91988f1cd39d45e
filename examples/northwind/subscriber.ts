import { setTimeout as delay } from 'node:timers/promises';
import avsc from 'avsc';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import { entities } from './compare.js';

/**
 * What Duolog tells the world, read as any subscriber would: the agreed records, why a value lost, what is held.
 * Only committed messages are read.
 */
export interface Subscriber {
  /** A point in what was read, for the questions below. */
  mark(): number;
  /** The decisions about a record since the mark. */
  decisions(record: RecordName, mark: number): readonly Decision[];
  /** What was published of the agreed record since the mark. */
  agreements(record: RecordName, mark: number): Agreements;
  /** All decisions so far. */
  decided(): number;
  /** What waits now, and why. */
  held(): readonly Held[];
  /** Resolves once nothing new came for a moment: what was there before has been read. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** A record by its key in one of the systems. */
export interface RecordName {
  readonly entity: string;
  readonly system: 'erp' | 'crm';
  readonly key: string;
}

export interface Agreements {
  readonly versions: number;
  /** As it was at the mark; undefined for a record that was not there. */
  readonly before: Agreed | undefined;
  /** As it is; null once it is gone. */
  readonly now: Agreed | null;
}

export interface Agreed {
  readonly link: string;
  readonly fields: Readonly<{ [field: string]: unknown }>;
  readonly keys: Readonly<{ [system: string]: string }>;
  readonly set: Readonly<{ [field: string]: { readonly system: string } }>;
}

export interface Held {
  readonly entity: string;
  readonly system: string;
  readonly reason: string;
  readonly detail: string;
}

export interface Decision {
  readonly link: string;
  readonly decision: string;
  readonly winner: string | null;
  readonly rule: string;
  readonly fields: readonly {
    readonly field: string;
    readonly sides: readonly { readonly system: string; readonly value: unknown; readonly absent: boolean }[];
  }[];
}

const kinds = ['canonical', 'decision', 'hold'];

/** More than a demo ever says; the oldest go first. */
const keptMessages = 50_000;

/** Reads the topics of `prefix` from their beginning. @throws kafkajs' error where the brokers do not answer. */
export async function subscribe(brokers: readonly string[], registry: string, prefix: string): Promise<Subscriber> {
  const kafka = new Kafka({ clientId: 'northwind-demo', brokers: [...brokers], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({
    groupId: `northwind-demo-${process.pid}-${Date.now()}`,
    maxWaitTimeInMs: 100,
    minBytes: 1,
  });
  const seen = new Seen();
  const decode = decoder(registry);
  await consumer.connect();
  const topics = entities.flatMap((entity) => kinds.map((kind) => `${prefix}.${kind}.${entity}`));
  await consumer.subscribe({ topics, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      const [kind, entity] = topic.split('.').slice(-2);
      const value = message.value === null ? null : await decode(message.value);
      seen.add(kind ?? '', entity ?? '', message.key?.toString('hex') ?? '', value);
    },
  });
  return {
    mark: () => seen.total,
    decisions: (record, mark) => seen.decisions(record, mark),
    agreements: (record, mark) => seen.agreements(record, mark),
    decided: () => seen.decided,
    held: () => Array.from(seen.held.values()),
    settled: async () => {
      for (let before = -1; before !== seen.total; ) {
        before = seen.total;
        await delay(400);
      }
    },
    stop: () => consumer.disconnect(),
  };
}

class Seen {
  total = 0;
  decided = 0;
  readonly held = new Map<string, Held>();
  readonly #decisions: { readonly at: number; readonly decision: Decision }[] = [];
  readonly #versions: Version[] = [];

  /** A message without a value ends what its key names: a hold, a record. */
  add(kind: string, entity: string, key: string, value: unknown): void {
    this.total += 1;
    if (kind === 'hold' && value === null) this.held.delete(key);
    else if (kind === 'hold') this.held.set(key, value as Held);
    else if (kind === 'decision') {
      this.decided += 1;
      this.#decisions.push({ at: this.total, decision: value as Decision });
    } else this.#versions.push({ at: this.total, entity, key, agreed: value as Agreed | null });
    for (const list of [this.#decisions, this.#versions]) if (list.length > keptMessages) list.shift();
  }

  agreements(record: RecordName, mark: number): Agreements {
    const link = this.#linkOf(record);
    const all = this.#versions.filter(({ key }) => key === link);
    return {
      versions: all.filter(({ at }) => at > mark).length,
      before: all.findLast(({ at }) => at <= mark)?.agreed ?? undefined,
      now: all.at(-1)?.agreed ?? null,
    };
  }

  decisions(record: RecordName, mark: number): Decision[] {
    const link = this.#versions.find(({ key }) => key === this.#linkOf(record))?.agreed?.link;
    const found = this.#decisions.filter(({ decision, at }) => decision.link === link && at > mark);
    return found.map(({ decision }) => decision);
  }

  /** The key under which the record is published. */
  #linkOf({ entity, system, key }: RecordName): string | undefined {
    return this.#versions.findLast((version) => version.entity === entity && version.agreed?.keys[system] === key)?.key;
  }
}

interface Version {
  readonly at: number;
  readonly entity: string;
  /** Of the message. */
  readonly key: string;
  /** Null says that the record is gone. */
  readonly agreed: Agreed | null;
}

/** Messages name their schema by number: a zero byte, the number in four bytes, then Avro. */
function decoder(registry: string): (message: Buffer) => Promise<unknown> {
  const types = new Map<number, Promise<avsc.Type>>();
  const fetchType = async (id: number) => {
    const response = await fetch(`${registry}/schemas/ids/${id}`);
    const { schema } = (await response.json()) as { schema: string };
    return avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema);
  };
  return async (message) => {
    const id = message.readUInt32BE(1);
    const type = types.get(id) ?? fetchType(id);
    types.set(id, type);
    return plain((await type).fromBuffer(message.subarray(5)));
  };
}

/** The parser wraps a value of an ambiguous union as { type: value }: unwrapped, level by level. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  const entries = Object.entries(value);
  const [only] = entries;
  if (entries.length === 1 && only !== undefined && unionTypes.has(only[0])) return plain(only[1]);
  return Object.fromEntries(entries.map(([name, part]) => [name, plain(part)]));
}

const unionTypes = new Set(['boolean', 'int', 'long', 'double', 'string', 'bytes', 'duolog.Reference']);
