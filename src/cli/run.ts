import { startApi, type Api } from '../api/server.js';
import { loadConfiguration, type LoadedConfiguration } from '../config/load.js';
import type { DuologError } from '../errors/duolog-error.js';
import { createLogger, type Logger } from '../logging/logger.js';
import { startDuolog, type Duolog, type Role } from '../runtime.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { observe } from './observe.js';
import { describeError, type Output } from './output.js';
import { readiness } from './readiness.js';
import { stopSignals } from './signals.js';
import { describeStatus } from './status.js';
import { version } from './version.js';

export type { Role } from '../runtime.js';

export interface RunOptions {
  readonly config: string;
  readonly roles: readonly Role[];
  readonly observe: boolean;
}

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
    if (signals.signal.aborted) return EXIT.OK;
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

/** Observing needs no sink: no command is made. */
function rolesOf({ options }: Run): readonly Role[] {
  return options.observe ? options.roles.filter((role) => role !== 'sink') : options.roles;
}

async function runUntilStopped(run: Run): Promise<ExitCode> {
  const { loaded, logger, options, signal } = run;
  const roles = rolesOf(run);
  logger.info({ version: version(), config: loaded.file, roles, observe: options.observe }, 'starting');
  const duolog = await startDuolog(loaded, { roles, observe: options.observe, logger, signal });
  let api: Api | null = null;
  try {
    api = await serve(run, duolog);
    const end = await Promise.race([
      aborted(signal).then(() => ({ kind: 'stopped' }) as const),
      duolog.failed.then((error) => ({ kind: 'failed', error }) as const),
      ...(options.observe
        ? [observe(loaded, duolog, signal).then((seen) => ({ kind: 'observed', seen }) as const)]
        : []),
    ]);
    if (end.kind === 'observed') end.seen.print(run.output);
    if (end.kind === 'failed') return failed(run, end.error);
    logger.info(end.kind === 'stopped' ? 'stopping' : 'observed');
    return EXIT.OK;
  } finally {
    await Promise.all([duolog.stop(), api?.close()]);
    logger.info('stopped');
  }
}

/** The task that gave up has logged why. */
function failed({ output }: Run, error: DuologError): ExitCode {
  output.result({ error: describeError(error) });
  return EXIT.PROBLEM;
}

async function serve({ loaded, logger, options }: Run, duolog: Duolog): Promise<Api> {
  const { http, kafka } = loaded.configuration;
  const startedMs = Date.now();
  let healthy = true;
  void duolog.failed.then(() => (healthy = false));
  const api = await startApi(http, {
    metrics: duolog.metrics.registry,
    healthy: () => healthy,
    readiness: () => readiness(duolog.status().tasks, Date.now() - startedMs, kafka.sessionTimeoutMs),
    status: async () => {
      const requests = await duolog.requests();
      return { version: version(), roles: options.roles, startedMs, ...describeStatus(duolog.status(), requests) };
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
