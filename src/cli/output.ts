import { styleText } from 'node:util';
import type { LocatedProblem } from '../config/problems.js';
import { redactSecrets } from '../config/redaction.js';
import { ERROR_KINDS } from '../errors/codes.js';
import { DuologError } from '../errors/duolog-error.js';

/** Where a command writes: results to standard output, everything else to standard error. */
export interface Output {
  readonly json: boolean;
  /** A result; objects are printed as JSON, but only with `--json`. */
  result(value: unknown): void;
  line(text: string): void;
  error(error: unknown): void;
  readonly paint: Paint;
}

type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold';
export type Paint = (colour: Colour, text: string) => string;

export interface Streams {
  readonly out: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly error: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** With `json` only `result` and `error` write, each one JSON object; without, only lines and errors. */
export function createOutput(json: boolean, streams: Streams = { out: process.stdout, error: process.stderr }): Output {
  const coloured = streams.out.isTTY === true && process.env['NO_COLOR'] === undefined;
  const paint: Paint = (colour, text) => (coloured ? styleText(colour, text) : text);
  return {
    json,
    paint,
    result: (value) => void (json && streams.out.write(`${redactSecrets(JSON.stringify(value, bigIntAsText, 2))}\n`)),
    line: (text) => void (json || streams.out.write(`${redactSecrets(text)}\n`)),
    error: (error) => {
      const described = describeError(error);
      if (json) streams.out.write(`${redactSecrets(JSON.stringify({ error: described }, null, 2))}\n`);
      else streams.error.write(`${redactSecrets(errorText(described, paint))}\n`);
    },
  };
}

function bigIntAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

/** An error as `--json` shows it. */
export interface DescribedError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** What the system below said, innermost last. */
  readonly causes: readonly string[];
  /** Of a configuration. */
  readonly problems: readonly LocatedProblem[];
}

export function describeError(error: unknown): DescribedError {
  if (!(error instanceof DuologError)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { code: 'INTERNAL', message, hint: ERROR_KINDS.INTERNAL.hint, causes: [], problems: [] };
  }
  const problems = Array.isArray(error.cause) ? (error.cause as readonly LocatedProblem[]) : [];
  return { code: error.code, message: error.message, hint: error.hint, causes: causesOf(error), problems };
}

function causesOf(error: Error): readonly string[] {
  const messages: string[] = [];
  for (let at: unknown = error.cause, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const message = at.message === '' ? at.name : at.message;
    if (!error.message.includes(message)) messages.push(message);
  }
  return messages;
}

/** What an error says and what to do about it, in one line: a server's own words often end without a full stop. */
export function inOneLine({ message, hint }: Pick<DescribedError, 'message' | 'hint'>): string {
  return `${message}${/[.!?]$/.test(message) ? '' : '.'} ${hint}`;
}

function errorText(error: DescribedError, paint: Paint): string {
  const causes = error.causes.map((cause) => `\n  because: ${cause}`).join('');
  return `${paint('red', error.code)} ${error.message}${causes}\n  ${paint('dim', 'What to do:')} ${error.hint}`;
}
