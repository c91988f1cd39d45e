import type { AvroField, AvroRecord, AvroSchema } from '../../avro/schema.js';
import type { FieldValue } from '../../decision/events.js';
import type { Attempt, Deletion, Ending, Hold, LinkRecord, Member } from '../../decision/state.js';
import type { Row } from '../../model/value.js';
import type { BinaryReader, BinaryWriter } from './bytes.js';
import { CommandForm } from './command-form.js';
import { RowForm, without } from './rows.js';
import { SetterForm } from './setters.js';
import { ValueForm } from './values.js';

/**
 * Links of one entity, from and to the bytes of the schema that this process writes (schemas/state-link.avsc and its
 * parts, field by field in their order), without Avro's objects between: what every change does twice. Whatever was
 * written under another schema is read by `EntityLayout`, which must say the same (state-codec.test.ts).
 */
export class LinkForm {
  readonly entity: string;
  private readonly canonical: RowForm;
  private readonly setters: SetterForm;
  private readonly members: readonly MemberForm[];

  /** `systems` in the order of the schema's enum. */
  constructor({ column, type }: AvroField, systems: readonly string[], groups: readonly string[]) {
    this.entity = column!;
    const link = recordOf(type);
    this.canonical = new RowForm(fieldOf(link, 'canonical').fields);
    this.setters = new SetterForm(groups, systems);
    const commands = new CommandForm(this.setters);
    const fields = fieldOf(link, 'members').fields;
    this.members = fields.map((field) => new MemberForm(field, commands));
  }

  write(to: BinaryWriter, link: LinkRecord): void {
    to.text(link.id);
    to.text(link.existence);
    to.text(link.matching);
    this.canonical.write(to, link.canonical);
    to.texts(this.canonical.missing(link.canonical));
    this.setters.writeAll(to, link.set);
    to.texts(link.match);
    to.texts(link.firstMatch);
    this.writeDeletions(to, link.deletions);
    writeCounts(to, link.rewrites);
    to.long(link.moves);
    to.longOrNull(link.tombstoneMicros);
    for (const form of this.members) {
      const member = link.members[form.system];
      to.byte(member === undefined ? 0 : 2);
      if (member !== undefined) form.write(to, member, link.canonical);
    }
  }

  read(from: BinaryReader): LinkRecord {
    const id = from.text();
    const existence = from.text() === 'present' ? 'present' : 'deleted';
    const matching = from.text() as LinkRecord['matching'];
    const fields = this.canonical.read(from);
    const canonical = without(fields, from.texts());
    const set = this.setters.readAll(from);
    const match = from.texts();
    const firstMatch = from.texts();
    const deletions = this.readDeletions(from);
    const rewrites = readCounts(from);
    const moves = from.long();
    const tombstoneMicros = from.longOrNull();
    const members: Record<string, Member> = {};
    for (const form of this.members) if (from.long() !== 0) members[form.system] = form.read(from, canonical);
    return {
      kind: 'link',
      id,
      entity: this.entity,
      existence,
      matching,
      canonical,
      set,
      match,
      firstMatch,
      deletions,
      rewrites,
      moves,
      tombstoneMicros,
      members,
    };
  }

  private writeDeletions(to: BinaryWriter, deletions: readonly Deletion[]): void {
    if (deletions.length > 0) {
      to.long(deletions.length);
      for (const { system, key, timeMicros } of deletions) {
        this.setters.writeSystem(to, system);
        to.text(key);
        to.longOrNull(timeMicros);
      }
    }
    to.byte(0);
  }

  private readDeletions(from: BinaryReader): readonly Deletion[] {
    const deletions: Deletion[] = [];
    for (let count = from.count(); count > 0; count = from.count()) {
      for (; count > 0; count--) {
        deletions.push({ system: this.setters.readSystem(from), key: from.text(), timeMicros: from.longOrNull() });
      }
    }
    return deletions;
  }
}

/** A link's place for one system: schemas/state-member.avsc. */
class MemberForm {
  readonly system: string;
  private readonly row: RowForm;
  private readonly agreed: ValueForm;

  constructor(
    { name, column, type }: AvroField,
    private readonly commands: CommandForm,
  ) {
    this.system = column ?? name;
    const member = recordOf(type);
    const seen = member.fields.find((field) => field.name === 'seen')!.type;
    this.row = new RowForm(recordOf(seen).fields);
    const agreed = member.fields.find((field) => field.name === 'agreed')!.type as { values: readonly AvroSchema[] };
    this.agreed = new ValueForm(agreed.values);
  }

  write(to: BinaryWriter, member: Member, canonical: LinkRecord['canonical']): void {
    const { seen, inFlight, ending } = member;
    to.textOrNull(member.key);
    this.writeSeen(to, seen, canonical);
    to.long(member.moves);
    this.writeAgreed(to, member.agreed);
    to.texts(member.match);
    to.byte(inFlight === null ? 0 : 2);
    if (inFlight !== null) this.commands.write(to, inFlight);
    this.writeHolds(to, member.holds);
    to.byte(member.kept ? 1 : 0);
    to.texts(member.formerKeys);
    to.byte(ending === null ? 0 : 2);
    if (ending !== null) this.writeEnding(to, ending);
    to.long(member.snapshot);
    to.long(member.movedAfter);
    to.textOrNull(member.transaction);
  }

  read(from: BinaryReader, canonical: LinkRecord['canonical']): Member {
    const key = from.textOrNull();
    const seen = this.readSeen(from, canonical);
    return {
      key,
      seen,
      moves: from.long(),
      agreed: this.readAgreed(from),
      match: from.texts(),
      inFlight: from.long() === 0 ? null : this.commands.read(from),
      holds: this.readHolds(from),
      kept: from.byte() === 1,
      formerKeys: from.texts(),
      ending: from.long() === 0 ? null : this.readEnding(from),
      snapshot: from.long(),
      movedAfter: from.long(),
      transaction: from.textOrNull(),
    };
  }

  /** The row, the names missing from it, and those that are null although the canonical is not. */
  private writeSeen(to: BinaryWriter, seen: Row | null, canonical: LinkRecord['canonical']): void {
    if (seen === null) {
      to.byte(0);
      to.texts(NONE);
      return to.byte(0);
    }
    to.byte(2);
    const nulls = this.row.writeShared(to, seen, canonical);
    to.texts(this.row.missing(seen));
    to.byte(2);
    to.texts(nulls);
  }

  private readSeen(from: BinaryReader, canonical: LinkRecord['canonical']): Row | null {
    const seen = from.long() === 0 ? null : this.row.read(from);
    const missing = from.texts();
    const nulls = from.long() === 0 ? null : from.texts();
    if (seen === null) return null;
    if (nulls !== null) this.row.completeShared(seen, nulls, canonical);
    return without(seen, missing) as Row;
  }

  private writeAgreed(to: BinaryWriter, agreed: Member['agreed']): void {
    const fields = Object.keys(agreed);
    if (fields.length > 0) {
      to.long(fields.length);
      for (const field of fields) {
        to.text(field);
        this.agreed.write(to, agreed[field]);
      }
    }
    to.byte(0);
  }

  private readAgreed(from: BinaryReader): Record<string, FieldValue> {
    const agreed: Record<string, FieldValue> = {};
    for (let count = from.count(); count > 0; count = from.count()) {
      for (; count > 0; count--) agreed[from.text()] = this.agreed.read(from);
    }
    return agreed;
  }

  private writeHolds(to: BinaryWriter, holds: readonly Hold[]): void {
    if (holds.length > 0) {
      to.long(holds.length);
      for (const hold of holds) {
        to.text(hold.reason);
        to.textOrNull(hold.group);
        to.text(hold.detail);
        to.longOrNull(hold.sinceMicros);
        to.byte(hold.lasting ? 1 : 0);
        to.byte(hold.attempt === null ? 0 : 2);
        if (hold.attempt !== null) this.commands.writeAttempt(to, hold.attempt);
        to.textOrNull(hold.blocking);
      }
    }
    to.byte(0);
  }

  private readHolds(from: BinaryReader): readonly Hold[] {
    const holds: Hold[] = [];
    for (let count = from.count(); count > 0; count = from.count()) {
      for (; count > 0; count--) {
        holds.push({
          reason: from.text() as Hold['reason'],
          group: from.textOrNull(),
          detail: from.text(),
          sinceMicros: from.longOrNull(),
          lasting: from.byte() === 1,
          attempt: from.long() === 0 ? null : (this.commands.readAttempt(from) satisfies Attempt),
          blocking: from.textOrNull(),
        });
      }
    }
    return holds;
  }

  private writeEnding(to: BinaryWriter, { transaction, timeMicros, key, seen }: Ending): void {
    to.text(transaction);
    to.longOrNull(timeMicros);
    to.text(key);
    this.row.write(to, seen);
    to.texts(this.row.missing(seen));
  }

  private readEnding(from: BinaryReader): Ending {
    const transaction = from.text();
    const timeMicros = from.longOrNull();
    const key = from.text();
    const seen = this.row.read(from);
    return { transaction, timeMicros, key, seen: without(seen, from.texts()) as Row };
  }
}

const NONE: readonly string[] = Object.freeze([]);

function writeCounts(to: BinaryWriter, counts: Readonly<Record<string, number>>): void {
  const names = Object.keys(counts);
  if (names.length > 0) {
    to.long(names.length);
    for (const name of names) {
      to.text(name);
      to.long(counts[name]!);
    }
  }
  to.byte(0);
}

function readCounts(from: BinaryReader): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let count = from.count(); count > 0; count = from.count()) {
    for (; count > 0; count--) counts[from.text()] = from.long();
  }
  return counts;
}

/** The record in a union with null. */
export function recordOf(type: AvroSchema): AvroRecord {
  return (type as readonly AvroSchema[])[1] as AvroRecord;
}

/** The record that a field of a record is. */
export function fieldOf(record: AvroRecord, name: string): AvroRecord {
  return record.fields.find((field) => field.name === name)!.type as AvroRecord;
}
