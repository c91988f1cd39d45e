import { HEADER_BYTES } from '../avro/codec.js';
import type { FieldValue } from '../decision/events.js';
import type { SyncRecord } from '../decision/state.js';
import type { Value } from '../model/value.js';
import { BinaryReader } from '../state/binary/bytes.js';
import { ValueForm } from '../state/binary/values.js';
import type { ChangeImage } from './change-image.js';
import type { LinkImage } from './link-image.js';
import { ASSIGNED, writeAtRest, writeKey } from './member-writer.js';
import { NO_ENTRIES, syncAfter, type QuietDecision } from './quiet-decision.js';
import { allAtRest, snapshotNumber, type QuietColumn, type QuietEntity, type QuietSystem } from './quiet-entity.js';
import type { QuietMessages, QuietWriter } from './quiet-writer.js';
import { sameBytes } from './row-layout.js';
import type { Teller, Told } from './told.js';

/** A field whose value an update changes. */
interface ChangedField {
  readonly source: QuietColumn;
  readonly from: Value;
  readonly to: Value;
}

/** A member that is to be written, and its command. */
interface Target {
  readonly system: QuietSystem;
  readonly command: string;
  /** Those of the changed fields that it has. */
  readonly changed: readonly { readonly column: QuietColumn; readonly from: Value; readonly to: Value }[];
}

/**
 * The usual update: a row has changed in one system, all systems agreed before, and nothing else concerns the link. The
 * new values become the canonical's, and every other system gets one command (rules 5 and 6 with nothing standing against).
 */
export class QuietUpdate {
  private readonly reader = new BinaryReader();
  private readonly older = new BinaryReader();

  constructor(
    private readonly messages: QuietMessages,
    private readonly teller: Teller,
  ) {}

  /** Null where more is to be decided. The entity's image shows the link. */
  decide(
    entity: QuietEntity,
    system: QuietSystem,
    change: ChangeImage,
    linkKey: string,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { image } = entity;
    const timeMicros = change.commitTimeMicros;
    if (timeMicros === null || !image.isPresent || !allAtRest(entity)) return null;
    const changed = this.changed(image, system, change);
    if (changed === null) return null;
    const targets = this.targets(entity, system, changed, sync);
    if (targets === null) return null;
    const link = image.buf.subarray(image.idStart, image.idEnd);
    const outputs: Told[] = [];
    for (const target of targets) outputs.push(this.command(target, entity, link, timeMicros));
    const snapshot = snapshotNumber(system, sync);
    const bytes = this.messages.make(image.schemaId, (to) => {
      this.writeCanonical(to, image, system, change, changed, timeMicros);
      for (const one of entity.systems) {
        const target = targets.find(({ system: written }) => written === one);
        if (one === system) writeEdited(to, image.buf, system, change, snapshot, sync.lastCommand);
        else if (target === undefined) to.copy(image.buf, one.member.start, one.member.end);
        else writeTarget(to, image, target, image.moves + changed.length);
      }
      to.copy(image.buf, image.members.at(-1)!.end, image.buf.length);
    });
    if (changed.length > 0) {
      if (!image.read(bytes)) return null;
      outputs.push(this.teller.canonical(entity, link));
    }
    const lastCommand = sync.lastCommand + targets.length;
    return {
      system: system.name,
      commitTimeMicros: timeMicros,
      puts: [{ key: linkKey, bytes, gone: NO_ENTRIES, come: NO_ENTRIES }],
      sync: syncAfter(sync, timeMicros, targets.length === 0 ? null : { lastCommand }),
      outputs,
    };
  }

  /** In the order in which the decision merges them. Null where one of them is more than a value that changes. */
  private changed(image: LinkImage, system: QuietSystem, change: ChangeImage): readonly ChangedField[] | null {
    const { buf, fields } = image;
    const changed: ChangedField[] = [];
    const { after } = change;
    for (const column of system.columns) {
      const start = after[column.place]!;
      const end = after[column.place + 1]!;
      const known = fields[column.field]!;
      const knownEnd = fields[column.field + 1]!;
      if (column.sameForm && sameBytes(change.buf, start, end, buf, known, knownEnd)) continue;
      const to = this.value(this.reader, change.buf, start, change.row.forms[column.place]!);
      const from = this.value(this.older, buf, known, image.canonical.forms[column.field]!);
      if (to === from) continue;
      const { converter } = column.mapped;
      if (!column.isFree || converter.toField(to) !== to || converter.toColumn(to) !== to) return null;
      // What the system shows in several ways: perhaps nothing has changed.
      if (converter.comparable(from) !== from) return null;
      changed.push({ source: column, from, to });
    }
    return changed;
  }

  private value(reader: BinaryReader, buf: Buffer, at: number, form: ValueForm): Value {
    if (reader.buf !== buf) reader.begin(buf, at);
    reader.pos = at;
    // References are not on the quiet path.
    return form.read(reader) as Exclude<FieldValue, object>;
  }

  private targets(
    entity: QuietEntity,
    source: QuietSystem,
    changed: readonly ChangedField[],
    sync: SyncRecord,
  ): readonly Target[] | null {
    const targets: Target[] = [];
    for (const system of entity.systems) {
      if (system === source || changed.length === 0) continue;
      const own: { column: QuietColumn; from: Value; to: Value }[] = [];
      for (const { source: of, from, to } of changed) {
        const column = system.byField[of.field]!;
        if (column === null) continue;
        const { converter } = column.mapped;
        if (converter.toColumn(to) !== to || converter.comparable(from) !== from) return null;
        own.push({ column, from, to });
      }
      if (own.length === 0) continue;
      // Who is not written, and does not agree any more, is not at rest.
      if (!system.index.plan.written) return null;
      const command = `${sync.birth}.${sync.lastCommand + targets.length + 1}`;
      targets.push({ system, command, changed: own });
    }
    return targets;
  }

  private writeCanonical(
    to: QuietWriter,
    image: LinkImage,
    system: QuietSystem,
    change: ChangeImage,
    changed: readonly ChangedField[],
    timeMicros: number,
  ): void {
    const { buf, canonical, fields, setters } = image;
    to.copy(buf, HEADER_BYTES, image.matchingEnd);
    for (let field = 0; field < canonical.length; field++) {
      const one = changed.find(({ source }) => source.field === field);
      if (one === undefined) to.copy(buf, fields[field]!, fields[field + 1]!);
      else if (one.source.sameForm) {
        to.copy(change.buf, change.after[one.source.place]!, change.after[one.source.place + 1]!);
      } else canonical.forms[field]!.write(to, one.to);
    }
    to.byte(0);
    for (let group = 0; group < setters.length - 1; group++) {
      if (changed.some(({ source }) => source.group === group)) {
        to.byte(2);
        to.long(system.number);
        to.longOrNull(timeMicros);
      } else to.copy(buf, setters[group]!, setters[group + 1]!);
    }
    to.copy(buf, image.matchStart, image.movesStart);
    to.long(image.moves + changed.length);
    to.byte(0);
  }

  private command({ system, command, changed }: Target, entity: QuietEntity, link: Buffer, timeMicros: number): Told {
    const { member } = system;
    const { buf } = entity.image;
    return this.teller.command(system, entity, link, {
      id: command,
      operation: 1,
      timeMicros,
      key: (to) => writeKey(to, buf, member.keyStart, member.keyEnd),
      set: (to) => writeSet(to, changed),
      expect: (to) => writeExpect(to, system, changed),
      absent: (to) => to.byte(0),
    });
  }
}

/** The member of the system that was edited: its row is the canonical's but for columns that are not mapped. */
function writeEdited(
  to: QuietWriter,
  buf: Buffer,
  { member, byPlace }: QuietSystem,
  change: ChangeImage,
  snapshot: number,
  lastCommand: number,
): void {
  to.copy(buf, member.start, member.keyEnd);
  to.byte(2);
  for (let column = 0; column < byPlace.length; column++) {
    if (byPlace[column] !== null) to.byte(0);
    else to.copy(change.buf, change.after[column]!, change.after[column + 1]!);
  }
  // Nothing is missing, and nothing null that is not so in the canonical.
  to.zeros(1);
  to.byte(2);
  to.zeros(1);
  writeAtRest(to, buf, member, member, snapshot, lastCommand);
}

/** A member that is to be written: it shows the old values, knows where both met, and has a command in flight. */
function writeTarget(to: QuietWriter, image: LinkImage, target: Target, linkMoves: number): void {
  const { buf, fields } = image;
  const { system, changed } = target;
  const { member, byPlace } = system;
  to.copy(buf, member.start, member.keyEnd);
  to.byte(2);
  let nulls = 0;
  for (let place = 0; place < byPlace.length; place++) {
    const one = byPlace[place] !== null ? changed.find(({ column }) => column.place === place) : undefined;
    if (byPlace[place] === null) to.copy(buf, member.seen[place]!, member.seen[place + 1]!);
    else if (one === undefined) to.byte(0);
    else if (one.column.sameForm) to.copy(buf, fields[one.column.field]!, fields[one.column.field + 1]!);
    else member.row.forms[place]!.write(to, one.from);
    if (one?.from === null) nulls++;
  }
  to.copy(buf, member.missingStart, member.missingEnd);
  to.byte(2);
  if (nulls > 0) {
    to.long(nulls);
    for (const name of member.row.names) {
      if (changed.some(({ column, from }) => from === null && column.mapped.column === name)) to.text(name);
    }
  }
  to.byte(0);
  to.long(member.moves);
  to.long(changed.length);
  for (const { column, from } of changed) {
    to.text(column.mapped.field);
    ASSIGNED.write(to, from);
  }
  to.byte(0);
  to.copy(buf, member.matchStart, member.matchEnd);
  writeCommandInFlight(to, image, target, linkMoves);
  to.zeros(2);
  to.copy(buf, member.formerStart, member.formerEnd);
  to.byte(0);
  to.long(member.snapshot);
  to.long(member.movedAfter);
  to.copy(buf, member.transactionStart, member.transactionEnd);
}

function writeCommandInFlight(
  to: QuietWriter,
  { buf }: LinkImage,
  { system, command, changed }: Target,
  linkMoves: number,
): void {
  const { member } = system;
  to.byte(2);
  to.text(command);
  to.text('update');
  to.byte(0);
  writeKey(to, buf, member.keyStart, member.keyEnd);
  writeSet(to, changed);
  writeExpect(to, system, changed);
  to.byte(0);
  to.long(member.moves);
  to.long(linkMoves);
  to.byte(0);
}

function writeSet(to: QuietWriter, changed: Target['changed']): void {
  to.long(changed.length);
  for (const { column, to: value } of changed) {
    to.text(column.mapped.column);
    ASSIGNED.write(to, value);
  }
  to.byte(0);
}

/** In the order of the system's columns, as the decision asks for them. */
function writeExpect(to: QuietWriter, { columns }: QuietSystem, changed: Target['changed']): void {
  to.long(changed.length);
  for (const column of columns) {
    const one = changed.find((each) => each.column === column);
    if (one === undefined) continue;
    to.text(column.mapped.column);
    ASSIGNED.write(to, one.from);
  }
  to.byte(0);
}
