import { pino, stdSerializers, stdTimeFunctions, type DestinationStream, type Level, type Logger } from 'pino';
import { build as prettyStream } from 'pino-pretty';
import { redactSecrets } from '../config/redaction.js';
import { DuologError } from '../errors/duolog-error.js';

export type { Logger } from 'pino';

export interface LoggingOptions {
  readonly level: Level | 'silent';
  /** `auto` is pretty on a terminal and json elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** Where the lines go; standard error by default, so that a command's result stays alone on standard output. */
  readonly destination?: DestinationStream;
}

/**
 * The one log. Every text goes through the redaction of secrets; keys that usually hold one are blanked, and so are
 * keys that would carry a record's values. Writing is synchronous: the last line before an exit is not lost.
 */
export function createLogger(options: LoggingOptions): Logger {
  const destination = options.destination ?? pino.destination({ dest: 2, sync: true });
  const pretty = options.format === 'pretty' || (options.format === 'auto' && process.stderr.isTTY === true);
  const stream = pretty
    ? prettyStream({
        destination,
        colorize: process.stderr.isTTY === true && process.env['NO_COLOR'] === undefined,
        translateTime: 'SYS:HH:MM:ss.l',
        ignore: 'pid,hostname',
        singleLine: true,
        sync: true,
      })
    : destination;
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: redactObject },
      serializers: { err: serializeError, error: serializeError },
      redact: { paths: BLANKED_PATHS, censor: '***' },
      hooks: {
        logMethod(parameters, method) {
          const redacted = parameters.map((part: unknown) => (typeof part === 'string' ? redactSecrets(part) : part));
          method.apply(this, redacted as typeof parameters);
        },
      },
    },
    stream,
  );
}

const SECRET_KEYS = ['password', 'secret', 'token', 'authorization', 'sasl', 'connectionString'];
const PAYLOAD_KEYS = ['before', 'after', 'row', 'rows', 'values', 'fields', 'set', 'expect', 'met', 'payload'];
const BLANKED_PATHS = [...SECRET_KEYS, ...PAYLOAD_KEYS].flatMap((key) => [key, `*.${key}`]);

function redactObject(object: Record<string, unknown>): Record<string, unknown> {
  const redacted: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    redacted[key] = typeof value === 'string' ? redactSecrets(value) : value;
  }
  return redacted;
}

/** An error as the log shows it: one of ours with its code and hint and without a stack, any other with its stack. */
export function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? redactSecrets(error) : error;
  if (error instanceof DuologError) {
    return {
      code: error.code,
      message: redactSecrets(error.message),
      hint: error.hint,
      retry: error.retry,
      ...(error.cause instanceof Error ? { cause: redactSecrets(rootCause(error.cause)) } : {}),
      ...(error.code === 'INTERNAL' ? { stack: redactSecrets(error.stack ?? '') } : {}),
    };
  }
  const { type, message, stack } = stdSerializers.err(error);
  return { type, message: redactSecrets(message), stack: redactSecrets(stack) };
}

/** The messages of an error and its causes, the outermost first. */
function rootCause(error: Error): string {
  const messages: string[] = [];
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    messages.push(at.message);
  }
  return messages.join(' ← ');
}
