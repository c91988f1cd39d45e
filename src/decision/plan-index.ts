import type { ColumnPlan, ConflictRule, EntityPlan, EntitySystemPlan, SyncPlan } from '../plan/plan.js';
import { columnConverter, type ColumnConverter } from '../mapping/convert.js';

/** The plan arranged for quick answers. Made once per plan and remembered with it. */
export interface PlanIndex {
  readonly plan: SyncPlan;
  readonly entities: ReadonlyMap<string, EntityIndex>;
  /** Precedence under `leading`: 0 leads. */
  readonly rank: ReadonlyMap<string, number>;
}

export interface EntityIndex {
  readonly plan: EntityPlan;
  readonly name: string;
  readonly systems: ReadonlyMap<string, SystemIndex>;
  readonly groups: ReadonlyMap<string, GroupIndex>;
  readonly groupOf: ReadonlyMap<string, GroupIndex>;
  /** Fields that refer to another record, with its entity. */
  readonly references: readonly { readonly field: string; readonly entity: string }[];
  /** Fields that match rules look at. */
  readonly matchFields: ReadonlySet<string>;
}

export interface GroupIndex {
  readonly name: string;
  readonly fields: readonly string[];
  readonly rule: ConflictRule;
}

export interface SystemIndex {
  readonly plan: EntitySystemPlan;
  readonly system: string;
  readonly entity: EntityIndex;
  readonly columns: readonly MappedColumn[];
  readonly byField: ReadonlyMap<string, MappedColumn>;
  /** By field group, those of its columns whose edits count. */
  readonly readColumns: ReadonlyMap<GroupIndex, readonly MappedColumn[]>;
  /** Some edit made there counts; otherwise neither do its insertions and deletions. */
  readonly reads: boolean;
}

export interface MappedColumn {
  readonly plan: ColumnPlan;
  readonly field: string;
  readonly column: string;
  readonly group: GroupIndex;
  readonly read: boolean;
  readonly write: boolean;
  /** The entity referred to, where the field is a reference. */
  readonly refersTo: string | null;
  readonly inMatch: boolean;
  readonly converter: ColumnConverter;
}

const indexes = new WeakMap<SyncPlan, PlanIndex>();

export function planIndex(plan: SyncPlan): PlanIndex {
  let index = indexes.get(plan);
  if (index === undefined) {
    index = {
      plan,
      entities: new Map(plan.entities.map((entity) => [entity.name, entityIndex(entity)])),
      rank: new Map(plan.leading.map((system, rank) => [system, rank])),
    };
    indexes.set(plan, index);
  }
  return index;
}

function entityIndex(plan: EntityPlan): EntityIndex {
  const groups = new Map<string, GroupIndex>();
  const groupOf = new Map<string, GroupIndex>();
  for (const field of plan.fields) {
    if (!groups.has(field.group)) {
      groups.set(field.group, {
        name: field.group,
        fields: plan.fields.filter(({ group }) => group === field.group).map(({ name }) => name),
        rule: plan.conflict.groups[field.group] ?? plan.conflict,
      });
    }
    groupOf.set(field.name, groups.get(field.group)!);
  }
  const systems = new Map<string, SystemIndex>();
  const index: EntityIndex = {
    plan,
    name: plan.name,
    systems,
    groups,
    groupOf,
    references: plan.fields.flatMap(({ name, type }) =>
      type.kind === 'reference' ? [{ field: name, entity: type.entity }] : [],
    ),
    matchFields: new Set(plan.match.flatMap(({ on }) => on)),
  };
  for (const system of Object.values(plan.systems)) systems.set(system.system, systemIndex(index, system));
  return index;
}

function systemIndex(entity: EntityIndex, plan: EntitySystemPlan): SystemIndex {
  const columns = plan.columns.map((column): MappedColumn => mappedColumn(entity, plan, column));
  return {
    plan,
    system: plan.system,
    entity,
    columns,
    byField: new Map(columns.map((column) => [column.field, column])),
    readColumns: new Map(
      Array.from(entity.groups.values(), (group) => [group, columns.filter((one) => one.group === group && one.read)]),
    ),
    reads: columns.some(({ read }) => read),
  };
}

function mappedColumn(entity: EntityIndex, plan: EntitySystemPlan, column: ColumnPlan): MappedColumn {
  return {
    plan: column,
    field: column.field,
    column: column.column,
    group: entity.groupOf.get(column.field)!,
    read: column.read,
    write: column.write && plan.written,
    refersTo: column.fieldType.kind === 'reference' ? column.fieldType.entity : null,
    inMatch: entity.matchFields.has(column.field),
    converter: columnConverter(column),
  };
}
