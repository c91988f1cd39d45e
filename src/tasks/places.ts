import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Connector, Source, SourceStatus } from '../connector/contract.js';
import { decide } from '../decision/decide.js';
import { QuietPath, type QuietOptions } from '../quiet/quiet-path.js';
import type { DuologError } from '../errors/duolog-error.js';
import type { EntitySystemPlan, SyncPlan } from '../plan/plan.js';
import { Changelog } from '../state/changelog.js';
import { LocalStore } from '../state/local-store.js';
import { countHolds } from './count-holds.js';
import type { DuologMetrics } from './metrics.js';
import { BirthReader } from './read-last.js';
import { SinkTask } from './sink-task.js';
import { SourceTask } from './source-task.js';
import type { TaskLabels } from './stage-metrics.js';
import { writtenSystems } from './stream-messages.js';
import { StreamTask, type StreamRest } from './stream-task.js';
import type { TaskContext } from './task.js';
import { TaskLoop, type TaskLoopOptions, type TaskStatus } from './task-loop.js';

export type Role = 'source' | 'stream' | 'sink';

export interface PlacesOptions {
  readonly plans: readonly SyncPlan[];
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly context: Omit<TaskContext, 'metrics'>;
  readonly metrics: DuologMetrics;
  readonly logger: Logger;
  readonly stateFolder: string;
  /** Names this process for whoever looks at a target's sessions. */
  readonly owner: string;
}

/** The tasks that this process runs or stands by for: a source a system, a stream a sync, a sink a sync and target. */
export class Places {
  readonly failed: Promise<DuologError>;
  private readonly loops: TaskLoop[] = [];
  private readonly sources = new Map<string, Source>();
  private readonly streams = new Map<string, StreamTask>();
  private readonly holds = new Map<string, () => ReturnType<typeof countHolds>>();
  private readonly endings: ((over?: AbortSignal) => Promise<void>)[] = [];
  private fail!: (error: DuologError) => void;

  constructor(private readonly options: PlacesOptions) {
    this.failed = new Promise((resolve) => {
      this.fail = resolve;
    });
  }

  start(roles: readonly Role[]): void {
    const { plans } = this.options;
    if (roles.includes('source')) for (const system of capturedSystems(plans)) this.addSource(system);
    for (const plan of plans) {
      if (roles.includes('stream')) this.addStream(plan);
      if (roles.includes('sink')) for (const system of writtenSystems(plan)) this.addSink(plan, system);
    }
    for (const loop of this.loops) loop.start();
  }

  /** What only makes the next start faster is left where `over` comes first. */
  async stop(over?: AbortSignal): Promise<void> {
    await Promise.all(this.loops.map((loop) => loop.stop()));
    await Promise.allSettled(this.endings.map((end) => end(over)));
  }

  status(): {
    readonly tasks: readonly TaskStatus[];
    readonly sources: Readonly<Record<string, SourceStatus>>;
    readonly holds: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>>;
    /** By sync whose stream task runs here; null for one that is at work. */
    readonly rest: Readonly<Record<string, StreamRest | null>>;
  } {
    const holds = Array.from(this.holds, ([sync, count]) => {
      const byEntity = Array.from(count(), ([entity, reasons]) => [entity, Object.fromEntries(reasons)] as const);
      return [sync, Object.fromEntries(byEntity)] as const;
    });
    return {
      tasks: this.loops.map((loop) => loop.status()),
      sources: Object.fromEntries(Array.from(this.sources, ([system, source]) => [system, source.status()])),
      holds: Object.fromEntries(holds),
      rest: Object.fromEntries(Array.from(this.streams, ([sync, stream]) => [sync, stream.atRest()])),
    };
  }

  private addSource(system: string): void {
    const { plans, connectors, context, metrics } = this.options;
    const labels: TaskLabels = { stage: 'source', sync: '', system };
    const entities = entitiesOf(plans, system).filter(({ captured }) => captured);
    const own = { ...context, metrics: metrics.stage(labels) };
    const createSource = () => {
      const { batchBytes, batchRecords } = context.limits;
      const source = connectors
        .get(system)!
        .source({ system, prefix: context.prefix, entities, maxBatchEvents: batchRecords, maxBatchBytes: batchBytes });
      this.sources.set(system, source);
      return source;
    };
    metrics.watchSource(system, () => this.sources.get(system)?.status() ?? null);
    this.add(labels, `source ${system}`, `source.${system}`, {
      createTask: () => new SourceTask(own, system, entities, createSource),
    });
  }

  private addStream(plan: SyncPlan): void {
    const { context, logger, metrics, stateFolder } = this.options;
    const labels: TaskLabels = { stage: 'stream', sync: plan.name, system: '' };
    const own = { ...context, metrics: metrics.stage(labels) };
    const local = new LocalStore(join(stateFolder, context.prefix, plan.name));
    const changelog = new Changelog({
      log: context.log,
      topic: context.topics.state(plan.name),
      openBacking: () => local.open(),
      registry: context.registry,
      plan,
      nowMs: () => context.clock.nowMs(),
      onRebuild: (reason) => logger.warn({ sync: plan.name }, `the local state is read anew from Kafka: ${reason}`),
    });
    this.endings.push(async (over) => {
      await changelog.close();
      await local.release(over);
    });
    const births = new BirthReader(context, plan.name);
    const quietPath = (options: QuietOptions) => new QuietPath(options);
    const newBirth = () => randomBytes(5).toString('hex');
    this.add(labels, `stream ${plan.name}`, `stream.${plan.name}`, {
      createTask: () => {
        const task = new StreamTask(own, { plan, decide, quietPath, changelog, newBirth });
        this.streams.set(plan.name, task);
        return task;
      },
      standBy: async (over) => changelog.catchUp(await births.read(over), over),
      onRunning: (running) => {
        const count = () => countHolds(changelog.store);
        if (running) this.holds.set(plan.name, count);
        else this.holds.delete(plan.name);
        metrics.countHolds(plan.name, running ? count : null);
      },
    });
  }

  private addSink(plan: SyncPlan, system: string): void {
    const { connectors, context, metrics, owner } = this.options;
    const { name: sync, prefix } = plan;
    const labels: TaskLabels = { stage: 'sink', sync, system };
    const own = { ...context, metrics: metrics.stage(labels) };
    const entities = entitiesOf([plan], system).filter(({ written }) => written);
    const createSink = () => connectors.get(system)!.sink({ system, sync, prefix, entities, owner });
    this.add(labels, `sink ${sync} ${system}`, `sink.${sync}.${system}`, {
      createTask: () => new SinkTask(own, { sync, system, entities, createSink }),
    });
  }

  private add(
    labels: TaskLabels,
    name: string,
    group: string,
    task: Pick<TaskLoopOptions, 'createTask' | 'standBy'> & { readonly onRunning?: (running: boolean) => void },
  ): void {
    const { context, logger, metrics } = this.options;
    let before: TaskStatus | null = null;
    const onChange = (status: TaskStatus) => {
      if (status.phase !== before?.phase) {
        metrics.taskPhase(labels, status.phase);
        task.onRunning?.(status.phase === 'running');
        logger[status.phase === 'running' ? 'info' : 'debug']({ task: name }, status.phase);
      }
      if (status.restarts !== before?.restarts && status.restarts > 0) metrics.taskRestarted(labels);
      if (status.error !== null && status.error !== before?.error) this.report(name, status, status.error);
      before = status;
    };
    const onElsewhere = () => metrics.taskElsewhere(labels);
    const { onRunning: _onRunning, ...loop } = task;
    const lease = context.log.lease(`${context.prefix}.${group}`);
    this.loops.push(new TaskLoop({ ...loop, name, lease, clock: context.clock, onChange, onElsewhere }));
  }

  /** The task's edge: each error is logged here, once. */
  private report(task: string, { phase }: TaskStatus, error: DuologError): void {
    const { logger } = this.options;
    if (phase === 'failed') {
      logger.error({ task, err: error }, 'gave up');
      this.fail(error);
    } else if (error.code === 'RESYNC_REQUESTED') logger.info({ task }, error.message);
    else if (error.retry === 'operator') logger.error({ task, err: error }, 'waits for a person');
    else logger.warn({ task, err: error }, 'closed; trying again');
  }
}

/** Systems that have a source. */
export function capturedSystems(plans: readonly SyncPlan[]): readonly string[] {
  const systems = new Set(plans.flatMap(({ systems: names }) => names));
  return [...systems].filter((system) => entitiesOf(plans, system).some(({ captured }) => captured));
}

function entitiesOf(plans: readonly SyncPlan[], system: string): EntitySystemPlan[] {
  return plans.flatMap(({ entities }) =>
    entities.flatMap(({ systems }) => (systems[system] === undefined ? [] : [systems[system]])),
  );
}
