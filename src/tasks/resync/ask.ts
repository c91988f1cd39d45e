import { randomBytes } from 'node:crypto';
import { Encoders } from '../../avro/codec.js';
import { KeyEncoder, requestEncoder, type RequestRecord } from '../../avro/progress-codec.js';
import { RequestReader } from './requests.js';
import type { TaskContext } from '../task.js';
import { requestTopic } from '../topic-specs.js';

/** A system as the configuration has it. */
export interface AskedSystem {
  readonly prefix: string;
  readonly system: string;
  readonly tables: readonly {
    readonly sync: string;
    readonly entity: string;
    readonly captured: boolean;
    readonly written: boolean;
  }[];
}

/**
 * Asks the system's source to read these entities again and to compare (null: all). A request that waits still is taken
 * into the new one, but for its word on deletions.
 * @throws DuologError KAFKA_TOPIC_MISSING where nothing has run yet, and others of Kafka and the registry.
 */
export async function askForResync(
  context: Pick<TaskContext, 'log' | 'registry' | 'topics' | 'clock'>,
  asked: AskedSystem,
  { entities, allowDeletes }: Pick<RequestRecord, 'entities' | 'allowDeletes'>,
): Promise<RequestRecord> {
  const { log, registry, topics, clock } = context;
  const ends: Record<string, number> = {};
  for (const topic of topicsOf(context, asked)) ends[topic] = (await log.bounds(topic)).end;
  await log.ensureTopics([requestTopic(asked.prefix)]);
  const producer = await log.producer(topics.request());
  try {
    const pending = (await new RequestReader(context).pending()).find(({ system }) => system === asked.system);
    const request: RequestRecord = {
      system: asked.system,
      id: randomBytes(6).toString('hex'),
      entities: pending === undefined ? entities : union(pending.entities, entities),
      time: clock.nowMs() * 1000,
      ends,
      // Only ever of what is asked for with this very request.
      allowDeletes,
      taken: null,
    };
    const encoders = new Encoders(registry);
    const keys = await KeyEncoder.register(encoders, topics.request());
    const values = await requestEncoder(encoders, topics.request());
    const messages = [{ key: keys.encode(asked.system), value: values.encode(request) }];
    await producer.commit({ sends: [{ topic: topics.request(), messages }], task: 'source' });
    return request;
  } finally {
    await producer.close();
  }
}

/** All topics in which something of the system may be missing. */
function topicsOf({ topics }: Pick<TaskContext, 'topics'>, { system, tables }: AskedSystem): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { sync, entity, captured, written } of tables) {
    names.add(topics.control(sync));
    if (captured) names.add(topics.change(system, entity));
    if (written) names.add(topics.command(sync, system));
    if (written && !captured) names.add(topics.outcome(sync, system));
  }
  return names;
}

function union(one: readonly string[] | null, other: readonly string[] | null): readonly string[] | null {
  return one === null || other === null ? null : [...new Set([...one, ...other])];
}
