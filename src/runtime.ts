import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from './logging/logger.js';
import { HttpSchemaRegistry } from './avro/registry.js';
import { kafkaLogOptions } from './config/kafka-connection.js';
import { registryOptions } from './config/registry-connection.js';
import { configurationError } from './config/problems.js';
import type { LoadedConfiguration } from './config/load.js';
import type { Configuration } from './config/schema.js';
import { taskLimits } from './config/task-limits.js';
import type { Connector, SourceStatus } from './connector/contract.js';
import { DuologError } from './errors/duolog-error.js';
import { openLog } from './kafka/index.js';
import { KnownTables } from './known-tables.js';
import type { Log } from './log/contract.js';
import { TopicNames } from './log/topics.js';
import type { TableShape } from './model/table.js';
import { compilePlans, tablesNeeded } from './plan/compile.js';
import type { SyncPlan } from './plan/plan.js';
import { unmatchedTables } from './plan/unmatched.js';
import { systemClock } from './tasks/clock.js';
import { refuseDoubles } from './tasks/first-start.js';
import { DuologMetrics } from './tasks/metrics.js';
import { pendingRequests, type PendingRequest } from './tasks/resync/pending-requests.js';
import { capturedSystems, Places, type Role } from './tasks/places.js';
import { RequestReader } from './tasks/resync/requests.js';
import type { StreamRest } from './tasks/stream-task.js';
import type { TaskStatus } from './tasks/task-loop.js';
import { topicSpecs } from './tasks/topic-specs.js';
import { createConnector } from '../connectors/registry.js';

export type { Role } from './tasks/places.js';

export interface StartOptions {
  readonly roles: readonly Role[];
  /** Decides without sending a command, for a look at a first start. */
  readonly observe?: boolean;
  readonly logger: Logger;
  /** Gives up waiting for Kafka and the systems. */
  readonly signal?: AbortSignal;
  /** Where the figures go; own ones by default. */
  readonly metrics?: DuologMetrics;
  /** Told what a start waits for, and null once it no longer does. */
  readonly onWaiting?: (error: DuologError | null) => void;
}

/** A running Duolog. */
export interface Duolog {
  readonly plans: readonly SyncPlan[];
  readonly metrics: DuologMetrics;
  /** Resolves with the first error that a task cannot come back from. */
  readonly failed: Promise<DuologError>;
  status(): DuologStatus;
  /** Resyncs that were asked for and not taken up yet; null where Kafka does not tell in time. */
  requests(): Promise<readonly PendingRequest[] | null>;
  /** Finishes the transactions in hand and lets go of everything; returns within about ten seconds whatever hangs. */
  stop(): Promise<void>;
}

export interface DuologStatus {
  readonly prefix: string;
  readonly tasks: readonly TaskStatus[];
  readonly sources: Readonly<Record<string, SourceStatus>>;
  readonly holds: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number>>>>>>;
  /** By sync whose stream task runs here; null for one that is at work. */
  readonly rest: Readonly<Record<string, StreamRest | null>>;
}

/** Two seconds less than a process has with all else, so that an orderly end is one on a busy machine too. */
const STOP_WITHIN_MS = 7_000;
/** Of that, until local stores are no longer vouched for. */
const SEAL_WITHIN_MS = 6_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Puts the parts together: the log, the connectors, topics and the tasks of the roles. What cannot be reached yet is
 * waited for; what is wrong is thrown.
 * @throws DuologError CONFIG_INVALID and whatever a person has to mend first.
 */
export async function startDuolog(loaded: LoadedConfiguration, options: StartOptions): Promise<Duolog> {
  const { configuration } = loaded;
  const connectors = new Map(
    Object.entries(configuration.systems).map(([name, system]) => [name, createConnector(name, system)] as const),
  );
  let log: Log | null = null;
  try {
    const known = new KnownTables(join(configuration.state.folder, configuration.prefix, 'tables.json'));
    const compiled = await untilReached(options, async () =>
      compile(loaded, await shapes(options, configuration, connectors, known)),
    );
    const plans = compiled.map((plan) => ({ ...plan, observe: options.observe ?? false }));
    const opened = await untilReached(options, () => openLog(kafkaLogOptions(configuration.kafka, options.logger)));
    log = opened;
    const specs = topicSpecs(plans, configuration.retention.decisionsMs);
    await untilReached(options, () => opened.ensureTopics(specs));
    if (options.roles.includes('stream')) {
      const topics = new TopicNames(configuration.prefix);
      const catalogueOf = (system: string) => connectors.get(system)!.catalogue();
      const unmatched = unmatchedTables(configuration, plans);
      await untilReached(options, () => refuseDoubles({ log: opened, topics, unmatched, catalogueOf }));
    }
    return run(configuration, options, plans, connectors, opened);
  } catch (error) {
    await log?.close().catch(() => undefined);
    await Promise.allSettled([...connectors.values()].map((connector) => connector.close()));
    throw error;
  }
}

function run(
  configuration: Configuration,
  options: StartOptions,
  plans: readonly SyncPlan[],
  connectors: ReadonlyMap<string, Connector>,
  log: Log,
): Duolog {
  const { prefix } = configuration;
  const metrics = options.metrics ?? new DuologMetrics(() => Date.now());
  const topics = new TopicNames(prefix);
  const registry = new HttpSchemaRegistry(registryOptions(configuration.kafka));
  const requests = new RequestReader({ log, registry, topics });
  const places = new Places({
    plans,
    connectors,
    metrics,
    logger: options.logger,
    stateFolder: configuration.state.folder,
    owner: `${hostname()}:${process.pid}`,
    context: {
      log,
      registry,
      topics,
      prefix,
      clock: systemClock,
      limits: taskLimits(configuration),
    },
  });
  places.start(options.roles);
  let stopped: Promise<void> | null = null;
  const stop = async () => {
    await within(STOP_WITHIN_MS, places.stop(AbortSignal.timeout(SEAL_WITHIN_MS)));
    await within(1_000, Promise.allSettled([log.close(), ...[...connectors.values()].map((each) => each.close())]));
  };
  return {
    plans,
    metrics,
    failed: places.failed,
    status: () => ({ prefix, ...places.status() }),
    requests: () => pendingRequests(requests, capturedSystems(plans)),
    stop: () => (stopped ??= stop()),
  };
}

/** What the systems' catalogues say of every table that the configuration names; of one that is away, what it said last. */
async function shapes(
  { logger }: StartOptions,
  configuration: Configuration,
  connectors: ReadonlyMap<string, Connector>,
  known: KnownTables,
): Promise<readonly TableShape[]> {
  const needed = tablesNeeded(configuration);
  const perSystem = await Promise.all(
    Array.from(connectors, async ([name, connector]) => {
      const wanted = needed.filter(({ system }) => system === name).map(({ entity, table }) => ({ entity, table }));
      if (wanted.length === 0) return [];
      const catalogue = connector.catalogue();
      try {
        return await catalogue.tables(wanted);
      } catch (error) {
        const last = isAway(error) ? await known.of(name, wanted) : null;
        if (last === null) throw error;
        logger.warn({ err: error, system: name }, 'not reached; begins with its tables as they were last');
        return last;
      } finally {
        await catalogue.close();
      }
    }),
  );
  await known.remember(perSystem.flat()).catch((error: unknown) => {
    // Only what a start without a system would need; a role without a state may have no folder to write.
    logger.warn({ err: error }, 'the tables could not be remembered');
  });
  return perSystem.flat();
}

function isAway(error: unknown): error is DuologError {
  return error instanceof DuologError && error.retry === 'backoff';
}

function compile(loaded: LoadedConfiguration, tables: readonly TableShape[]): readonly SyncPlan[] {
  const compiled = compilePlans(loaded.configuration, tables);
  if (compiled.ok) return compiled.plans;
  throw configurationError(compiled.problems.map((problem) => loaded.locate(problem)));
}

/** Tries again, ever more slowly, while all that is wrong is that something does not answer. */
async function untilReached<T>(options: StartOptions, attempt: () => Promise<T>): Promise<T> {
  const { logger, signal, onWaiting } = options;
  for (let attempts = 0; ; attempts++) {
    try {
      const reached = await attempt();
      onWaiting?.(null);
      return reached;
    } catch (error) {
      if (!isAway(error) || signal?.aborted === true) throw error;
      onWaiting?.(error);
      logger.warn({ err: error, attempts: attempts + 1 }, 'not reached yet; trying again');
      await systemClock.pause(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts, 10)), signal);
      signal?.throwIfAborted();
    }
  }
}

async function within(milliseconds: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work, systemClock.pause(milliseconds, over.signal)]);
  over.abort();
}
