import type { Finding } from '../../src/connector/contract.js';
import type { QuerySession } from './session.js';

const OLDEST_VERSION = 140_000;

/** What the server says of itself and of our role. */
export interface ServerState {
  readonly versionNumber: number;
  readonly version: string;
  readonly walLevel: string;
  readonly encoding: string;
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  /** Quoted. */
  readonly role: string;
  readonly mayReplicate: boolean;
  readonly slots: { readonly used: number; readonly allowed: number };
  readonly senders: { readonly used: number; readonly allowed: number };
  readonly keepsLogWithoutLimit: boolean;
}

const SERVER_QUERY = `
SELECT current_setting('server_version_num'), current_setting('server_version'), current_setting('wal_level'),
       current_setting('server_encoding'), pg_is_in_recovery()::text, current_setting('default_transaction_read_only'),
       quote_ident(current_user),
       (SELECT (rolsuper OR rolreplication)::text FROM pg_roles WHERE rolname = current_user),
       (SELECT count(*) FROM pg_replication_slots)::text, current_setting('max_replication_slots'),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender')::text, current_setting('max_wal_senders'),
       current_setting('max_slot_wal_keep_size')`;

export async function readServer(session: QuerySession): Promise<ServerState> {
  const [row] = await session.query(SERVER_QUERY);
  const [
    number,
    version,
    walLevel,
    encoding,
    standby,
    readOnly,
    role,
    replicate,
    slots,
    maxSlots,
    senders,
    maxSenders,
    keep,
  ] = row!;
  return {
    versionNumber: Number(number),
    version: version ?? '',
    walLevel: walLevel ?? '',
    encoding: encoding ?? '',
    isStandby: standby === 'true',
    isReadOnly: readOnly === 'on',
    role: role ?? '',
    mayReplicate: replicate === 'true',
    slots: { used: Number(slots), allowed: Number(maxSlots) },
    senders: { used: Number(senders), allowed: Number(maxSenders) },
    keepsLogWithoutLimit: keep === '-1',
  };
}

export function checkServer(server: ServerState, captures: boolean, writes: boolean): Finding[] {
  const findings: Finding[] = [
    good('connection', `connected as ${server.role} to Postgres ${server.version}`),
    server.versionNumber >= OLDEST_VERSION
      ? good('version', `Postgres ${server.version} is new enough`)
      : bad('version', `Postgres ${server.version} is too old: 14 is the oldest that works`, null),
  ];
  if (server.encoding !== 'UTF8') {
    findings.push(
      warning(
        'encoding',
        `the database's encoding is ${server.encoding}: texts it cannot hold will fail one by one`,
        null,
      ),
    );
  }
  if (captures) findings.push(...checkDecoding(server));
  if (writes) findings.push(...checkWritable(server));
  return findings;
}

function checkDecoding(server: ServerState): Finding[] {
  const findings = [
    server.walLevel === 'logical'
      ? good('wal-level', 'wal_level is logical')
      : bad(
          'wal-level',
          `wal_level is ${server.walLevel}: changes cannot be read; the server must be restarted after the statement`,
          "ALTER SYSTEM SET wal_level = 'logical'",
        ),
    server.mayReplicate
      ? good('replication-right', `${server.role} may read the log`)
      : bad('replication-right', `${server.role} may not read the log`, `ALTER ROLE ${server.role} REPLICATION`),
    room('wal-senders', 'max_wal_senders', server.senders, 'readers of the log'),
  ];
  if (server.isStandby) findings.push(bad('standby', 'this is a standby: a slot belongs on the primary', null));
  if (server.keepsLogWithoutLimit) {
    findings.push(
      warning(
        'slot-limit',
        'while Duolog does not run, the server keeps all log for it, until the disk is full; a limit ends the slot instead, and asks for a resync',
        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'",
      ),
    );
  }
  return findings;
}

function checkWritable(server: ServerState): Finding[] {
  if (server.isStandby) return [bad('read-only', 'this is a standby: it takes no writes', null)];
  if (!server.isReadOnly) return [good('read-only', 'the database takes writes')];
  // Our transactions say READ WRITE themselves.
  return [warning('read-only', 'default_transaction_read_only is on; our transactions override it', null)];
}

/** One more than is used now must fit. */
export function room(
  check: string,
  setting: string,
  { used, allowed }: { readonly used: number; readonly allowed: number },
  what: string,
): Finding {
  if (used < allowed) return good(check, `${used} of ${allowed} ${what} are in use`);
  const message = `all ${allowed} ${what} are in use; the server must be restarted after the statement`;
  return bad(check, message, `ALTER SYSTEM SET ${setting} = ${allowed + 10}`);
}

export function good(check: string, message: string): Finding {
  return { severity: 'ok', check, message, statement: null };
}

export function bad(check: string, message: string, statement: string | null): Finding {
  return { severity: 'error', check, message, statement };
}

export function warning(check: string, message: string, statement: string | null): Finding {
  return { severity: 'warning', check, message, statement };
}
