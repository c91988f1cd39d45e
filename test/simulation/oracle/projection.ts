import type { CanonicalOutput } from '../../../src/decision/outputs.js';
import type { FieldValue } from '../../../src/decision/events.js';
import type { Row, Value } from '../../../src/model/value.js';
import {
  columnOf,
  fieldToColumn,
  isPresent,
  tableName,
  TRUNCATED_LENGTH,
  type EntityConfig,
  type FieldConfig,
} from '../world-config.js';
import type { Final, Observed } from './observed.js';

/** A field of a record that is not what the canonical stands for there. */
export interface Difference {
  readonly field: FieldConfig;
  readonly value: FieldValue;
  readonly expected: Value;
  readonly actual: Value;
}

/** The fields in which a system's row differs from the canonical, by means of the configuration alone. */
export function differences(
  final: Final,
  entity: EntityConfig,
  system: string,
  canonical: CanonicalOutput,
  row: Row,
): Difference[] {
  const config = entity.systems[system]!;
  return entity.fields.flatMap((field) => {
    const value = canonical.fields![field.name] ?? null;
    const expected = projected(final, field, system, value, config.truncated.includes(field.name));
    const actual = row[columnOf(config, system, field)] ?? null;
    if (expected === undefined || String(expected) === String(actual)) return [];
    return [{ field, value, expected, actual }];
  });
}

/** The column value that a canonical value stands for; undefined where any will do. */
function projected(
  final: Final,
  field: FieldConfig,
  system: string,
  value: FieldValue,
  truncated: boolean,
): Value | undefined {
  if (value !== null && typeof value === 'object') {
    if ('key' in value) return value.system === system ? value.key : undefined;
    const parent = final.links.get(value.link);
    return parent?.fields ? parent.keys[system] : null;
  }
  if (truncated && typeof value === 'string') return value.slice(0, TRUNCATED_LENGTH);
  return fieldToColumn(field, value);
}

/** A system's row, unless it is flagged as deleted. */
export function presentRowOf(observed: Observed, entity: EntityConfig, system: string, key: string): Row | null {
  const row = observed.databases.get(system)!.table(tableName(system, entity.name)).rows.get(key);
  return row && isPresent(entity.systems[system]!, row) ? row : null;
}
