import type { TextRow } from '../world/audit.js';
import { ENTITIES, SYSTEMS, tableOf, type EntityName, type SystemName, type TableModel } from '../world/model.js';
import type { Violation } from './sequences.js';
import { recordName, type ToldCanonical, type ToldTopics, type ToldValue } from './topics.js';

/** The rows of every table at rest, by key. */
export type Databases = Readonly<Record<SystemName, Readonly<Record<EntityName, ReadonlyMap<string, TextRow>>>>>;

export function isPresent(table: TableModel, row: TextRow | null | undefined): row is TextRow {
  return row != null && (table.deletedFlag === null || row[table.deletedFlag] !== '1');
}

/**
 * Both sides equal, or a hold says why: every canonical record is what both databases show (I11), every row that is
 * there belongs to one link (I9), and nothing is there twice.
 */
export function verifyEquality(databases: Databases, told: ToldTopics): Violation[] {
  const violations: Violation[] = [];
  const linkOfRecord = new Map<string, string>();
  for (const canonical of told.links.values()) {
    if (canonical.fields === null) continue;
    for (const [system, key] of Object.entries(canonical.keys)) {
      const name = recordName(system, canonical.entity, key);
      const other = linkOfRecord.get(name);
      if (other !== undefined)
        violations.push({ rule: 'I9', message: `${name} is in ${other} and ${canonical.link}`, record: name });
      linkOfRecord.set(name, canonical.link);
    }
    for (const system of SYSTEMS) violations.push(...verifyMember(databases, told, canonical, system));
  }
  for (const entity of ENTITIES) {
    for (const system of SYSTEMS) {
      const table = tableOf(system, entity);
      for (const [key, row] of databases[system][entity]) {
        const name = recordName(system, entity, key);
        if (!isPresent(table, row) || linkOfRecord.has(name) || isHeld(told, name)) continue;
        violations.push({ rule: 'I9', message: `${name} is there and belongs to no link`, record: name });
      }
    }
  }
  return violations;
}

function isHeld(told: ToldTopics, name: string): boolean {
  for (const { system, entity, key } of told.holds.values()) {
    if (key !== null && recordName(system, entity, key) === name) return true;
  }
  return false;
}

function verifyMember(
  databases: Databases,
  told: ToldTopics,
  canonical: ToldCanonical,
  system: SystemName,
): Violation[] {
  const { entity, link, keys } = canonical;
  const key = keys[system];
  const hold = told.holds.get(`${link},${system}`);
  // A record held as a duplicate goes on being written; one that is lacking is not inserted.
  if (hold !== undefined && !(hold.reason === 'duplicate' && key !== undefined)) return [];
  const table = tableOf(system, entity);
  if (key === undefined) {
    return [
      {
        rule: 'I11',
        message: `${link} (${entity}) is not in ${system}, and no hold says why`,
        record: anyRecord(canonical),
      },
    ];
  }
  const record = recordName(system, entity, key);
  const row = databases[system][entity].get(key);
  if (!isPresent(table, row)) return [{ rule: 'I11', message: `${link}: ${record} is not there`, record }];
  const violations: Violation[] = [];
  for (const { field, column } of table.fields) {
    const value = canonical.fields![field]!;
    const shown = row[column] ?? null;
    const expected = expectedText(told, value, system);
    if (expected === shown || isDeletedParent(databases, told, value, shown, system)) continue;
    const message = `${link}.${field} is ${String(expected)}, but ${record} shows ${String(shown)}, and no hold says why`;
    violations.push({ rule: 'I11', message, record });
  }
  return violations;
}

function expectedText(told: ToldTopics, value: ToldValue, system: SystemName): string | null {
  switch (value.kind) {
    case 'text':
      return value.text;
    case 'link':
      return told.links.get(value.link)?.keys[system] ?? null;
    case 'key':
      return value.system === system ? value.key : null;
  }
}

/** A parent that was deleted softly is still named by its children; one that is gone is named by nobody. */
function isDeletedParent(
  databases: Databases,
  told: ToldTopics,
  value: ToldValue,
  shown: string | null,
  system: SystemName,
): boolean {
  if (value.kind !== 'link') return false;
  const parent = told.links.get(value.link);
  const parentKey = parent?.keys[system];
  const gone =
    parent === undefined ||
    parent.fields === null ||
    parentKey === undefined ||
    !isPresent(tableOf(system, 'company'), databases[system].company.get(parentKey));
  if (!gone) return false;
  // Of a parent that went before its link was ever told, only its own table still knows.
  if (shown !== null && !isPresent(tableOf(system, 'company'), databases[system].company.get(shown))) return true;
  return shown === null || (told.linksOfRecord.get(recordName(system, 'company', shown))?.has(value.link) ?? false);
}

/** A record of the link, or the link itself where it has none. */
function anyRecord(canonical: ToldCanonical): string {
  const { entity, keys } = canonical;
  const [first] = Object.entries(keys);
  return first === undefined ? canonical.link : recordName(first[0], entity, first[1]);
}
