import type { Catalogue } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import type { Log } from '../log/contract.js';
import type { TopicNames } from '../log/topics.js';
import type { UnmatchedTable } from '../plan/unmatched.js';

export interface FirstStart {
  readonly log: Pick<Log, 'bounds'>;
  readonly topics: TopicNames;
  readonly unmatched: readonly UnmatchedTable[];
  readonly catalogueOf: (system: string) => Pick<Catalogue, 'hasRows' | 'close'>;
}

/**
 * A sync without any state knows of no row. What is in a table whose rows cannot be matched would be there twice, so
 * that a first start wants such tables empty. Topics must be there.
 * @throws DuologError TARGET_NOT_EMPTY naming every such table; the connector's and the log's own errors.
 */
export async function refuseDoubles({ log, topics, unmatched, catalogueOf }: FirstStart): Promise<void> {
  const isFirst = async (sync: string) => (await log.bounds(topics.state(sync))).end === 0;
  const filled: UnmatchedTable[] = [];
  for (const table of unmatched) {
    if (!(await isFirst(table.sync))) continue;
    const catalogue = catalogueOf(table.system);
    try {
      // Asked again behind the rows: those that another process has just written come after its state.
      if ((await catalogue.hasRows(table.table)) && (await isFirst(table.sync))) filled.push(table);
    } finally {
      await catalogue.close();
    }
  }
  if (filled.length === 0) return;
  const list = filled.map(({ system, table, entity, why }) => `${table} in ${system} (entity ${entity}: ${why})`);
  throw new DuologError(
    'TARGET_NOT_EMPTY',
    `This would be the first start, and every record would be inserted beside the rows that are already in ${list.join('; ')}.`,
  );
}
