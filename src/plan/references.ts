import { didYouMean, type Path } from '../config/problems.js';
import type { Findings } from './findings.js';
import type { EntityPlan } from './plan.js';

/** A reference from one entity's field to another entity. */
interface Reference {
  readonly child: string;
  readonly field: string;
  readonly parent: string;
}

function referencesOf(entities: readonly EntityPlan[]): readonly Reference[] {
  return entities.flatMap((entity) =>
    entity.fields.flatMap((field) =>
      field.type.kind === 'reference' ? [{ child: entity.name, field: field.name, parent: field.type.entity }] : [],
    ),
  );
}

/**
 * Checks the references of a sync, gives every entity its children and puts parents before children.
 * A circle between entities is refused: each record in it would wait for the other's key. An entity may refer to itself.
 */
export function linkEntities(entities: readonly EntityPlan[], path: Path, findings: Findings): readonly EntityPlan[] {
  const references = referencesOf(entities);
  for (const reference of references)
    checkReference(entities, reference, [...path, 'entities', reference.child], findings);
  const circle = findCircle(entities, references);
  if (circle !== null) {
    findings.problem(
      [...path, 'entities', circle[0] ?? ''],
      `the references ${circle.join(' → ')} go round in a circle, so that each record would wait for the other`,
      'Leave one of these fields out.',
    );
    return entities;
  }
  const children = (parent: string): EntityPlan['children'] =>
    references.filter((reference) => reference.parent === parent).map(({ child, field }) => ({ entity: child, field }));
  return parentsFirst(entities, references).map((entity) => ({ ...entity, children: children(entity.name) }));
}

function checkReference(entities: readonly EntityPlan[], reference: Reference, path: Path, findings: Findings): void {
  const parent = entities.find((entity) => entity.name === reference.parent);
  const child = entities.find((entity) => entity.name === reference.child);
  if (parent === undefined) {
    const names = entities.map((entity) => entity.name);
    const suggestion = didYouMean(reference.parent, names);
    findings.problem([...path, 'fields', reference.field], `the sync has no entity ${reference.parent}`, suggestion);
    return;
  }
  for (const table of Object.values(child?.systems ?? {})) {
    if (!table.columns.some((column) => column.field === reference.field)) continue;
    const place = [...path, 'systems', table.system, 'map', reference.field];
    const parentTable = parent.systems[table.system];
    if (parentTable === undefined) {
      findings.problem(place, `it refers to ${parent.name}, which has no table in ${table.system}`);
    } else if (parentTable.shape.key.length !== 1) {
      const count = parentTable.shape.key.length;
      findings.problem(place, `it refers to ${parentTable.table}, whose key has ${count} columns; only one works`);
    }
  }
}

function findCircle(entities: readonly EntityPlan[], references: readonly Reference[]): readonly string[] | null {
  const done = new Set<string>();
  const visit = (entity: string, way: readonly string[]): readonly string[] | null => {
    const begin = way.indexOf(entity);
    if (begin >= 0) return [...way.slice(begin), entity];
    if (done.has(entity)) return null;
    for (const { child, parent } of references) {
      if (child !== entity || parent === entity) continue;
      const circle = visit(parent, [...way, entity]);
      if (circle !== null) return circle;
    }
    done.add(entity);
    return null;
  };
  for (const { name } of entities) {
    const circle = visit(name, []);
    if (circle !== null) return circle;
  }
  return null;
}

function parentsFirst(entities: readonly EntityPlan[], references: readonly Reference[]): readonly EntityPlan[] {
  const sorted: EntityPlan[] = [];
  const waiting = [...entities];
  while (waiting.length > 0) {
    const ready = waiting.findIndex(
      (entity) =>
        !references.some(
          ({ child, parent }) =>
            child === entity.name && parent !== child && waiting.some((other) => other.name === parent),
        ),
    );
    sorted.push(...waiting.splice(Math.max(ready, 0), 1));
  }
  return sorted;
}
