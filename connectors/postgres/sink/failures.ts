import pg from 'pg';
import { DuologError } from '../../../src/errors/duolog-error.js';
import type { Answer } from './session.js';
import { CONDITIONS } from './sqlstates.js';

/**
 * What an error of a statement means for the transaction:
 * - lost: there is no connection any more
 * - locked: somebody holds a row that was waited for
 * - again: deadlock or serialization, the whole transaction may be tried again
 * - internal: the server met what it did not expect: a passing one may be tried again, another is the row's
 * - server: nothing to do with a row; the server is short of something
 * - setup: a right, a table or a column is missing, or a trigger's statement is wrong
 * - row: the row itself is at fault
 */
export type FailureKind = 'lost' | 'locked' | 'again' | 'internal' | 'server' | 'setup' | 'row';

export function failureKind(error: unknown): FailureKind {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return 'lost';
  if (error.severity === 'FATAL' || error.severity === 'PANIC') return 'lost';
  const { code } = error;
  if (code === '40001' || code === '40P01') return 'again';
  if (isRaised(error)) return 'row';
  if (code === '55P03') return 'locked';
  if (code === 'XX000') return 'internal';
  if (/^(08|57P0)/.test(code)) return 'lost';
  if (/^(53|58|25|XX00[12])/.test(code)) return 'server';
  // A column has another type now: a new session makes new statements.
  if (error.routine === 'RevalidateCachedQuery') return 'server';
  // A policy of row-level security refuses rows, not the role.
  if (code === '42501') return error.routine === 'ExecWithCheckOptions' ? 'row' : 'setup';
  return /^(42|0A|3F)/.test(code) ? 'setup' : 'row';
}

/** A function's own words, about the row: it may use any code, also those of a server in trouble. */
export function isRaised(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.routine === 'exec_stmt_raise';
}

/**
 * All answers, once every statement has its own. An error aborts the transaction, so that those behind it fail with
 * 25P02: the one thrown is the first.
 */
export async function settled(sent: readonly Promise<Answer>[]): Promise<readonly Answer[]> {
  const results = await Promise.allSettled(sent);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<Answer>).value);
}

/**
 * What the database said, without values: its own message and detail may hold some, so the text is made of
 * the condition, constraint, column, table and function that it names.
 */
export function describe(error: unknown): {
  readonly code: string;
  readonly message: string;
  readonly constraint: string | null;
  readonly column: string | null;
} {
  if (!(error instanceof pg.DatabaseError)) {
    return { code: '', message: 'the connection was lost', constraint: null, column: null };
  }
  const code = error.code ?? '';
  const constraint = error.constraint ?? null;
  const column = error.column ?? null;
  const parts = [CONDITIONS[code] ?? `error ${code}`];
  if (constraint !== null) parts.push(`constraint ${constraint}`);
  if (column !== null) parts.push(`column ${column}`);
  if (error.dataType !== undefined) parts.push(`type ${error.dataType}`);
  if (error.table !== undefined) parts.push(`table ${error.schema ?? ''}.${error.table}`);
  const raisedBy = raisingFunction(error.where);
  if (raisedBy !== null) parts.push(`raised by ${raisedBy}`);
  return { code, message: parts.join(', '), constraint, column };
}

/** The innermost function in the error's context; the context's other lines may quote statements with values. */
function raisingFunction(where: string | undefined): string | null {
  const match = /^PL\/pgSQL function ([\w."$]+)\([^)]*\) line (\d+)/m.exec(where ?? '');
  return match === null ? null : `function ${match[1]} line ${match[2]}`;
}

/** A driver's or server's error that ends the sink's work for now; nothing of the transaction was written. */
export function sinkFailure(error: unknown, system: string, doing: string): DuologError {
  if (error instanceof DuologError) return error;
  const { code, message } = describe(error);
  // What the network says holds no values of rows.
  const said = error instanceof pg.DatabaseError ? message : error instanceof Error ? networkText(error) : '';
  const text = `${system}: ${doing} failed: ${said}`;
  switch (code) {
    case '28000':
    case '28P01':
    case '3D000':
      return new DuologError('SINK_LOGIN', text);
    case '25006':
      return new DuologError('SINK_UNREACHABLE', text, {
        hint: 'The server takes no writes: it is a standby, or its default is read-only.',
      });
    case '42501':
      return new DuologError('SINK_RIGHTS', text);
    case '55P03':
      return new DuologError('SINK_BUSY', text);
    default:
      return new DuologError(/^(53|58|XX)/.test(code) ? 'SINK_TROUBLED' : 'SINK_UNREACHABLE', text);
  }
}

function networkText(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return error.message === '' ? code : error.message;
}
