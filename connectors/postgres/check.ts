import type { Finding, SystemUse } from '../../src/connector/contract.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import { checkPublication, checkSlot, planCapture } from './check-capture.js';
import { checkBookkeeping, checkRights, planBookkeeping } from './check-rights.js';
import { checkServer, readServer } from './check-server.js';
import { checkTables } from './check-tables.js';
import type { QuerySession } from './session.js';

/** Everything that must be right in a Postgres before a run, good news included; docs/checks.md lists the checks. */
export async function checkPostgres(
  session: QuerySession,
  system: string,
  entities: readonly EntitySystemPlan[],
  use: SystemUse,
): Promise<readonly Finding[]> {
  const server = await readServer(session);
  const captured = entities.filter((entity) => entity.captured);
  const written = entities.filter((entity) => entity.written);
  return [
    ...checkServer(server, captured.length > 0, written.length > 0),
    ...(captured.length === 0 ? [] : await checkSlot(session, system, use, server)),
    ...(captured.length === 0 ? [] : await checkPublication(session, system, use.prefix, captured, server)),
    ...(await checkRights(session, entities)),
    ...(written.length === 0 ? [] : await checkBookkeeping(session)),
    ...(await checkTables(session, entities, use)),
  ];
}

/** What a first run would create, as statements. */
export async function planPostgres(
  session: QuerySession,
  system: string,
  entities: readonly EntitySystemPlan[],
  use: SystemUse,
): Promise<readonly string[]> {
  const server = await readServer(session);
  const captured = entities.filter((entity) => entity.captured);
  return [
    ...(captured.length === 0 ? [] : await planCapture(session, system, use.prefix, captured, server)),
    ...(entities.some((entity) => entity.written) ? await planBookkeeping(session) : []),
  ];
}
