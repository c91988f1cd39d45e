import type { Configuration } from '../config/schema.js';
import type { EntityConfiguration, SyncConfiguration } from '../config/sync-schema.js';
import type { Path, Problem } from '../config/problems.js';
import type { TableShape } from '../model/table.js';
import { compileConflict, compileFields, compileMatch, type RuleContext } from './compile-rules.js';
import { checkWithoutTable, compileTable } from './compile-table.js';
import { Findings } from './findings.js';
import { fingerprintOf, fingerprintParts } from './fingerprint.js';
import type { EntityPlan, EntitySystemPlan, FieldPlan, SyncPlan } from './plan.js';
import { linkEntities } from './references.js';

/** The plans, or everything that keeps the configuration from fitting the systems' catalogues. */
export type Compiled =
  | { readonly ok: true; readonly plans: readonly SyncPlan[]; readonly warnings: readonly Problem[] }
  | {
      readonly ok: false;
      readonly problems: readonly Problem[];
      readonly warnings: readonly Problem[];
      /** What could be made nevertheless: to look at, not to run. */
      readonly partial: readonly SyncPlan[];
    };

/** Which table of which system an entity of the configuration names; the catalogues give their shapes. */
export interface TableNeed {
  readonly sync: string;
  readonly system: string;
  readonly entity: string;
  readonly table: string;
}

/** Every table that the configuration names. */
export function tablesNeeded(configuration: Configuration): readonly TableNeed[] {
  return Object.entries(configuration.syncs).flatMap(([sync, { entities }]) =>
    Object.entries(entities).flatMap(([entity, { systems }]) =>
      Object.entries(systems).map(([system, { table }]) => ({ sync, system, entity, table })),
    ),
  );
}

/**
 * Puts the configuration and the catalogues together. Pure: the same input gives the same plans. `shapes` null: while
 * nothing is known of the tables, only what is wrong whatever they are; the plans have none.
 */
export function compilePlans(configuration: Configuration, shapes: readonly TableShape[] | null): Compiled {
  const findings = new Findings();
  checkSharedTables(configuration, shapes, findings);
  const plans = Object.entries(configuration.syncs).map(([name, sync]) =>
    compileSync(configuration.prefix, name, sync, shapes, findings),
  );
  const { problems, warnings } = findings;
  return problems.length === 0 ? { ok: true, plans, warnings } : { ok: false, problems, warnings, partial: plans };
}

/** A table serves one entity, however it is written: commands for one row must have one order. */
function checkSharedTables(
  configuration: Configuration,
  shapes: readonly TableShape[] | null,
  findings: Findings,
): void {
  const owners = new Map<string, string>();
  for (const { sync, system, entity, table } of tablesNeeded(configuration)) {
    const shape = shapes?.find((candidate) => candidate.system === system && candidate.entity === entity);
    const id = `${system}\n${shape?.table ?? table}`;
    const owner = owners.get(id);
    if (owner === undefined) owners.set(id, entity);
    else {
      const path = ['syncs', sync, 'entities', entity, 'systems', system, 'table'];
      findings.problem(path, `${table} already belongs to the entity ${owner}`, 'A table serves one entity.');
    }
  }
}

function compileSync(
  prefix: string,
  name: string,
  sync: SyncConfiguration,
  shapes: readonly TableShape[] | null,
  findings: Findings,
): SyncPlan {
  const path = ['syncs', name];
  const unlinked = Object.entries(sync.entities).map(([entity, configured]) =>
    compileEntity(entity, configured, shapes, [...path, 'entities', entity], findings),
  );
  const used = [...new Set(Object.values(sync.entities).flatMap((entity) => Object.keys(entity.systems)))];
  checkLeading(sync.leading, used, [...path, 'leading'], findings);
  const plan = {
    name,
    prefix,
    leading: [...sync.leading, ...used.filter((system) => !sync.leading.includes(system)).sort()],
    systems: [...used].sort(),
    entities: linkEntities(unlinked, path, findings),
  };
  const parts = fingerprintParts(plan);
  return { ...plan, fingerprint: fingerprintOf(parts), fingerprintParts: parts };
}

function checkLeading(leading: readonly string[], used: readonly string[], path: Path, findings: Findings): void {
  leading.forEach((system, at) => {
    if (leading.indexOf(system) !== at) findings.problem([...path, at], `${system} stands here twice`);
    else if (!used.includes(system)) findings.problem([...path, at], `no entity of the sync has a table in ${system}`);
  });
}

function compileEntity(
  name: string,
  entity: EntityConfiguration,
  shapes: readonly TableShape[] | null,
  path: Path,
  findings: Findings,
): EntityPlan {
  const fields = compileFields(entity, path, findings);
  const systems: Record<string, EntitySystemPlan> = {};
  for (const [system, configured] of Object.entries(entity.systems)) {
    const context = { entity: name, system, fields, configured, delete: entity.delete, entityPath: path, findings };
    if (shapes === null) {
      checkWithoutTable(context);
      continue;
    }
    const shape = shapes.find((candidate) => candidate.entity === name && candidate.system === system);
    if (shape === undefined) {
      findings.problem([...path, 'systems', system, 'table'], `the table ${configured.table} is not in ${system}`);
      continue;
    }
    systems[system] = compileTable({ ...context, shape });
  }
  const rules: RuleContext = { entity, fields, path, findings };
  checkSources(entity, fields, systems, path, findings);
  checkDeleteSystems(entity, path, findings);
  return { name, fields, match: compileMatch(rules), conflict: compileConflict(rules), systems, children: [] };
}

/** Every field must come from somewhere; a mapping with a problem of its own counts. */
function checkSources(
  entity: EntityConfiguration,
  fields: readonly FieldPlan[],
  systems: Readonly<Record<string, EntitySystemPlan>>,
  path: Path,
  findings: Findings,
): void {
  const columns = Object.values(systems).flatMap((table) => table.columns);
  if (Object.keys(entity.systems).length === 0) findings.problem([...path, 'systems'], 'names no system');
  for (const field of fields) {
    const compiled = columns.filter((column) => column.field === field.name);
    const mapped = Object.values(entity.systems).filter(({ map }) => map[field.name] !== undefined);
    if (compiled.some((column) => column.read) || mapped.length > compiled.length) continue;
    findings.problem([...path, 'fields', field.name], 'no system reads it, so it would always be empty');
  }
}

function checkDeleteSystems(entity: EntityConfiguration, path: Path, findings: Findings): void {
  if (typeof entity.delete !== 'object') return;
  for (const system of Object.keys(entity.delete)) {
    const table = entity.systems[system];
    if (table === undefined) findings.problem([...path, 'delete', system], `the entity has no system ${system}`);
    else if (!table.write) findings.warning([...path, 'delete', system], `nothing is written to ${system}`);
  }
}
