import type { Path } from '../config/problems.js';
import type { Configuration } from '../config/schema.js';
import type { EntityPlan, EntitySystemPlan, SyncPlan } from './plan.js';

/** A table that is written to and whose rows nothing tells to be records that another system has too. */
export interface UnmatchedTable {
  readonly sync: string;
  readonly entity: string;
  readonly system: string;
  readonly table: string;
  readonly why: string;
  /** Where the configuration would say it. */
  readonly path: Path;
}

/**
 * The tables in which everything that the other systems have would be inserted beside what is there already. An entity
 * with `match: none` says that it is meant so.
 */
export function unmatchedTables(configuration: Configuration, plans: readonly SyncPlan[]): readonly UnmatchedTable[] {
  return plans.flatMap((plan) =>
    plan.entities.flatMap((entity) => {
      const tables = Object.values(entity.systems);
      const configured = configuration.syncs[plan.name]?.entities[entity.name];
      if (configured?.match === 'none' || tables.length < 2) return [];
      return tables.flatMap((table) => {
        const why = table.written ? whyUnmatched(entity, table) : null;
        if (why === null) return [];
        const path = ['syncs', plan.name, 'entities', entity.name];
        return [{ sync: plan.name, entity: entity.name, system: table.system, table: table.table, why, path }];
      });
    }),
  );
}

function whyUnmatched(entity: EntityPlan, table: EntitySystemPlan): string | null {
  if (entity.match.length === 0) return 'the entity has no match rule';
  if (!table.captured) return 'the table is not captured, so that its rows are never seen';
  const fields = new Set(table.columns.map(({ field }) => field));
  const works = entity.match.some(({ on }) => on.every((field) => fields.has(field)));
  return works ? null : 'the table has no columns for the fields of any match rule';
}
