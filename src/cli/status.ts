import { loadConfiguration } from '../config/load.js';
import type { SourceStatus } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import type { DuologStatus } from '../runtime.js';
import type { PendingRequest } from '../tasks/resync/pending-requests.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { describeError, inOneLine, type Output } from './output.js';

export interface StatusOptions {
  readonly config: string;
  readonly url?: string;
}

const TIMEOUT_MS = 5_000;

/** What /status answers, as far as this command reads it. */
export interface ShownStatus {
  readonly prefix: string;
  readonly tasks: readonly {
    readonly name: string;
    readonly phase: string;
    readonly restarts: number;
    readonly error: { readonly code: string; readonly message: string; readonly hint: string } | null;
  }[];
  readonly sources: Readonly<Record<string, SourceStatus>>;
  /** By sync, entity and reason. */
  readonly holds: DuologStatus['holds'];
  /** Resyncs that were asked for and not taken up yet; null where Kafka does not tell. */
  readonly requests: readonly PendingRequest[] | null;
  /** What the start waits for, before there are tasks. */
  readonly waitingFor: ShownStatus['tasks'][number]['error'];
}

/** A status as JSON: errors in words, no values of records. */
export function describeStatus(status: DuologStatus, requests: ShownStatus['requests']): ShownStatus {
  const tasks = status.tasks.map(({ name, phase, restarts, error }) => ({
    name,
    phase,
    restarts,
    error: error === null ? null : describeError(error),
  }));
  return { prefix: status.prefix, tasks, sources: status.sources, holds: status.holds, requests, waitingFor: null };
}

/** Before Kafka and the systems are reached. */
export function describeStart(prefix: string, waitingFor: DuologError | null): ShownStatus {
  const error = waitingFor === null ? null : describeError(waitingFor);
  return { prefix, tasks: [], sources: {}, holds: {}, requests: null, waitingFor: error };
}

/** `duolog status`: asks the running process's API. */
export async function status(options: StatusOptions, output: Output): Promise<ExitCode> {
  const url = options.url ?? apiUrl(options.config);
  const [shown, healthy] = await Promise.all([ask(url, '/status'), ask(url, '/healthz')]);
  const answer = shown.body as ShownStatus;
  print(answer, output);
  output.result({ healthy: healthy.ok, ...answer });
  return healthy.ok ? EXIT.OK : EXIT.PROBLEM;
}

function apiUrl(file: string): string {
  const { host, port } = loadConfiguration(file).configuration.http;
  if (port === 0) {
    throw new DuologError('API_UNREACHABLE', 'With http.port 0 the port is only known from the log of the process.', {
      hint: 'Name the address with --url.',
    });
  }
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host;
  return `http://${reachable}:${port}`;
}

async function ask(url: string, path: string): Promise<{ readonly ok: boolean; readonly body: unknown }> {
  try {
    const response = await fetch(new URL(path, url), { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { ok: response.ok, body: await response.json() };
  } catch (cause) {
    throw new DuologError('API_UNREACHABLE', `No Duolog answers at ${url}.`, { cause });
  }
}

function print(shown: ShownStatus, output: Output): void {
  const { paint } = output;
  output.line(paint('bold', `prefix ${shown.prefix}`));
  const { waitingFor } = shown;
  if (waitingFor !== null) {
    output.line(`  starting, waits: ${paint('red', waitingFor.code)} ${inOneLine(waitingFor)}`);
  }
  const width = Math.max(0, ...shown.tasks.map(({ name }) => name.length));
  for (const { name, phase, restarts, error } of shown.tasks) {
    const colour = phase === 'running' ? 'green' : phase === 'failed' ? 'red' : 'yellow';
    const again = restarts === 0 ? '' : `, ${restarts} ${restarts === 1 ? 'restart' : 'restarts'}`;
    output.line(`  ${name.padEnd(width)}  ${paint(colour, phase)}${again}`);
    if (error !== null) output.line(`    ${paint('red', error.code)} ${inOneLine(error)}`);
  }
  for (const [system, source] of Object.entries(shown.sources)) output.line(`  ${system}: ${sourceText(source)}`);
  for (const { system, entities, askedAtMicros } of shown.requests ?? []) {
    const since = new Date(askedAtMicros / 1000).toISOString();
    output.line(`  ${system}: a resync of ${entities?.join(', ') ?? 'all'} waits for its source since ${since}`);
  }
  for (const [sync, entities] of Object.entries(shown.holds)) {
    for (const [entity, reasons] of Object.entries(entities)) {
      const texts = Object.entries(reasons).map(([reason, count]) => `${count} ${reason}`);
      if (texts.length > 0) output.line(`  held in ${sync}, ${entity}: ${texts.join(', ')}`);
    }
  }
}

function sourceText(source: SourceStatus): string {
  const parts: string[] = [source.phase];
  if (source.detail !== null) parts.push(source.detail);
  for (const [entity, { rows, estimate, done }] of Object.entries(source.snapshot)) {
    if (!done) parts.push(`${entity} ${rows} of about ${estimate ?? '?'} rows read`);
  }
  if (source.retainedBytes !== null) parts.push(`${(source.retainedBytes / 1e6).toFixed(1)} MB of log kept for us`);
  return parts.join(', ');
}
