import { setTimeout as pause } from 'node:timers/promises';
import { HttpSchemaRegistry } from '../avro/registry.js';
import { kafkaLogOptions } from '../config/kafka-connection.js';
import type { LoadedConfiguration } from '../config/load.js';
import { registryOptions } from '../config/registry-connection.js';
import { openLog } from '../kafka/index.js';
import type { Log } from '../log/contract.js';
import { TopicNames } from '../log/topics.js';
import { createLogger } from '../logging/logger.js';
import type { SyncPlan } from '../plan/plan.js';
import type { Duolog } from '../runtime.js';
import { readObservation, type Observation } from './observation.js';

/** Nothing may have come for so long before what is there counts as all of it. */
const QUIET_MS = 2_000;
const LOOK_EVERY_MS = 250;

/** `run --observe`: waits until both sides are read and decided, then says what a run would do. */
export async function observe(loaded: LoadedConfiguration, duolog: Duolog, signal: AbortSignal): Promise<Observation> {
  const { kafka } = loaded.configuration;
  const log = await openLog(kafkaLogOptions(kafka, createLogger({ level: 'silent', format: 'json' })));
  try {
    await untilRead(duolog, signal);
    await untilQuiet(log, duolog.plans, signal);
    return await readObservation(log, new HttpSchemaRegistry(registryOptions(kafka)), duolog.plans);
  } finally {
    await log.close();
  }
}

/** Every source has read its snapshots and goes on with the stream. */
async function untilRead(duolog: Duolog, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { tasks, sources } = duolog.status();
    const running = tasks.every(({ phase }) => phase === 'running');
    const statuses = Object.values(sources);
    const read = statuses.every(
      ({ phase, snapshot }) => phase === 'streaming' && Object.values(snapshot).every(({ done }) => done),
    );
    if (running && read && statuses.length > 0) return;
    await pause(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** The stream tasks have nothing left to say. */
async function untilQuiet(log: Log, plans: readonly SyncPlan[], signal: AbortSignal): Promise<void> {
  const topics = plans.flatMap((plan) => {
    const names = new TopicNames(plan.prefix);
    const spoken = plan.entities.flatMap(({ name }) => [names.canonical(name), names.decision(name), names.hold(name)]);
    const heard = plan.entities.flatMap(({ name, systems }) =>
      Object.values(systems).flatMap(({ captured, system }) => (captured ? [names.change(system, name)] : [])),
    );
    return [...spoken, ...heard];
  });
  let before = '';
  for (;;) {
    const bounds = await Promise.all(topics.map((topic) => log.bounds(topic)));
    const now = bounds.map(({ end }) => end).join();
    if (now === before) return;
    before = now;
    await pause(QUIET_MS, undefined, { signal });
  }
}
