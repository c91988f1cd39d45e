import { createHash } from 'node:crypto';
import type { EntityPlan, EntitySystemPlan, FieldPlan, SyncPlan } from './plan.js';

/**
 * What decides, as one digest a part: `sync`, `entity.company`, `field.company.name`. The state keeps the whole list,
 * so that a field that was added can be told from anything else that changed (I16).
 */
export type FingerprintParts = Readonly<Record<string, string>>;

/** Raised when the meaning of the parts changes. */
const FORMAT = '1';

export function fingerprintParts(plan: Omit<SyncPlan, 'fingerprint' | 'fingerprintParts'>): FingerprintParts {
  const parts: Record<string, string> = { sync: digest([FORMAT, plan.leading, plan.systems]) };
  for (const entity of plan.entities) {
    parts[`entity.${entity.name}`] = digest([
      entity.match,
      entity.conflict,
      Object.values(entity.systems).map((table) => tableParts(table)),
    ]);
    for (const field of entity.fields) parts[`field.${entity.name}.${field.name}`] = digest(fieldParts(entity, field));
  }
  return parts;
}

/** The one text that `SyncPlan.fingerprint` is. */
export function fingerprintOf(parts: FingerprintParts): string {
  return digest(parts);
}

export type FingerprintComparison =
  | { readonly kind: 'same' }
  /** Nothing but fields came: `company.phone`. The state can go on. */
  | { readonly kind: 'fields-added'; readonly fields: readonly string[] }
  /** Parts that are new, gone or different. The state must not be used. */
  | { readonly kind: 'changed'; readonly parts: readonly string[] };

export function compareFingerprints(stored: FingerprintParts, current: FingerprintParts): FingerprintComparison {
  const names = [...new Set([...Object.keys(stored), ...Object.keys(current)])].sort();
  const different = names.filter((name) => stored[name] !== current[name]);
  if (different.length === 0) return { kind: 'same' };
  if (different.every((name) => name.startsWith('field.') && stored[name] === undefined)) {
    return { kind: 'fields-added', fields: different.map((name) => name.slice('field.'.length)) };
  }
  return { kind: 'changed', parts: different };
}

function tableParts(table: EntitySystemPlan): unknown {
  const { system, captured, written, insertSet, softDelete, updatedColumn, generatesKey } = table;
  const key = table.shape.key.map((name) => [name, table.shape.columns.find((column) => column.name === name)?.type]);
  return [
    system,
    table.table,
    key,
    captured,
    written,
    insertSet,
    table.delete,
    softDelete,
    updatedColumn,
    generatesKey,
  ];
}

function fieldParts(entity: EntityPlan, field: FieldPlan): unknown {
  const columns = Object.values(entity.systems).map((table) => [
    table.system,
    table.columns.filter((column) => column.field === field.name),
  ]);
  return [field, columns];
}

function digest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 32);
}

/** JSON whose keys are sorted, so that the order in the file does not count; a bigint is written with an n behind it. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return `${part}n`;
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([left], [right]) => (left < right ? -1 : 1)));
  });
}
