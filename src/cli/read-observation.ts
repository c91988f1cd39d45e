import { Decoder } from '../avro/codec.js';
import { keyOf } from '../avro/progress-codec.js';
import type { SchemaRegistry } from '../avro/registry.js';
import type { Log } from '../log/contract.js';
import { TopicNames } from '../log/topics.js';
import type { SyncPlan } from '../plan/plan.js';
import {
  EntityCounts,
  type CanonicalValue,
  type DecisionValue,
  type EntityObservation,
  type HoldValue,
} from './observation.js';

export interface ObservedTopics {
  readonly log: Pick<Log, 'readToEnd' | 'bounds'>;
  readonly registry: SchemaRegistry;
  readonly plans: readonly SyncPlan[];
  /** By decision topic, the offset behind what earlier runs left there. */
  readonly earlier: ReadonlyMap<string, number>;
  /** At most so many examples of each kind and entity. */
  readonly listed: number;
}

/** Reads the canonical, hold and decision topics of every entity from their beginning. */
export async function readObservation(observed: ObservedTopics): Promise<readonly EntityObservation[]> {
  const entities: EntityObservation[] = [];
  for (const { prefix, entities: planned } of observed.plans) {
    const topics = new TopicNames(prefix);
    for (const { name } of planned) {
      const counts = new EntityCounts(observed.listed);
      await readRecords<CanonicalValue>(observed, topics.canonical(name), ({ key, value }) =>
        counts.canonical(key, value),
      );
      await readRecords<HoldValue>(observed, topics.hold(name), ({ key, value }) => counts.hold(key, value));
      const decisions = topics.decision(name);
      const earlier = observed.earlier.get(decisions) ?? 0;
      await readRecords<DecisionValue>(observed, decisions, ({ value, offset }) => {
        if (value !== null) counts.decision(value, offset >= earlier);
      });
      entities.push(counts.of(name));
    }
  }
  return entities;
}

/** Where the decision topics end, before a run adds to them; topics that are not there yet have no end. */
export async function decisionEnds(
  log: Pick<Log, 'bounds' | 'inspectTopics'>,
  prefix: string,
  entities: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const names = entities.map((entity) => new TopicNames(prefix).decision(entity));
  const present = await presentTopics(log, names);
  const ends = await Promise.all(present.map(async (topic) => [topic, (await log.bounds(topic)).end] as const));
  return new Map(ends);
}

/** Those of the topics that have been made. */
export async function presentTopics(
  log: Pick<Log, 'inspectTopics'>,
  names: readonly string[],
): Promise<readonly string[]> {
  const found = await log.inspectTopics(names.map((name) => ({ name, cleanup: 'delete', retentionMs: null })));
  return found.filter(({ state }) => state !== 'missing').map(({ topic }) => topic);
}

interface DecodedRecord<T> {
  readonly key: string;
  readonly value: T | null;
  readonly offset: number;
}

/** A topic from its beginning to its end; a value is what the topic's own schema says. */
export async function readRecords<T>(
  { log, registry }: Pick<ObservedTopics, 'log' | 'registry'>,
  topic: string,
  take: (record: DecodedRecord<T>) => void,
): Promise<void> {
  const decoder = new Decoder(registry);
  const { earliest } = await log.bounds(topic);
  await log.readToEnd(topic, earliest, async (records) => {
    await decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
    for (const { key, value, offset } of records) {
      if (key === null) continue;
      // What the topic's own schema says of its values.
      const decoded = value === null ? null : (decoder.decode(value).value as T);
      take({ key: keyOf(decoder.decode(key)), value: decoded, offset });
    }
  });
}
