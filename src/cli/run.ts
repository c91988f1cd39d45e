import { startApi, type Api } from '../api/server.js';
import { loadConfiguration, type LoadedConfiguration } from '../config/load.js';
import type { DuologError } from '../errors/duolog-error.js';
import { createLogger, type Logger } from '../logging/logger.js';
import { startDuolog, type Duolog, type Role } from '../runtime.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { Observer } from './observe.js';
import { describeError, type Output } from './output.js';
import { readiness } from './readiness.js';
import { DuologMetrics } from '../tasks/metrics.js';
import { stopSignals } from './signals.js';
import { describeStart, describeStatus } from './status.js';
import { version } from './version.js';

export type { Role } from '../runtime.js';

export interface RunOptions {
  readonly config: string;
  readonly roles: readonly Role[];
  readonly observe: boolean;
  /** Most examples of a kind that `observe` lists; null for the default of the form of output. */
  readonly list: number | null;
}

/** Records of one kind and entity that are listed: for people, and for programs with --json. */
const LISTED = 20;
const LISTED_AS_JSON = 10_000;

/** From the first signal to the end, whatever hangs. */
const GRACE_MS = 10_000;

/** `duolog run`: the tasks of the roles until a signal or an error that no task can come back from. */
export async function run(options: RunOptions, output: Output): Promise<ExitCode> {
  const loaded = loadConfiguration(options.config);
  const logger = createLogger(loaded.configuration.log);
  const signals = stopSignals(GRACE_MS, () => {
    logger.warn('cut short');
    process.exit(EXIT.CUT_SHORT);
  });
  try {
    return await runUntilStopped({ options, loaded, logger, output, signal: signals.signal });
  } catch (error) {
    if (signals.signal.aborted) return stoppedCode(options);
    throw error;
  } finally {
    signals.close();
  }
}

interface Run {
  readonly options: RunOptions;
  readonly loaded: LoadedConfiguration;
  readonly logger: Logger;
  readonly output: Output;
  readonly signal: AbortSignal;
}

function listed({ options, output }: Run): number {
  return options.list ?? (output.json ? LISTED_AS_JSON : LISTED);
}

/** Observing needs no sink: no command is made. */
function rolesOf({ options }: Run): readonly Role[] {
  return options.observe ? options.roles.filter((role) => role !== 'sink') : options.roles;
}

async function runUntilStopped(run: Run): Promise<ExitCode> {
  const { loaded, logger, options, signal } = run;
  const roles = rolesOf(run);
  logger.info({ version: version(), config: loaded.file, roles, observe: options.observe }, 'starting');
  const state: RunState = {
    metrics: new DuologMetrics(() => Date.now()),
    duolog: null,
    waitingFor: null,
    failed: false,
  };
  // First, so that whoever asks for the process's health gets an answer while a system is waited for.
  const api = await serve(run, state);
  let observer: Observer | null = null;
  try {
    if (options.observe) observer = await Observer.open(loaded);
    const { metrics } = state;
    const onWaiting = (error: DuologError | null) => (state.waitingFor = error);
    const duolog = await startDuolog(loaded, { roles, observe: options.observe, logger, signal, metrics, onWaiting });
    state.duolog = duolog;
    void duolog.failed.then(() => (state.failed = true));
    const end = await Promise.race([
      aborted(signal).then(() => ({ kind: 'stopped' }) as const),
      duolog.failed.then((error) => ({ kind: 'failed', error }) as const),
      ...(observer === null
        ? []
        : [observer.observe(duolog, listed(run), signal).then((seen) => ({ kind: 'observed', seen }) as const)]),
    ]);
    if (end.kind === 'observed') end.seen.print(run.output);
    if (end.kind === 'failed') return failed(run, end.error);
    logger.info(end.kind === 'stopped' ? 'stopping' : 'observed');
    return end.kind === 'stopped' ? stoppedCode(options) : EXIT.OK;
  } finally {
    await Promise.all([state.duolog?.stop(), api.close(), observer?.close()]);
    logger.info('stopped');
  }
}

/** A run is done when it is told to stop; a look is done when it has told what it saw. */
function stoppedCode({ observe }: RunOptions): ExitCode {
  return observe ? EXIT.CUT_SHORT : EXIT.OK;
}

/** The task that gave up has logged why. */
function failed({ output }: Run, error: DuologError): ExitCode {
  output.result({ error: describeError(error) });
  return EXIT.PROBLEM;
}

/** What the API tells of, from the first moment on. */
interface RunState {
  readonly metrics: DuologMetrics;
  /** Null until Kafka and the systems are reached. */
  duolog: Duolog | null;
  waitingFor: DuologError | null;
  failed: boolean;
}

async function serve({ loaded, logger, options }: Run, state: RunState): Promise<Api> {
  const { http, kafka } = loaded.configuration;
  const startedMs = Date.now();
  const api = await startApi(http, {
    metrics: state.metrics.registry,
    healthy: () => !state.failed,
    readiness: () => {
      const { duolog, waitingFor } = state;
      if (duolog !== null) return readiness(duolog.status().tasks, Date.now() - startedMs, kafka.sessionTimeoutMs);
      return { ready: false, waitingFor: [waitingFor === null ? 'start' : `start: ${waitingFor.code}`] };
    },
    status: async () => {
      const { duolog, waitingFor } = state;
      const common = { version: version(), roles: options.roles, startedMs };
      if (duolog === null) return { ...common, ...describeStart(loaded.configuration.prefix, waitingFor) };
      return { ...common, ...describeStatus(duolog.status(), await duolog.requests()) };
    },
  });
  logger.info({ url: api.url }, 'API listens');
  return api;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
