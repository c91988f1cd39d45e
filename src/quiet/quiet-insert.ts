import { entry } from '../decision/entries.js';
import { linkKey, waitingKey, type StateRecord, type SyncRecord } from '../decision/state.js';
import { matchValue } from '../mapping/normalise.js';
import { recordKey, type Row, type Value } from '../model/value.js';
import { BinaryReader } from '../state/binary/bytes.js';
import type { ByteState } from '../state/contract.js';
import type { ChangeImage } from './change-image.js';
import { NO_ENTRIES, syncAfter, type QuietDecision } from './quiet-decision.js';
import { recordEntry, snapshotNumber, type QuietEntity, type QuietSystem } from './quiet-entity.js';
import { ASSIGNED } from './member-writer.js';
import type { QuietMessages, QuietWriter } from './quiet-writer.js';
import { avroText } from './skimmer.js';
import type { Teller, Told } from './told.js';

/** A system that gets the new record. */
interface Target {
  readonly system: QuietSystem;
  readonly command: string;
  /** Columns of the insert, in the order of the plan. */
  readonly set: readonly (readonly [column: string, value: Value])[];
  /** Null: the database makes it. */
  readonly key: string | null;
  readonly match: readonly string[];
  /** Rows that must not be there. */
  readonly absent: readonly Row[];
}

/** What a new record says, and what is to be done. */
interface NewLink {
  readonly id: string;
  readonly values: readonly Value[];
  readonly match: readonly string[];
  readonly targets: readonly Target[];
}

/**
 * The usual insert: a record that nobody knows, whose match values nobody has. It gets a link of its own, and every other
 * system one command (rule 1 with nothing to match, rule 3 with nothing in the way).
 */
export class QuietInsert {
  private readonly reader = new BinaryReader();

  constructor(
    private readonly messages: QuietMessages,
    private readonly teller: Teller,
    private readonly state: ByteState<StateRecord>,
  ) {}

  /** Null where more is to be decided. */
  decide(
    entity: QuietEntity,
    system: QuietSystem,
    change: ChangeImage,
    key: string,
    sync: SyncRecord,
  ): QuietDecision | null {
    const timeMicros = change.commitTimeMicros;
    const { plan } = entity.index;
    if (timeMicros === null || !system.index.reads || plan.children.length > 0) return null;
    if (!this.isUnknown(entity, system, key)) return null;
    const values = this.values(entity, system, change);
    if (values === null) return null;
    const match = matchesOf(entity, values, () => true);
    for (const value of match) if (this.state.indexed(entry.value(entity.name, value), ONE).length > 0) return null;
    const targets = this.targets(entity, system, values, sync);
    if (targets === null) return null;
    const number = sync.lastLink + 1;
    const link = { id: `${sync.birth}.${String(number).padStart(12, '0')}`, values, match, targets };
    const bytes = this.link(entity, system, change, key, link, sync);
    if (!entity.image.read(bytes)) return null;
    const id = avroText(link.id);
    const outputs: Told[] = targets.map((target) => this.command(target, entity, id, timeMicros));
    outputs.push(this.teller.canonical(entity, id));
    const come = [
      ...match.map((value) => entry.value(entity.name, value)),
      recordEntry(entity, system, key),
      entry.has(system.name, entity.name),
    ];
    const lastCommand = sync.lastCommand + targets.length;
    return {
      system: system.name,
      commitTimeMicros: timeMicros,
      puts: [{ key: linkKey(link.id), bytes, gone: NO_ENTRIES, come }],
      sync: syncAfter(sync, timeMicros, { lastLink: number, lastCommand }),
      outputs,
    };
  }

  private isUnknown(entity: QuietEntity, system: QuietSystem, key: string): boolean {
    if (this.state.indexed(recordEntry(entity, system, key), ONE).length > 0) return false;
    return this.state.get(waitingKey(system.name, entity.name, key)) === undefined;
  }

  /** By the places of the canonical's fields. Null where the row does not tell one, or as something else. */
  private values(
    { image }: QuietEntity,
    { byField }: QuietSystem,
    { after, buf, row }: ChangeImage,
  ): readonly Value[] | null {
    const { reader } = this;
    reader.begin(buf, 0);
    const values: Value[] = [];
    for (let field = 0; field < image.canonical.length; field++) {
      const column = byField[field]!;
      if (column === null) return null;
      reader.pos = after[column.place]!;
      const value = row.forms[column.place]!.read(reader) as Value;
      if (column.mapped.converter.toField(value) !== value) return null;
      values.push(value);
    }
    return values;
  }

  private targets(
    entity: QuietEntity,
    source: QuietSystem,
    values: readonly Value[],
    sync: SyncRecord,
  ): readonly Target[] | null {
    const targets: Target[] = [];
    for (const system of entity.systems) {
      const { plan } = system.index;
      if (system === source || !plan.written) continue;
      const set: [string, Value][] = system.constants.map(({ column, value }) => [column, value]);
      for (const { mapped, field, fillsItself } of system.columns) {
        if (!mapped.write) continue;
        const value = values[field]!;
        const { converter } = mapped;
        if (converter.toColumn(value) !== value || converter.toField(value) !== value) return null;
        if (value !== null || !fillsItself) set.push([mapped.column, value]);
      }
      const row: Row = Object.fromEntries(set);
      const hasKey = plan.shape.key.every((column) => (row[column] ?? null) !== null);
      if (!hasKey && !plan.generatesKey) return null;
      targets.push({
        system,
        command: `${sync.birth}.${sync.lastCommand + targets.length + 1}`,
        set,
        key: hasKey ? recordKey(row, plan.shape.key) : null,
        match: matchesOf(entity, values, (field) => system.byField[field]?.mapped.write === true),
        absent: absentRows(entity, system, row),
      });
    }
    return targets;
  }

  private link(
    entity: QuietEntity,
    system: QuietSystem,
    change: ChangeImage,
    key: string,
    { id, values, match, targets }: NewLink,
    sync: SyncRecord,
  ): Buffer {
    const { image, fieldTexts } = entity;
    const { canonical } = image;
    return this.messages.make(image.schemaId, (to) => {
      image.begin(to);
      to.text(id);
      to.text('present');
      to.text('open');
      for (let field = 0; field < fieldTexts.length; field++) {
        const { place, sameForm } = system.byField[field]!;
        if (sameForm) to.copy(change.buf, change.after[place]!, change.after[place + 1]!);
        else canonical.forms[field]!.write(to, values[field]);
      }
      to.byte(0);
      for (let group = 0; group < image.setters.length - 1; group++) {
        to.byte(2);
        to.long(system.number);
        to.longOrNull(change.commitTimeMicros);
      }
      to.texts(match);
      // No first match values, deletions, rewrites; it has moved once, and is no tombstone.
      to.zeros(3);
      to.long(1);
      to.byte(0);
      for (const one of entity.systems) {
        const target = targets.find((each) => each.system === one);
        if (one === system) writeNew(to, system, change, key, match, snapshotNumber(system, sync), sync.lastCommand);
        else if (target === undefined) to.byte(0);
        else writeTarget(to, target);
      }
      image.end(to);
    });
  }

  private command(target: Target, entity: QuietEntity, link: Buffer, timeMicros: number): Told {
    return this.teller.command(target.system, entity, link, {
      id: target.command,
      operation: 0,
      timeMicros,
      key: (to) => to.textOrNull(target.key),
      set: (to) => writeAssignments(to, target.set),
      expect: (to) => to.byte(0),
      absent: (to) => {
        if (target.absent.length > 0) {
          to.long(target.absent.length);
          for (const row of target.absent) writeAssignments(to, Object.entries(row));
        }
        to.byte(0);
      },
    });
  }
}

const ONE = { limit: 1 };

/** Match values of the canonical, by the rules all of whose fields are there. */
function matchesOf(
  { index, image }: QuietEntity,
  values: readonly Value[],
  isThere: (field: number) => boolean,
): readonly string[] {
  const found: string[] = [];
  for (const rule of index.plan.match) {
    const places = rule.on.map((name) => image.canonical.names.indexOf(name));
    const value = matchValue(
      rule,
      places.map((field) => (isThere(field) ? values[field]! : null)),
    );
    if (value !== null) found.push(`${rule.name}=${value}`);
  }
  return found;
}

/** As the decision asks for them (`absentRows` in reconcile.ts); without a flag for deleted records. */
function absentRows({ index }: QuietEntity, { index: system }: QuietSystem, set: Row): readonly Row[] {
  const rows: Row[] = [];
  for (const { on } of index.plan.match) {
    const columns = on.map((field) => system.byField.get(field)?.column);
    if (columns.some((column) => column === undefined || (set[column] ?? null) === null)) continue;
    rows.push(Object.fromEntries(columns.map((column) => [column!, set[column!]!])));
  }
  return rows;
}

function writeAssignments(to: QuietWriter, set: readonly (readonly [string, Value])[]): void {
  if (set.length > 0) {
    to.long(set.length);
    for (const [column, value] of set) {
      to.text(column);
      ASSIGNED.write(to, value);
    }
  }
  to.byte(0);
}

/** The member of the system where the record came to be. */
function writeNew(
  to: QuietWriter,
  { byPlace }: QuietSystem,
  change: ChangeImage,
  key: string,
  match: readonly string[],
  snapshot: number,
  lastCommand: number,
): void {
  to.byte(2);
  to.textOrNull(key);
  to.byte(2);
  for (let column = 0; column < byPlace.length; column++) {
    if (byPlace[column] !== null) to.byte(0);
    else to.copy(change.buf, change.after[column]!, change.after[column + 1]!);
  }
  to.zeros(1);
  to.byte(2);
  to.zeros(1);
  to.long(1);
  to.byte(0);
  to.texts(match);
  // No command in flight, no holds, not kept, no former keys, not ending.
  to.zeros(5);
  to.long(snapshot);
  to.long(lastCommand);
  to.byte(2);
  to.copy(change.buf, change.transactionStart, change.transactionEnd);
}

/** A member without a record yet, whose insert is in flight. */
function writeTarget(to: QuietWriter, { command, set, key, match }: Target): void {
  to.byte(2);
  // No key, no row with what is missing and null in it, not moved, nothing agreed, no match values.
  to.zeros(7);
  to.byte(2);
  to.text(command);
  to.text('insert');
  to.byte(0);
  to.textOrNull(key);
  writeAssignments(to, set);
  to.byte(0);
  to.texts(match);
  to.long(0);
  to.long(1);
  to.byte(0);
  // No holds, not kept, no former keys, not ending, in no snapshot, never moved, in no transaction.
  to.zeros(7);
}
