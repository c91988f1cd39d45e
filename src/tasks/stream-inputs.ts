import { changeEvent } from '../avro/change-codec.js';
import { Decoder } from '../avro/codec.js';
import { outcomeOf } from '../avro/command-codec.js';
import { controlEvent } from '../avro/control-codec.js';
import { heartbeatOf, keyOf } from '../avro/progress-codec.js';
import type { SchemaRegistry } from '../avro/registry.js';
import type { AnswerEvent, StreamEvent } from '../decision/events.js';
import { DuologError } from '../errors/duolog-error.js';
import type { LogRecord } from '../log/contract.js';
import type { TopicNames } from '../log/topics.js';
import type { SyncPlan } from '../plan/plan.js';

/** What a topic tells the stream task. */
export type StreamInput =
  | { readonly kind: 'change'; readonly topic: string; readonly system: string; readonly entity: string }
  | { readonly kind: 'outcome'; readonly topic: string; readonly system: string }
  | { readonly kind: 'control' | 'heartbeat'; readonly topic: string };

/** All topics that a sync's stream task reads. */
export function streamInputs(plan: SyncPlan, topics: TopicNames): readonly StreamInput[] {
  const inputs: StreamInput[] = [
    { kind: 'heartbeat', topic: topics.heartbeat() },
    { kind: 'control', topic: topics.control(plan.name) },
  ];
  const answering = new Set<string>();
  for (const entity of plan.entities) {
    for (const { system, captured, written } of Object.values(entity.systems)) {
      if (captured) {
        inputs.push({ kind: 'change', topic: topics.change(system, entity.name), system, entity: entity.name });
      } else if (written) answering.add(system);
    }
  }
  for (const system of answering) inputs.push({ kind: 'outcome', topic: topics.outcome(plan.name, system), system });
  return inputs;
}

/** Turns records of those topics into what the decision is told. */
export class StreamReader {
  private readonly inputs: ReadonlyMap<string, StreamInput>;
  private readonly systems: ReadonlySet<string>;
  readonly decoder: Decoder;

  constructor(inputs: readonly StreamInput[], plan: SyncPlan, registry: SchemaRegistry) {
    this.inputs = new Map(inputs.map((input) => [input.topic, input]));
    this.systems = new Set(plan.systems);
    this.decoder = new Decoder(registry);
  }

  /** Fetches the schemas that these records need; after it `event` can read them. */
  prepare(records: readonly LogRecord[]): Promise<void> {
    return this.decoder.prepare(keysAndValues(records));
  }

  /** What the topic of a record tells. */
  input({ topic }: LogRecord): StreamInput | undefined {
    return this.inputs.get(topic);
  }

  /** Null for what is not for this sync. @throws DuologError MESSAGE_UNREADABLE with topic and offset. */
  event(record: LogRecord): StreamEvent | AnswerEvent | null {
    const { topic, offset, key, value } = record;
    const input = this.inputs.get(topic);
    if (input === undefined || value === null) return null;
    try {
      switch (input.kind) {
        case 'change': {
          const recordKey = key === null ? null : keyOf(this.decoder.decode(key));
          return changeEvent(input.system, input.entity, recordKey, this.decoder.decode(value));
        }
        case 'outcome': {
          const outcome = outcomeOf(this.decoder.decode(value));
          return {
            kind: 'outcome',
            system: input.system,
            entity: outcome.entity,
            outcome,
            commitTimeMicros: record.timestampMs * 1000,
            transaction: String(offset),
            position: String(offset).padStart(16, '0'),
          };
        }
        case 'control':
          return controlEvent(this.decoder.decode(value));
        case 'heartbeat': {
          const { system, time } = heartbeatOf(this.decoder.decode(value));
          return system !== null && this.systems.has(system) ? { kind: 'heartbeat', system, timeMicros: time } : null;
        }
      }
    } catch (cause) {
      if (cause instanceof DuologError && cause.code === 'MESSAGE_UNREADABLE') {
        throw new DuologError('MESSAGE_UNREADABLE', `${topic}, offset ${offset}: ${cause.message}`, { cause });
      }
      throw cause;
    }
  }
}

function* keysAndValues(records: readonly LogRecord[]): Generator<Buffer | null> {
  for (const { key } of records) yield key;
  for (const { value } of records) yield value;
}
