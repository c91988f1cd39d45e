import { MemoryConnector } from '../../connectors/memory/connector.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { decide } from '../../src/decision/decide.js';
import { CheckedQuietPath } from '../support/checked-quiet-path.js';
import { TopicNames } from '../../src/log/topics.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { Changelog } from '../../src/state/changelog.js';
import { STORE_LIMITS, type StoreLimits } from '../../src/state/store.js';
import { askForResync as ask } from '../../src/tasks/resync/ask.js';
import type { Clock } from '../../src/tasks/clock.js';
import { SinkTask } from '../../src/tasks/sink-task.js';
import { SourceTask } from '../../src/tasks/source-task.js';
import { NO_METRICS } from '../../src/tasks/stage-metrics.js';
import { StreamTask } from '../../src/tasks/stream-task.js';
import { TaskLoop } from '../../src/tasks/task-loop.js';
import { TASK_LIMITS, type Task, type TaskContext, type TaskLimits } from '../../src/tasks/task.js';
import { topicSpecs } from '../../src/tasks/topic-specs.js';
import type { SimulatedProcess } from './process.js';
import type { World } from './world.js';

/** One for all runs: schemas repeat, and compiling them takes longer than a run. */
export const REGISTRY = new MemorySchemaRegistry();

const GROUP = 'simulation.task.';

const SMALL_LIMITS: TaskLimits = {
  ...TASK_LIMITS,
  batchRecords: 3,
  batchOutputs: 3,
  pendingCommands: 3,
  answeredAhead: 4,
  trimEveryMs: 10,
};
const SMALL_STORE_LIMITS: StoreLimits = {
  flushTransactions: 3,
  flushRecords: 20,
  flushBytes: 100_000,
  cachedRecords: 4,
  cachedBytes: 10_000,
};

/** Starts the shipped task in the shipped loop; only its surroundings are the simulation's. */
export function startTask(world: World, name: string, process: SimulatedProcess): void {
  const log = world.broker.connect(process);
  const clock: Clock = { nowMs: () => world.clockMs, pause: () => process.idle() };
  const context: TaskContext = {
    log,
    registry: REGISTRY,
    topics: new TopicNames(world.plan.prefix),
    prefix: world.plan.prefix,
    clock,
    metrics: NO_METRICS,
    limits: world.config.smallBatches ? SMALL_LIMITS : TASK_LIMITS,
  };
  const createTask = taskFactory(world, name, process, context);
  const loop = new TaskLoop({
    name,
    lease: log.lease(`${GROUP}${name}`),
    clock,
    createTask: () => pausing(createTask(), process),
    onChange: ({ phase, error }) => {
      if (error && (phase === 'pausing' || phase === 'failed')) process.errors.push(`${error.code}: ${error.message}`);
      if (error?.code === 'INTERNAL') process.defects.push(error);
      if (phase === 'failed') process.fail();
    },
  });
  loop.start();
}

/** What `duolog resync SYSTEM --allow-deletes` does. */
export async function askForResync(world: World, system: string): Promise<void> {
  const { broker, plan } = world;
  const client = {
    name: 'a person',
    roundTrip: async () => {},
    fetchLimit: () => Number.POSITIVE_INFINITY,
    idle: async () => {},
    isMember: () => true,
  };
  const clock: Clock = { nowMs: () => world.clockMs, pause: async () => {} };
  const tables = entitiesOf(world, system).map((table) => ({ ...table, sync: plan.name }));
  await ask(
    { log: broker.connect(client), registry: REGISTRY, topics: new TopicNames(plan.prefix), clock },
    { prefix: plan.prefix, system, tables },
    { entities: null, allowDeletes: true },
  );
}

/** Topics as the product makes them. */
export function createTopics(world: World): void {
  for (const spec of topicSpecs([world.plan], 0)) world.broker.create(spec);
}

function taskFactory(world: World, name: string, process: SimulatedProcess, context: TaskContext): () => Task {
  const [role, system = ''] = name.split('.');
  if (role === 'stream') return streamFactory(world, context);
  const database = world.databases.get(system)!;
  const roundTrip = (point: string) => process.roundTrip(point);
  const connector = new MemoryConnector(system, database, roundTrip);
  const { prefix } = context;
  if (role === 'source') {
    const entities = entitiesOf(world, system).filter(({ captured }) => captured);
    const { batchRecords: maxBatchEvents, batchBytes: maxBatchBytes } = context.limits;
    const options = { system, prefix, entities, maxBatchEvents, maxBatchBytes };
    return () => new SourceTask(context, system, entities, () => connector.source(options));
  }
  const entities = entitiesOf(world, system).filter(({ written }) => written);
  const sync = world.plan.name;
  const createSink = () => connector.sink({ system, sync, prefix, entities, owner: name });
  return () => new SinkTask(context, { sync, system, entities, createSink });
}

function streamFactory(world: World, context: TaskContext): () => Task {
  const { plan } = world;
  // This machine's, also where another one takes over before it is opened.
  const disk = world.disk('stream');
  const changelog = new Changelog({
    log: context.log,
    topic: context.topics.state(plan.name),
    openBacking: async () => disk,
    registry: REGISTRY,
    plan,
    nowMs: context.clock.nowMs,
    limits: world.config.smallBatches ? SMALL_STORE_LIMITS : STORE_LIMITS,
  });
  return () =>
    new StreamTask(context, {
      plan,
      decide: (state, event, _plan, share) => decide(state, event, plan, share),
      quietPath: (options) => CheckedQuietPath.create(options, context, plan),
      changelog,
      newBirth: () => world.newBirth(),
    });
}

function entitiesOf(world: World, system: string): readonly EntitySystemPlan[] {
  return world.plan.entities.flatMap(({ systems }) => systems[system] ?? []);
}

/** Others go on after each step. */
function pausing(task: Task, process: SimulatedProcess): Task {
  return {
    open: () => task.open(),
    step: async () => {
      const busy = await task.step();
      process.busy = busy;
      await process.idle();
      return busy;
    },
    close: () => task.close(),
  };
}
