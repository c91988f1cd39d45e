import type { Catalogue, Finding, TableReference } from '../../src/connector/contract.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { TableShape } from '../../src/model/table.js';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import type { MemoryDatabase } from './database.js';

/** Says what tables there are; a database in memory needs no setting up. */
export class MemoryCatalogue implements Catalogue {
  constructor(
    private readonly system: string,
    private readonly database: MemoryDatabase,
  ) {}

  async tables(entities: readonly TableReference[]): Promise<readonly TableShape[]> {
    return entities.map(({ entity, table }) => {
      const found = this.database.find(table);
      if (!found) throw new DuologError('TABLE_NOT_FOUND', `${this.system} has no table ${table}`);
      if (found.shape.key.length === 0) {
        throw new DuologError('TABLE_WITHOUT_KEY', `${table} in ${this.system} has no key`);
      }
      return { ...found.shape, system: this.system, entity };
    });
  }

  async hasRows(table: string): Promise<boolean> {
    return (this.database.find(table)?.rows.size ?? 0) > 0;
  }

  /** An insert's guard is only safe against other sessions with a unique index on the match values (rule 13). */
  async check(entities: readonly EntitySystemPlan[]): Promise<readonly Finding[]> {
    return entities.map(({ entity, table }) => {
      const found = this.database.find(table);
      return found
        ? { severity: 'ok', check: 'table', message: `${table} holds ${entity}`, statement: null }
        : { severity: 'error', check: 'table', message: `there is no table ${table}`, statement: null };
    });
  }

  async plan(): Promise<readonly string[]> {
    return [];
  }

  /** Its log goes with the process. */
  async remains(): Promise<readonly never[]> {
    return [];
  }

  async close(): Promise<void> {}
}
