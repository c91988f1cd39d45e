import type { AuditEntry, TextRow } from '../world/audit.js';
import { SYSTEMS, tableOf, type EntityName, type FieldModel } from '../world/model.js';
import { type Databases, isPresent } from './equality.js';
import { tableOfEntry, type Violation } from './sequences.js';
import { recordName, type ToldTopics, type ToldValue } from './topics.js';

/**
 * Every value that a user set is there at the end, was replaced by somebody who had seen it, or stands in a decision;
 * so does every deletion (I10). Values are unique, so that one is known wherever it turns up.
 */
export class Accounts {
  /** Values that a user replaced or deleted having had them before the eyes. */
  private readonly superseded = new Set<string>();
  private readonly decided = new Set<string>();
  private readonly decidedDeletions = new Set<string>();
  /** Records and fields with a decision that names a link of which no topic tells (any more): it was merged into another. */
  private readonly decidedVaguely = new Set<string>();
  private readonly entriesOf = new Map<string, AuditEntry[]>();

  constructor(
    audit: readonly AuditEntry[],
    private readonly told: ToldTopics,
    private readonly databases: Databases,
  ) {
    for (const entry of audit) {
      if (entry.byUser) this.noteSuperseded(entry);
      const record = recordName(entry.system, tableOfEntry(entry).entity, entry.key);
      const entries = this.entriesOf.get(record);
      if (entries === undefined) this.entriesOf.set(record, [entry]);
      else entries.push(entry);
    }
    for (const decision of told.decisions) {
      for (const { field, sides } of decision.fields) {
        for (const { system, key, value, absent } of sides) {
          if (absent && key !== null) this.decidedDeletions.add(recordName(system, decision.entity, key));
          if (absent) continue;
          for (const token of this.decidedTokens(value)) this.decided.add(`${decision.entity}.${field} ${token}`);
          if (key !== null && this.isUnknown(value)) {
            this.decidedVaguely.add(`${recordName(system, decision.entity, key)} ${field}`);
          }
        }
      }
    }
  }

  /** Looks at the users' entries from a place on. */
  verify(entries: readonly AuditEntry[]): Violation[] {
    const violations: Violation[] = [];
    for (const entry of entries) {
      if (!entry.byUser) continue;
      const table = tableOfEntry(entry);
      const before = isPresent(table, entry.before) ? entry.before : null;
      const after = isPresent(table, entry.after) ? entry.after : null;
      const record = recordName(entry.system, table.entity, entry.key);
      if (after !== null) {
        for (const field of table.fields) {
          const value = after[field.column] ?? null;
          if (value === null || value === (before?.[field.column] ?? null)) continue;
          if (this.isAccountedFor(entry, field, value)) continue;
          const message = `${record}.${field.field} = ${value} (number ${entry.number}) is lost without a decision`;
          violations.push({ rule: 'I10', message, record });
        }
      } else if (before !== null) violations.push(...this.verifyDeletion(entry, record));
    }
    return violations;
  }

  private isAccountedFor(entry: AuditEntry, field: FieldModel, value: string): boolean {
    const table = tableOfEntry(entry);
    const row = this.databases[entry.system][table.entity].get(entry.key);
    const shown = isPresent(table, row) ? (row[field.column] ?? null) : null;
    if (shown !== null && this.isSame(entry.system, field, shown, value)) return true;
    const name = `${table.entity}.${field.field}`;
    if (this.decidedVaguely.has(`${recordName(entry.system, table.entity, entry.key)} ${field.field}`)) return true;
    return this.tokens(entry.system, field, value).some(
      (token) => this.superseded.has(`${name} ${token}`) || this.decided.has(`${name} ${token}`),
    );
  }

  private noteSuperseded(entry: AuditEntry): void {
    const table = tableOfEntry(entry);
    const before = isPresent(table, entry.before) ? entry.before : null;
    const after = isPresent(table, entry.after) ? entry.after : null;
    if (before === null) return;
    for (const field of table.fields) {
      const value = before[field.column] ?? null;
      if (value === null || value === (after?.[field.column] ?? null)) continue;
      for (const token of this.tokens(entry.system, field, value)) {
        this.superseded.add(`${table.entity}.${field.field} ${token}`);
      }
    }
  }

  /** The same text, or for a reference the same thing under another key. */
  private isSame(system: string, { refersTo }: FieldModel, one: string, other: string): boolean {
    if (one === other || refersTo === null) return one === other;
    const links = this.told.linksOfRecord.get(recordName(system, refersTo, one));
    const others = this.told.linksOfRecord.get(recordName(system, refersTo, other)) ?? [];
    return [...others].some((link) => links?.has(link) === true);
  }

  /** What a value is known by: itself, or for a reference its key there and the links of the record with that key. */
  private tokens(system: string, { refersTo }: FieldModel, value: string): string[] {
    if (refersTo === null) return [value];
    const links = this.told.linksOfRecord.get(recordName(system, refersTo, value)) ?? [];
    return [`key ${system} ${value}`, ...Array.from(links, (link) => `link ${link}`)];
  }

  private isUnknown(value: ToldValue): boolean {
    return value.kind === 'link' && this.told.links.get(value.link)?.fields == null;
  }

  private decidedTokens(value: ToldValue): string[] {
    switch (value.kind) {
      case 'text':
        return value.text === null ? [] : [value.text];
      case 'link':
        return [`link ${value.link}`];
      case 'key':
        return [`key ${value.system} ${value.key}`];
    }
  }

  /** Gone everywhere, taken back by a user, held, or in a decision. */
  private verifyDeletion(entry: AuditEntry, record: string): Violation[] {
    const { entity } = tableOfEntry(entry);
    if (this.decidedDeletions.has(record) || this.isTakenBack(entry, record)) return [];
    const violations: Violation[] = [];
    for (const link of this.told.linksOfRecord.get(record) ?? []) {
      const canonical = this.told.links.get(link);
      if (canonical?.fields == null) continue;
      for (const system of SYSTEMS) {
        const key = canonical.keys[system];
        if (system === entry.system || key === undefined || this.isHeld(link, system)) continue;
        const row: TextRow | undefined = this.databases[system][entity].get(key);
        if (!isPresent(tableOf(system, entity), row) || !this.wasThere(entry, system, entity, key)) continue;
        const message = `the deletion of ${record} (number ${entry.number}) is lost without a decision: ${system} ${key} is still there`;
        violations.push({ rule: 'I10', message, record });
      }
    }
    return violations;
  }

  private isHeld(link: string, system: string): boolean {
    return this.told.holds.has(`${link},${system}`);
  }

  private isTakenBack(deletion: AuditEntry, record: string): boolean {
    return this.entriesOf
      .get(record)!
      .some((later) => later.number > deletion.number && later.byUser && isPresent(tableOfEntry(later), later.after));
  }

  /** A record made after the deletion is a new fact. */
  private wasThere(deletion: AuditEntry, system: string, entity: EntityName, key: string): boolean {
    const first = this.entriesOf
      .get(recordName(system, entity, key))
      ?.findLast((each) => !isPresent(tableOfEntry(each), each.before) && isPresent(tableOfEntry(each), each.after));
    return first === undefined || first.timeMs < deletion.timeMs;
  }
}
