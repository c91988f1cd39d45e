import type pg from 'pg';
import { queryTexts } from '../connection.js';

/** The oldest transaction with an id, for people: who holds back a snapshot. Needs pg_monitor to see others' names. */
export async function longestTransaction(client: pg.Client): Promise<string | null> {
  const [session] = await queryTexts(
    client,
    `SELECT pid::text, usename, application_name, datname, state, wait_event, xact_start::text
       FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY age(backend_xid) DESC LIMIT 1`,
  );
  const [prepared] = await queryTexts(
    client,
    `SELECT gid, owner, database, prepared::text FROM pg_prepared_xacts ORDER BY age(transaction) DESC LIMIT 1`,
  );
  if (prepared !== undefined && session === undefined) {
    const [name, owner, database, since] = prepared;
    return `waits for the prepared transaction "${name}" of ${owner} in ${database}, open since ${since}`;
  }
  if (session === undefined) return 'waits for a transaction that began before';
  const [pid, user, application, database, state, event, since] = session;
  const waiting = event == null ? '' : `, waiting for ${event}`;
  return `waits for the transaction of session ${pid} (${user}, "${application}", ${database}), ${state}${waiting}, open since ${since}`;
}
