import type { CanonicalOutput, HeldFor } from '../../../src/decision/outputs.js';
import type { FieldValue } from '../../../src/decision/events.js';
import type { Row, Value } from '../../../src/model/value.js';
import { isPresent, tableName, type EntityConfig, type FieldConfig } from '../world-config.js';
import { Keeping } from './keeping.js';
import {
  codeOf,
  isRecordOf,
  recordName,
  show,
  type Final,
  type Observed,
  type RecordChange,
  type Violation,
} from './observed.js';
import { differences, presentRowOf } from './projection.js';

/**
 * At rest every record has one link and a link one record per system (I9), and every record shows the canonical
 * in what we write there, or is kept, or a hold says why (I11). Compares the databases themselves, by own means.
 */
export function verifyEquality(observed: Observed, final: Final, changes: readonly RecordChange[]): Violation[] {
  return new Equality(observed, final, changes).verify();
}

class Equality {
  private readonly violations: Violation[] = [];
  private readonly linkOfRecord = new Map<string, string>();
  private readonly keeping: Keeping;

  constructor(
    private readonly observed: Observed,
    private readonly final: Final,
    private readonly changes: readonly RecordChange[],
  ) {
    this.keeping = new Keeping(observed, changes);
  }

  verify(): Violation[] {
    for (const canonical of this.final.links.values()) if (canonical.fields) this.verifyOneLink(canonical);
    for (const canonical of this.final.links.values()) if (canonical.fields) this.verifyMembers(canonical);
    for (const entity of this.observed.world.entities) {
      for (const system of Object.keys(entity.systems)) this.verifyRows(entity, system);
    }
    return this.violations;
  }

  private verifyOneLink({ entity, link, keys }: CanonicalOutput): void {
    for (const [system, key] of Object.entries(keys)) {
      const name = recordName(system, entity, key);
      const other = this.linkOfRecord.get(name);
      if (other !== undefined) this.report('I9', `${name} is in the links ${other} and ${link}`);
      this.linkOfRecord.set(name, link);
    }
  }

  private verifyMembers(canonical: CanonicalOutput): void {
    const entity = this.observed.world.entities.find(({ name }) => name === canonical.entity)!;
    for (const [system, config] of Object.entries(entity.systems)) {
      if (!config.written) continue;
      const key = canonical.keys[system];
      const held = this.heldFor(canonical, system);
      if (key === undefined) {
        if (held.length === 0 && !this.isMeantToLack(canonical, system)) {
          this.report('I11', `${canonical.link} has no record in ${system}, and no hold says why`);
        }
        continue;
      }
      // A record held as a duplicate goes on being written.
      if (held.some(({ reason, group }) => group === null && reason !== 'duplicate')) continue;
      const row = presentRowOf(this.observed, entity, system, key);
      if (!row) this.report('I11', `${canonical.link}: ${recordName(system, entity.name, key)} is not there`);
      else this.verifyFields(canonical, entity, system, row);
    }
  }

  /** A hold of a field group excuses this group's fields, and no others. */
  private verifyFields(canonical: CanonicalOutput, entity: EntityConfig, system: string, row: Row): void {
    const { notWritten } = entity.systems[system]!;
    const held = new Set(this.heldFor(canonical, system).map(({ group }) => group));
    for (const { field, value, expected, actual } of differences(this.final, entity, system, canonical, row)) {
      if (notWritten.includes(field.name) || held.has(field.group)) continue;
      if (this.isDeletedParent(field, system, value, actual)) continue;
      const message = `${canonical.link}.${field.name} is ${show(value)}, but ${system} shows ${show(actual)}`;
      this.report('I11', `${message} (expected ${show(expected)}) and no hold says why`);
    }
  }

  private heldFor({ link }: CanonicalOutput, system: string): readonly HeldFor[] {
    const hold = this.final.holds.get(`${link} ${system}`);
    return hold === undefined ? [] : [hold, ...hold.others];
  }

  /** The parent is deleted, but its record there stays: a hold of its own or a decision says why. */
  private isDeletedParent(field: FieldConfig, system: string, value: FieldValue, actual: Value): boolean {
    if (value === null || typeof value !== 'object' || !('link' in value)) return false;
    const name = recordName(system, field.name, String(actual));
    if (isRecordOf(this.final, value.link, name) || this.final.heldRecords.get(name) === value.link) return true;
    const parent = this.observed.world.entities.find((entity) => entity.name === field.name)!;
    // Gone while it was being matched, before it was ever told.
    if (!this.final.links.has(value.link)) return presentRowOf(this.observed, parent, system, String(actual)) === null;
    return this.keeping.isTold(parent, system, String(actual));
  }

  /**
   * A system may lack the record for good: it deleted the record and the systems that still have it keep theirs
   * (delete: never, unlink), or nothing is ever deleted there.
   */
  private isMeantToLack(canonical: CanonicalOutput, system: string): boolean {
    const entity = this.observed.world.entities.find(({ name }) => name === canonical.entity)!;
    if (this.keeping.wasUnlinked(canonical)) return true;
    const others = Object.keys(canonical.keys);
    const keeping = others.every((other) => ['never', 'unlink'].includes(entity.systems[other]!.delete));
    return others.length > 0 && keeping && this.wasDeleted(canonical.link, entity, system);
  }

  private wasDeleted(link: string, entity: EntityConfig, system: string): boolean {
    return this.changes.some(
      (change) =>
        change.system === system &&
        change.entity === entity &&
        change.before !== null &&
        change.after === null &&
        this.final.linksOfRecord.get(recordName(system, entity.name, change.key))?.has(link),
    );
  }

  // ------------------------------------------------------------ the rows' side

  private verifyRows(entity: EntityConfig, system: string): void {
    const config = entity.systems[system]!;
    const byCode = new Map<Value, string[]>();
    for (const [key, row] of this.table(system, entity).rows) {
      if (!isPresent(config, row)) continue;
      const name = recordName(system, entity.name, key);
      const isKnown = this.linkOfRecord.has(name) || this.final.heldRecords.has(name);
      if (config.captured && !isKnown && !this.isKept(entity, system, key)) {
        this.report('I13', `${name} is in no link`);
      }
      const value = codeOf(entity, system, row);
      if (value !== null) byCode.set(value, [...(byCode.get(value) ?? []), key]);
    }
    for (const [value, keys] of byCode) {
      if (keys.length > 1) for (const key of keys) this.verifyNoDouble(entity, system, key, value);
    }
  }

  /** Its link was deleted, and the record is not ours to delete: a decision says that it was left. */
  private isKept(entity: EntityConfig, system: string, key: string): boolean {
    const config = entity.systems[system]!;
    const keeps = !config.written || config.delete === 'never' || config.delete === 'unlink';
    return keeps && this.keeping.isTold(entity, system, key);
  }

  /** We must not have inserted a record where its match value was to be seen already, unless it is held now. */
  private verifyNoDouble(entity: EntityConfig, system: string, key: string, code: Value): void {
    const insert = this.changes.findLast(
      (change) => change.system === system && change.entity === entity && change.key === key && change.before === null,
    );
    if (!insert?.own?.command || codeOf(entity, system, insert.after) !== code) return;
    const link = this.linkOfRecord.get(recordName(system, entity.name, key));
    if (link ? this.isHeld(link) : this.keeping.isTold(entity, system, key)) return;
    for (const [otherKey, row] of this.table(system, entity).rows) {
      if (otherKey === key || !isPresent(entity.systems[system]!, row)) continue;
      if (codeOf(entity, system, row) !== code) continue;
      if (!this.showedAlready(entity, system, otherKey, code, insert.order)) continue;
      const otherLink = this.linkOfRecord.get(recordName(system, entity.name, otherKey));
      if (otherLink && this.isHeld(otherLink)) continue;
      this.report('rule 3', `${recordName(system, entity.name, key)} is a double of ${otherKey} that we inserted`);
    }
  }

  private showedAlready(entity: EntityConfig, system: string, key: string, code: Value, order: number): boolean {
    const last = this.changes.findLast(
      (change) => change.order < order && change.system === system && change.entity === entity && change.key === key,
    );
    return last?.after != null && codeOf(entity, system, last.after) === code;
  }

  private isHeld(link: string): boolean {
    return this.observed.world.systems.some((system) => this.final.holds.has(`${link} ${system}`));
  }

  private table(system: string, entity: EntityConfig) {
    return this.observed.databases.get(system)!.table(tableName(system, entity.name));
  }

  private report(rule: string, message: string): void {
    this.violations.push({ rule, message });
  }
}
