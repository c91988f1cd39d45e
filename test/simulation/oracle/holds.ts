import type { CanonicalOutput, HeldFor, HoldOutput } from '../../../src/decision/outputs.js';
import type { Row, Value } from '../../../src/model/value.js';
import { columnName, columnOf, isPresent, tableName, type EntityConfig, type FieldConfig } from '../world-config.js';
import { Keeping } from './keeping.js';
import { codeOf, recordName, type Final, type Observed, type RecordChange, type Violation } from './observed.js';
import { differences, presentRowOf } from './projection.js';

/** A hold that stands at the end must have its reason still: else it should have ended, or never begun. */
export function verifyHolds(observed: Observed, final: Final, changes: readonly RecordChange[]): Violation[] {
  const checker = new HoldChecker(observed, final, new Keeping(observed, changes));
  const last = new Map<string, HoldOutput>();
  for (const { what } of observed.holds) last.set(`${what.link} ${what.system}`, what);
  const violations: Violation[] = [];
  for (const { entity, link, system, hold } of last.values()) {
    if (hold === null) continue;
    for (const held of [hold, ...hold.others]) {
      if (checker.isJustified({ entity, link, system, key: hold.key, held })) continue;
      const message = `${link} is held in ${system} (${held.reason}: ${held.detail}), but the reason is not there`;
      violations.push({ rule: 'stale hold', message });
    }
  }
  return violations;
}

/** One reason of a hold, and whose. */
interface Told {
  readonly entity: string;
  readonly link: string;
  readonly system: string;
  readonly key: string | null;
  readonly held: HeldFor;
}

class HoldChecker {
  private readonly linkOfRecord = new Map<string, string>();

  constructor(
    private readonly observed: Observed,
    private readonly final: Final,
    private readonly keeping: Keeping,
  ) {
    for (const { entity, link, fields, keys } of final.links.values()) {
      if (!fields) continue;
      for (const [system, key] of Object.entries(keys)) this.linkOfRecord.set(recordName(system, entity, key), link);
    }
  }

  isJustified({ entity: name, link, system, key, held }: Told): boolean {
    const entity = this.observed.world.entities.find((one) => one.name === name)!;
    const canonical = this.final.links.get(link);
    switch (held.reason) {
      case 'duplicate':
        return this.othersShow(entity, link, canonical);
      case 'refused':
        return this.othersShow(entity, link, canonical) || this.isUnguarded(system, canonical);
      case 'failed':
        return this.wouldFail(entity, system, link, canonical, held.detail);
      case 'conflict':
        if (!personDecides(entity, held.group)) return false;
        return held.group === null
          ? this.existenceDiffers(entity, system, canonical, key)
          : this.groupDiffers(entity, system, canonical, held.group);
      case 'rewritten':
        return (
          isRewritten(entity, system, held.group) && this.groupDiffers(entity, system, canonical, held.group ?? '')
        );
      case 'parent-missing':
        return this.lacksParent(entity, system, canonical, held.group);
      case 'children-exist':
        return key !== null && this.hasChildren(entity, system, key);
      case 'approval':
        return canonical?.fields != null && canonical.keys[system] === undefined && this.keeping.wasUnlinked(canonical);
      case 'invalid':
        return isRefused(entity, system, canonical, held.group);
      case 'oversize':
      case 'paused':
        return false;
    }
  }

  /** Both sides of a field group, as they are now. */
  private groupDiffers(
    entity: EntityConfig,
    system: string,
    canonical: CanonicalOutput | undefined,
    group: string,
  ): boolean {
    const key = canonical?.keys[system];
    if (!canonical?.fields || key === undefined) return false;
    const row = presentRowOf(this.observed, entity, system, key);
    if (row === null) return false;
    const inGroup = (field: FieldConfig) => field.group === group;
    return (
      differences(this.final, entity, system, canonical, row).some(({ field }) => inGroup(field)) ||
      entity.fields.some((field) => inGroup(field) && this.refersElsewhere(entity, system, canonical, row, field))
    );
  }

  /** Where the parent has no record here, the row refers to another one, or to none. */
  private refersElsewhere(
    entity: EntityConfig,
    system: string,
    canonical: CanonicalOutput,
    row: Row,
    field: FieldConfig,
  ): boolean {
    const value = canonical.fields![field.name];
    const actual = row[columnOf(entity.systems[system]!, system, field)] ?? null;
    if (value == null || typeof value !== 'object') return false;
    if ('key' in value) return value.system !== system;
    return actual === null || this.linkOfRecord.get(recordName(system, field.name, String(actual))) !== value.link;
  }

  /** The record is gone here while the thing is there elsewhere, or the other way round. */
  private existenceDiffers(
    entity: EntityConfig,
    system: string,
    canonical: CanonicalOutput | undefined,
    key: string | null,
  ): boolean {
    if (canonical?.fields) return canonical.keys[system] === undefined && Object.keys(canonical.keys).length > 0;
    return key !== null && presentRowOf(this.observed, entity, system, key) !== null;
  }

  /** An insert whose answer was lost and that no match value guards: repeated, it might double the record. */
  private isUnguarded(system: string, canonical: CanonicalOutput | undefined): boolean {
    if (!this.observed.resynced.has(system) || !canonical?.fields) return false;
    return canonical.keys[system] === undefined && (canonical.fields['code'] ?? null) === null;
  }

  /** Some record of another link, or another link, has a match value of this one. */
  private othersShow(entity: EntityConfig, link: string, canonical: CanonicalOutput | undefined): boolean {
    const own = new Set<Value>();
    if (canonical?.fields) own.add(this.canonicalCode(entity, canonical));
    const others: Value[] = [];
    for (const other of this.final.links.values()) {
      if (other.link !== link && other.fields && other.entity === entity.name) {
        others.push(this.canonicalCode(entity, other));
      }
    }
    for (const [system, config] of Object.entries(entity.systems)) {
      for (const [key, row] of this.rows(system, entity)) {
        if (!isPresent(config, row)) continue;
        const code = codeOf(entity, system, row);
        if (this.linkOfRecord.get(recordName(system, entity.name, key)) === link) own.add(code);
        else others.push(code);
      }
    }
    return others.some((code) => code !== null && own.has(code));
  }

  private canonicalCode(entity: EntityConfig, canonical: CanonicalOutput): Value {
    const value = canonical.fields!['code'] as Value;
    return entity.normalise.length > 0 && typeof value === 'string' ? value.trim().toLowerCase() : value;
  }

  private wouldFail(
    entity: EntityConfig,
    system: string,
    link: string,
    canonical: CanonicalOutput | undefined,
    detail: string,
  ): boolean {
    const config = entity.systems[system]!;
    if (config.unique !== 'none' || config.keys === 'natural') {
      for (const [key, row] of this.rows(system, entity)) {
        const isOther = this.linkOfRecord.get(recordName(system, entity.name, key)) !== link;
        const code = codeOf(entity, system, row);
        if (isOther && canonical?.fields && code !== null && code === this.canonicalCode(entity, canonical))
          return true;
      }
    }
    // A natural key cannot be cleared as the field can elsewhere.
    if (config.keys === 'natural' && canonical?.fields && canonical.fields['code'] === null) return true;
    if (config.checked.some((field) => String(canonical?.fields?.[field]).toLowerCase().includes('bad'))) return true;
    return detail.startsWith('23503') && this.refersNowhere(entity, system, canonical);
  }

  /** A foreign key is violated: the parent has no row there. */
  private refersNowhere(entity: EntityConfig, system: string, canonical: CanonicalOutput | undefined): boolean {
    return entity.fields.some(({ kind, name }) => {
      const value = canonical?.fields?.[name];
      if (kind !== 'reference' || value === null || typeof value !== 'object') return false;
      if ('key' in value) return true;
      const key = this.final.links.get(value.link)?.keys[system];
      return key === undefined;
    });
  }

  private lacksParent(
    entity: EntityConfig,
    system: string,
    canonical: CanonicalOutput | undefined,
    group: string | null,
  ): boolean {
    return entity.fields.some((field) => {
      const value = canonical?.fields?.[field.name];
      if (field.kind !== 'reference' || field.group !== group || value == null || typeof value !== 'object')
        return false;
      return !('link' in value) || this.final.links.get(value.link)?.keys[system] === undefined;
    });
  }

  private hasChildren(entity: EntityConfig, system: string, key: string): boolean {
    return this.observed.world.entities.some(
      (child) =>
        child.fields.some(({ kind, name }) => kind === 'reference' && name === entity.name) &&
        [...this.rows(system, child)].some(([, row]) => String(row[columnName(system, entity.name)]) === key),
    );
  }

  private rows(system: string, entity: EntityConfig) {
    return this.observed.databases.get(system)!.table(tableName(system, entity.name)).rows;
  }
}

/** The policy may leave the group, or with null the record itself, to a person. */
function personDecides({ conflict }: EntityConfig, group: string | null): boolean {
  const { policy, otherwise } = (group === null ? undefined : conflict.groups[group]) ?? conflict;
  return policy === 'hold' || (otherwise === 'hold' && (policy === 'newest' || conflict.first === 'newest'));
}

/** The system has a trigger that shows another value than was written. */
function isRewritten(entity: EntityConfig, system: string, group: string | null): boolean {
  const { trigger } = entity.systems[system]!;
  return entity.fields.some((field) => field.name === trigger?.field && field.group === group);
}

/** The mapping has no value for the system: a natural key cannot be empty. */
function isRefused(
  entity: EntityConfig,
  system: string,
  canonical: CanonicalOutput | undefined,
  group: string | null,
): boolean {
  if (entity.systems[system]!.keys !== 'natural' || !canonical?.fields) return false;
  return entity.fields.some(
    (field) =>
      field.kind === 'code' &&
      (group === null || field.group === group) &&
      (canonical.fields![field.name] ?? null) === null,
  );
}
