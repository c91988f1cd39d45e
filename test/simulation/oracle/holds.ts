import type { CanonicalOutput, HoldOutput } from '../../../src/decision/outputs.js';
import type { Value } from '../../../src/model/value.js';
import { columnName, isPresent, tableName, type EntityConfig } from '../world-config.js';
import { codeOf, recordName, type Final, type Observed, type Violation } from './observed.js';

/** A hold that stands at the end must have its reason still: else it should have ended, or never begun. */
export function verifyHolds(observed: Observed, final: Final): Violation[] {
  const checker = new HoldChecker(observed, final);
  const last = new Map<string, HoldOutput>();
  for (const { what } of observed.holds) last.set(`${what.link} ${what.system}`, what);
  const violations: Violation[] = [];
  for (const { entity, link, system, hold } of last.values()) {
    if (hold === null || checker.isJustified(entity, link, system, hold)) continue;
    const message = `${link} is held in ${system} (${hold.reason}: ${hold.detail}), but the reason is not there`;
    violations.push({ rule: 'stale hold', message });
  }
  return violations;
}

class HoldChecker {
  private readonly linkOfRecord = new Map<string, string>();

  constructor(
    private readonly observed: Observed,
    private readonly final: Final,
  ) {
    for (const { entity, link, fields, keys } of final.links.values()) {
      if (!fields) continue;
      for (const [system, key] of Object.entries(keys)) this.linkOfRecord.set(recordName(system, entity, key), link);
    }
  }

  isJustified(entityName: string, link: string, system: string, hold: NonNullable<HoldOutput['hold']>): boolean {
    const entity = this.observed.world.entities.find(({ name }) => name === entityName)!;
    const canonical = this.final.links.get(link);
    switch (hold.reason) {
      case 'duplicate':
      case 'refused':
        return this.othersShow(entity, link, canonical);
      case 'failed':
        return this.wouldFail(entity, system, link, canonical, hold.detail);
      case 'conflict':
        return this.someRuleHolds(entity);
      case 'rewritten':
        return Object.values(entity.systems).some(({ trigger }) => trigger !== null);
      case 'parent-missing':
        return this.lacksParent(entity, system, canonical);
      case 'children-exist':
        return hold.key !== null && this.hasChildren(entity, system, hold.key);
      case 'approval':
        return Object.values(entity.systems).some((config) => config.delete === 'unlink');
      case 'invalid':
        return entity.systems[system]!.keys === 'natural';
      case 'oversize':
      case 'paused':
        return false;
    }
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

  private someRuleHolds(entity: EntityConfig): boolean {
    const { conflict } = entity;
    return [conflict, ...Object.values(conflict.groups)].some(
      ({ policy, otherwise }) =>
        policy === 'hold' || (otherwise === 'hold' && (policy === 'newest' || conflict.first === 'newest')),
    );
  }

  private lacksParent(entity: EntityConfig, system: string, canonical: CanonicalOutput | undefined): boolean {
    return entity.fields.some(({ kind, name }) => {
      const value = canonical?.fields?.[name];
      if (kind !== 'reference' || value === null || typeof value !== 'object') return false;
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
