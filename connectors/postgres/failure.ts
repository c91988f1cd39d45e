import pg from 'pg';
import type { ErrorCode } from '../../src/errors/codes.js';
import { DuologError } from '../../src/errors/duolog-error.js';

/** SQLSTATE classes and codes of a server that is away for now: connection lost, shutting down, starting, too many clients. */
const UNREACHABLE = /^(08|57P0[1-5]|53300|53200|25P03|57014)/;

/**
 * A driver's or server's error as ours. `doing` says what was tried; `statement` would give the missing right.
 * The server's messages name objects, never values: what we send holds none but keys of a snapshot.
 */
export function sourceFailure(error: unknown, system: string, doing: string, statement?: string): DuologError {
  if (error instanceof DuologError) return error;
  const { code, message } = described(error);
  const text = `${system}: ${doing} failed: ${message}`;
  const ours = sourceCode(code, message, error instanceof pg.DatabaseError);
  if (ours === 'SLOT_LOST') return slotLost(system, `${doing} failed: ${message}`, error);
  const hint = statement === undefined || ours === 'SOURCE_UNREACHABLE' ? {} : { hint: `Run: ${statement}` };
  return new DuologError(ours, text, { cause: error, ...hint });
}

/** A clear stop: what the system no longer tells can only be found by comparison. */
export function slotLost(system: string, why: string, cause?: unknown): DuologError {
  const hint = `Run: duolog resync ${system}`;
  return new DuologError('SLOT_LOST', `${system}: ${why}`, cause === undefined ? { hint } : { hint, cause });
}

function described(error: unknown): { readonly code: string; readonly message: string } {
  if (!(error instanceof Error)) return { code: '', message: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const message = error.message === '' ? code : error.message;
  return { code, message };
}

function sourceCode(code: string, message: string, fromServer: boolean): ErrorCode {
  if (UNREACHABLE.test(code)) return 'SOURCE_UNREACHABLE';
  switch (code) {
    case '28000':
    case '28P01':
    case '3D000':
      return 'SOURCE_LOGIN';
    case '42501':
      return 'SOURCE_RIGHTS';
    case '42P01':
      return 'TABLE_NOT_FOUND';
    case '53400':
      return 'SLOT_LIMIT';
    case '55006':
      return 'SLOT_IN_USE';
    case '58P01':
      return 'SLOT_LOST';
    case '55000':
      return slotInvalid(message) ? 'SLOT_LOST' : /wal_level/.test(message) ? 'WAL_LEVEL' : 'SOURCE_FAILED';
    default:
      return fromServer ? 'SOURCE_FAILED' : 'SOURCE_UNREACHABLE';
  }
}

/** What 14 to 18 say of a slot whose log is gone. */
function slotInvalid(message: string): boolean {
  return /can no longer get changes|can no longer access|has been invalidated|cannot read from logical replication slot/.test(
    message,
  );
}
