import { setTimeout as pause } from 'node:timers/promises';
import { HttpSchemaRegistry } from '../avro/registry.js';
import type { LoadedConfiguration } from '../config/load.js';
import { registryOptions } from '../config/registry-connection.js';
import type { Log } from '../log/contract.js';
import { TopicNames } from '../log/topics.js';
import type { SyncPlan } from '../plan/plan.js';
import type { Duolog, DuologStatus } from '../runtime.js';
import { Observation, type Remainder } from './observation.js';
import { openQuietLog } from './quiet-log.js';
import { decisionEnds, readObservation } from './read-observation.js';
import { withSystems } from './systems.js';

const LOOK_EVERY_MS = 250;

/** `run --observe`: a look at what a run would do. Open it before the run starts, so that it knows what was there. */
export class Observer {
  private constructor(
    private readonly loaded: LoadedConfiguration,
    private readonly log: Log,
    private readonly earlier: ReadonlyMap<string, number>,
  ) {}

  /** @throws DuologError KAFKA_UNREACHABLE and the log's other errors. */
  static async open(loaded: LoadedConfiguration): Promise<Observer> {
    const { kafka, prefix, syncs } = loaded.configuration;
    const log = await openQuietLog(kafka);
    try {
      const entities = Object.values(syncs).flatMap((sync) => Object.keys(sync.entities));
      return new Observer(loaded, log, await decisionEnds(log, prefix, entities));
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /** Waits until both sides are read and everything is decided, then says what a run would do. */
  async observe(duolog: Duolog, listed: number, signal: AbortSignal): Promise<Observation> {
    const { configuration } = this.loaded;
    const { plans } = duolog;
    await untilDecided(this.log, duolog, signal);
    const registry = new HttpSchemaRegistry(registryOptions(configuration.kafka));
    const entities = await readObservation({ log: this.log, registry, plans, earlier: this.earlier, listed });
    return new Observation(entities, await this.remains());
  }

  close(): Promise<void> {
    return this.log.close();
  }

  private remains(): Promise<readonly Remainder[]> {
    const { configuration } = this.loaded;
    return withSystems(configuration, async (systems) => {
      const found = systems.map(async ({ name, catalogue }) =>
        (await catalogue.remains(configuration.prefix)).map((remainder) => ({ system: name, ...remainder })),
      );
      return (await Promise.all(found)).flat();
    });
  }
}

/**
 * Every source has read its tables once and goes on with the stream, and every stream task is at rest behind what the
 * change topics had then, all snapshots ended and matched: seen in two looks, as a record may be on its way in one.
 */
async function untilDecided(log: Log, duolog: Duolog, signal: AbortSignal): Promise<void> {
  while (!isRead(duolog.status())) await pause(LOOK_EVERY_MS, undefined, { signal });
  const topics = duolog.plans.flatMap(changeTopics);
  const ends = await Promise.all(topics.map(async (topic) => ({ topic, end: (await log.bounds(topic)).end })));
  for (let looks = 0; looks < 2; ) {
    const rests = Object.values(duolog.status().rest);
    const decided = ({ topic, end }: (typeof ends)[number]) =>
      rests.some((rest) => (rest?.decidedTo[topic] ?? -1) >= end);
    const isDecided = rests.every((rest) => rest?.snapshotsEnded === true) && ends.every(decided);
    looks = isDecided ? looks + 1 : 0;
    await pause(LOOK_EVERY_MS, undefined, { signal });
  }
}

function isRead({ tasks, sources }: DuologStatus): boolean {
  const statuses = Object.values(sources);
  return (
    statuses.length > 0 &&
    tasks.every(({ phase }) => phase === 'running') &&
    statuses.every(({ phase, snapshot }) => phase === 'streaming' && Object.values(snapshot).every(({ done }) => done))
  );
}

function changeTopics(plan: SyncPlan): readonly string[] {
  const names = new TopicNames(plan.prefix);
  return plan.entities.flatMap(({ name, systems }) =>
    Object.values(systems).flatMap(({ captured, system }) => (captured ? [names.change(system, name)] : [])),
  );
}
