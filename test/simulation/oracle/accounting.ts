import type { FieldValue } from '../../../src/decision/events.js';
import type { CanonicalOutput, DecisionOutput } from '../../../src/decision/outputs.js';
import type { Row, Value } from '../../../src/model/value.js';
import { isPresent, tableName, type EntityConfig, type FieldConfig } from '../world-config.js';
import {
  fieldOf,
  isRecordOf,
  lastOf,
  recordName,
  type Final,
  type Observed,
  type RecordChange,
  type Violation,
} from './observed.js';
import { differences, type Difference } from './projection.js';

/**
 * Every edit of a user stands at the end, was superseded by somebody who had seen it, or is named in a decision;
 * so is every deletion (I10). Text values are told apart by their first characters, wherever they turn up.
 */
export function verifyAccounts(observed: Observed, final: Final, changes: readonly RecordChange[]): Violation[] {
  return new Accounts(observed, final, changes).verify();
}

type Side = DecisionOutput['fields'][number]['sides'][number];

interface Edit {
  readonly change: RecordChange;
  readonly field: FieldConfig;
  readonly value: Value;
}

class Accounts {
  private readonly userChanges: readonly RecordChange[];

  constructor(
    private readonly observed: Observed,
    private readonly final: Final,
    private readonly changes: readonly RecordChange[],
  ) {
    this.userChanges = changes.filter(({ own }) => own === null || own.command === null);
  }

  verify(): Violation[] {
    const violations: Violation[] = [];
    for (const change of this.userChanges) {
      if (change.own !== null) continue;
      for (const edit of this.editsOf(change)) {
        if (this.stands(edit) || this.isSuperseded(edit) || this.isDecided(edit)) continue;
        const where = `${recordName(change.system, change.entity.name, change.key)}.${edit.field.name}`;
        violations.push({
          rule: 'I10',
          message: `${String(edit.value)} of ${where} (transaction ${change.transaction}) was lost without a decision`,
        });
      }
      if (change.before !== null && change.after === null) violations.push(...this.verifyDeletion(change));
    }
    return violations;
  }

  private editsOf(change: RecordChange): Edit[] {
    const { system, entity, after } = change;
    if (after === null) return [];
    const before = change.before ?? this.lastToldOf(change);
    // A key changed where the log was cut is a record of its own (docs/adr/0012): what it leaves empty, nobody cleared.
    const mayBeNew = change.oldKey !== null && this.observed.lost.has(system);
    const config = entity.systems[system]!;
    const edits: Edit[] = [];
    for (const field of entity.fields) {
      if (config.notRead.includes(field.name) || !config.captured) continue;
      const value = fieldOf(entity, system, field.name, after);
      const old = fieldOf(entity, system, field.name, before);
      if (value === old || (value === null && (mayBeNew || !this.wasAgreed(change, field, old)))) continue;
      // Records are known again by their match values: where those were changed unseen, one may pass for another.
      if (field.kind === 'code' && this.observed.lost.has(system)) continue;
      edits.push({ change, field, value });
    }
    return edits;
  }

  /**
   * A record deleted and brought back where the log was cut shows nobody that it was ever gone: an edit is only what it
   * shows otherwise.
   */
  private lastToldOf(change: RecordChange): Row | null {
    if (!this.observed.lost.has(change.system) || this.isTold(change)) return null;
    const earlier = this.changes.filter(
      (one) =>
        one.system === change.system &&
        one.entity === change.entity &&
        one.key === change.key &&
        this.isLater(change, one),
    );
    const deletion = earlier.findLast(({ before, after }) => before !== null && after === null);
    return deletion === undefined || this.isTold(deletion) ? null : deletion.before;
  }

  private isTold({ system, entity, transaction, key }: RecordChange): boolean {
    return this.observed.events.some(
      ({ what }) =>
        what.kind === 'change' &&
        what.operation !== 'read' &&
        what.system === system &&
        what.entity === entity.name &&
        what.key === key &&
        what.transaction === String(transaction),
    );
  }

  /** Clearing a value that no other system had got is no edit of theirs: an empty field may be filled at a first link. */
  private wasAgreed(change: RecordChange, field: FieldConfig, value: Value): boolean {
    return this.changes.some(
      (ours) =>
        ours.own !== null &&
        ours.order < change.order &&
        ours.entity === change.entity &&
        ours.system !== change.system &&
        field.kind === 'text' &&
        same(field, fieldOf(ours.entity, ours.system, field.name, ours.after), value),
    );
  }

  /** The record itself shows the value at the end, or the one that we have made again for its link there. */
  private stands(edit: Edit): boolean {
    const { system } = edit.change;
    if (this.isShownBy(edit, this.keyAtTheEnd(edit.change))) return true;
    return this.linksOf(edit.change).some((link) => {
      const key = this.final.links.get(link)?.keys[system];
      return key !== undefined && this.isShownBy(edit, key);
    });
  }

  private isShownBy({ change, field, value }: Edit, key: string): boolean {
    const { system, entity } = change;
    const row = this.table(system, entity).rows.get(key);
    if (!row || !isPresent(entity.systems[system]!, row)) return false;
    if (!this.isAgreed(change, field, key, row)) return false;
    const now = fieldOf(entity, system, field.name, row);
    return same(field, now, value) || (field.kind === 'reference' && this.isSameParent(system, field.name, now, value));
  }

  /**
   * Where we do not write the field, the row shows its own value whatever becomes of it: the agreed record must have it
   * too. A record kept under a deleted link has none: its edits go nowhere.
   */
  private isAgreed({ system, entity }: RecordChange, field: FieldConfig, key: string, row: Row): boolean {
    const config = entity.systems[system]!;
    if (config.written && !config.notWritten.includes(field.name)) return true;
    const name = recordName(system, entity.name, key);
    const canonical = [...(this.final.linksOfRecord.get(name)?.keys() ?? [])]
      .map((link) => this.final.links.get(link))
      .find((one) => one?.fields && one.keys[system] === key);
    if (canonical === undefined) return true;
    return !differences(this.final, entity, system, canonical, row).some(
      (one) => one.field === field && !this.refersToKept(system, field, one),
    );
  }

  /** A parent that a policy keeps has no agreed record, but its own row is still what is meant. */
  private refersToKept(system: string, field: FieldConfig, { value, actual }: Difference): boolean {
    if (field.kind !== 'reference' || typeof value !== 'object' || value === null || !('link' in value)) return false;
    return isRecordOf(this.final, value.link, recordName(system, field.name, String(actual)));
  }

  /**
   * A reference stands where it names the same thing under another key: the one that it was made again with, or that of
   * the link which a decision says that its own became part of, or which a decision about its deletion names it with.
   */
  private isSameParent(system: string, parent: string, left: Value, right: Value): boolean {
    if (left === null || right === null) return false;
    const [ofLeft, ofRight] = [left, right].map((key) => {
      const name = recordName(system, parent, String(key));
      const links = [
        ...(this.final.linksOfRecord.get(name)?.keys() ?? []),
        ...(this.final.namingLinksOfRecord.get(name) ?? []),
      ];
      return links.map((link) => lastOf(this.final, link));
    });
    return ofLeft!.some((link) => ofRight!.includes(link));
  }

  private keyAtTheEnd(change: RecordChange): string {
    let { key } = change;
    for (const later of this.changes) {
      if (later.order < change.order || later.system !== change.system || later.entity !== change.entity) continue;
      if (later.oldKey === key) key = later.key;
    }
    return key;
  }

  /** Somebody changed or deleted what showed the value: in that record, or in another system that had got it. */
  private isSuperseded({ change, field, value }: Edit): boolean {
    return this.userChanges.some((later) => {
      if (later.entity !== change.entity || later.before === null || later === change) return false;
      if (this.isUnseenKeyChange(later, change)) return true;
      // A value that both show where they are linked was seen by both, whoever was first.
      if (later.order < change.order && !this.isSameThing(later, change)) return false;
      if (later.after === null && !this.isShownTo(later, field) && this.isSameThing(later, change)) return true;
      const seen = fieldOf(later.entity, later.system, field.name, later.before);
      if (!sameThere(field, seen, value, change.system === later.system)) return false;
      if (later.after === null) return true;
      const now = fieldOf(later.entity, later.system, field.name, later.after);
      // Keys of two systems may look alike: a reference was changed if it is another than was seen there.
      return field.kind === 'reference' && later.system !== change.system ? now !== seen : !same(field, now, value);
    });
  }

  /** Where a log was cut, a changed key is one record deleted and another one made (docs/adr/0012-resync-by-comparison.md). */
  private isUnseenKeyChange({ oldKey, ...later }: RecordChange, change: RecordChange): boolean {
    if (oldKey === null || !this.observed.lost.has(later.system)) return false;
    return this.isSameThing({ ...later, oldKey, key: oldKey }, change);
  }

  /** A deletion where the field is never written cannot have seen it and yet is clean. */
  private isShownTo({ entity, system }: RecordChange, field: FieldConfig): boolean {
    const config = entity.systems[system]!;
    return config.written && !config.notWritten.includes(field.name);
  }

  private isSameThing(left: RecordChange, right: RecordChange): boolean {
    const others = this.linksOf(right);
    return this.linksOf(left).some((link) => others.includes(link));
  }

  /** Every link that the record was ever in, under this key or a later one. */
  private linksOf(change: RecordChange): string[] {
    const { system, entity } = change;
    const keys = new Set([change.key, this.keyAtTheEnd(change)]);
    return [...keys].flatMap((key) => [
      ...(this.final.linksOfRecord.get(recordName(system, entity.name, key))?.keys() ?? []),
    ]);
  }

  private isDecided({ change, field, value }: Edit): boolean {
    return this.observed.decisions.some(
      ({ what }) =>
        what.entity === change.entity.name &&
        what.fields.some(
          (decided) =>
            decided.field === field.name && decided.sides.some((side) => this.isSide(side, change, field, value)),
        ),
    );
  }

  private isSide(side: Side, change: RecordChange, field: FieldConfig, value: Value): boolean {
    if (side.absent) return false;
    if (field.kind !== 'reference') return same(field, side.value as Value, value);
    return this.isReference(side.value, change.system, field.name, value) || this.isToUntold(side, change);
  }

  /** The record's own reference, to a link that was gone before anybody was told of it: nothing says which record that was. */
  private isToUntold({ system, key, value }: Side, change: RecordChange): boolean {
    if (typeof value !== 'object' || value === null || !('link' in value) || this.final.links.has(value.link))
      return false;
    return system === change.system && (key === change.key || key === this.keyAtTheEnd(change));
  }

  private isReference(decided: FieldValue, system: string, parent: string, key: Value): boolean {
    if (decided === null || typeof decided !== 'object') return decided === null && key === null;
    if ('key' in decided) return decided.key === String(key);
    return isRecordOf(this.final, decided.link, recordName(system, parent, String(key)));
  }

  // ------------------------------------------------------------ deletions

  /** A deletion came about wherever it should, or a decision names it. */
  private verifyDeletion(deletion: RecordChange): Violation[] {
    const { system, entity, key } = deletion;
    if (!entity.systems[system]!.captured || this.isDeletionDecided(deletion)) return [];
    const name = recordName(system, entity.name, key);
    const violations: Violation[] = [];
    const reusedFrom = this.nextOfKey(deletion);
    for (const [link, since] of this.final.linksOfRecord.get(name) ?? []) {
      if (since > reusedFrom || this.hadKeyBefore(deletion, link, since)) continue;
      const canonical = this.final.links.get(link);
      if (!canonical?.fields || this.isBackUnder(deletion) || this.wasRenamed(deletion, canonical)) continue;
      for (const [other, otherKey] of Object.entries(canonical.keys)) {
        const config = entity.systems[other]!;
        if (other === system || !config.written || config.delete === 'never' || config.delete === 'unlink') continue;
        if (this.final.holds.has(`${link} ${other}`) || !this.wasThereAt(deletion, other, otherKey)) continue;
        violations.push({
          rule: 'I10',
          message: `the deletion of ${name} (transaction ${deletion.transaction}) was lost without a decision: ${other} ${otherKey} is still there`,
        });
      }
    }
    return violations;
  }

  /** When the next record got the key of the deleted one. */
  private nextOfKey(deletion: RecordChange): number {
    const { system, entity, key } = deletion;
    const next = this.changes.find(
      (later) =>
        later.system === system && later.entity === entity && later.key === key && this.isLater(later, deletion),
    );
    return next?.order ?? Number.POSITIVE_INFINITY;
  }

  /** The link's own record had the key before the deleted one got it, which another link has named since. */
  private hadKeyBefore(deletion: RecordChange, link: string, since: number): boolean {
    const { system, entity, key } = deletion;
    const got = this.changes.findLast(
      (change) =>
        change.system === system &&
        change.entity === entity &&
        change.key === key &&
        (change.oldKey !== null || (change.before === null && change.after !== null)) &&
        this.isLater(deletion, change),
    );
    if (got === undefined || since > got.order) return false;
    return [...this.final.linksOfRecord.get(recordName(system, entity.name, key))!].some(
      ([other, first]) => first > got.order && lastOf(this.final, other) !== lastOf(this.final, link),
    );
  }

  private isDeletionDecided({ system, entity, key }: RecordChange): boolean {
    return this.observed.decisions.some(
      ({ what }) =>
        what.entity === entity.name &&
        what.merged === null &&
        what.fields.some(({ sides }) =>
          sides.some((side) => side.absent && side.system === system && side.key === key),
        ),
    );
  }

  /** The link's record had the key once and got another; somebody else's record, made since, was deleted. */
  private wasRenamed({ system, entity, key, order }: RecordChange, { link, keys }: CanonicalOutput): boolean {
    const born = this.changes.findLast(
      (change) =>
        change.key === key &&
        change.system === system &&
        change.entity === entity &&
        change.order < order &&
        change.before === null,
    );
    return this.changes.some((change) => {
      if (change.oldKey !== key || change.system !== system || change.entity !== entity) return false;
      if (change.order < order && this.keyAtTheEnd(change) === keys[system]) return true;
      // It may be gone by now, and the link have another record there.
      const name = recordName(system, entity.name, change.key);
      return born !== undefined && change.order < born.order && isRecordOf(this.final, link, name);
    });
  }

  /** Its own users took the deletion back. */
  private isBackUnder(deletion: RecordChange): boolean {
    return this.userChanges.some(
      (later) =>
        later.system === deletion.system &&
        later.entity === deletion.entity &&
        later.key === deletion.key &&
        later.after !== null &&
        this.isLater(later, deletion),
    );
  }

  /** A record made after the deletion is a new fact. */
  private wasThereAt(deletion: RecordChange, system: string, key: string): boolean {
    const first = this.changes.findLast(
      (change) =>
        change.system === system &&
        change.entity === deletion.entity &&
        change.key === key &&
        change.before === null &&
        change.after !== null,
    );
    return first !== undefined && first.order < deletion.order;
  }

  /** Changes of one transaction have one place in the order of all; among themselves they are in turn. */
  private isLater(left: RecordChange, right: RecordChange): boolean {
    if (left.order !== right.order) return left.order > right.order;
    return this.changes.indexOf(left) > this.changes.indexOf(right);
  }

  private table(system: string, entity: EntityConfig) {
    return this.observed.databases.get(system)!.table(tableName(system, entity.name));
  }
}

/** Equal, however triggers and lengths have dressed a text. */
function same(field: FieldConfig, left: Value, right: Value): boolean {
  if (field.kind !== 'text' || left === null || right === null) return left === right;
  return token(left) === token(right);
}

/** References are other keys in other systems: any will do there. */
function sameThere(field: FieldConfig, left: Value, right: Value, sameSystem: boolean): boolean {
  if (field.kind === 'reference' && !sameSystem) return true;
  return same(field, left, right);
}

function token(value: Value): string {
  return String(value).slice(0, 3).toLowerCase();
}
