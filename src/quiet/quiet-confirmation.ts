import { HEADER_BYTES } from '../avro/codec.js';
import { entry } from '../decision/entries.js';
import type { StateRecord, SyncRecord } from '../decision/state.js';
import type { Value } from '../model/value.js';
import { BinaryReader } from '../state/binary/bytes.js';
import type { ByteState } from '../state/contract.js';
import type { ChangeImage } from './change-image.js';
import type { LinkImage } from './link-image.js';
import { NO_ENTRIES, syncAfter, type QuietDecision } from './quiet-decision.js';
import {
  isOfOneLink,
  knowsMapped,
  recordEntry,
  snapshotNumber,
  type QuietEntity,
  type QuietSystem,
} from './quiet-entity.js';
import { ASSIGNED, writeAtRest } from './member-writer.js';
import type { QuietMessages, QuietWriter } from './quiet-writer.js';
import { sameBytes } from './row-layout.js';
import { avroText } from './skimmer.js';
import type { Teller } from './told.js';

const UPDATE = avroText('update');
const INSERT = avroText('insert');

/** How it is known that a command was carried out. */
export interface Confirming {
  /** The row as the system's own stream shows it; null for an outcome. */
  readonly own: ChangeImage | null;
  /** The record's key, as it stands in a message. */
  readonly key: { readonly buf: Buffer; readonly start: number; readonly end: number };
  readonly timeMicros: number;
}

/**
 * A command of ours was carried out, and nothing has moved since it was made: the system shows the canonical's values
 * (I5).
 */
export class QuietConfirmation {
  private readonly reader = new BinaryReader();
  private readonly assigned = new BinaryReader();
  private readonly values = new BinaryReader();

  constructor(
    private readonly messages: QuietMessages,
    private readonly teller: Teller,
    private readonly state: ByteState<StateRecord>,
  ) {}

  /** Null where more is to be decided. The entity's image shows the link, with the command in flight. */
  decide(
    entity: QuietEntity,
    system: QuietSystem,
    confirming: Confirming,
    linkKey: string,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { image } = entity;
    const { command, ending, moves } = system.member;
    if (!image.isPresent || ending.isThere || command.linkMoves !== image.moves || command.memberMoves !== moves)
      return null;
    if (confirming.own !== null && !this.showsCanonical(image, system, confirming.own)) return null;
    if (isOperation(image, system, UPDATE)) return this.update(entity, system, confirming, linkKey, sync);
    if (isOperation(image, system, INSERT)) return this.insert(entity, system, confirming, linkKey, sync);
    return null;
  }

  private update(
    entity: QuietEntity,
    system: QuietSystem,
    { own, key, timeMicros }: Confirming,
    linkKey: string,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { image } = entity;
    const { member } = system;
    const { buf } = image;
    if (!member.hasSeen || !sameBytes(key.buf, key.start, key.end, buf, member.keyStart, member.keyEnd)) return null;
    if (!this.hasWhatWasSet(image, system)) return null;
    const bytes = this.messages.make(image.schemaId, (to) => {
      to.copy(buf, HEADER_BYTES, member.keyEnd);
      writeRow(to, buf, system, own);
      writeAtRest(to, buf, member, member, snapshotNumber(system, sync), sync.lastCommand);
      to.copy(buf, member.end, buf.length);
    });
    return {
      system: system.name,
      commitTimeMicros: timeMicros,
      puts: [{ key: linkKey, bytes, gone: NO_ENTRIES, come: NO_ENTRIES }],
      sync: syncAfter(sync, timeMicros, null),
      outputs: [],
    };
  }

  private insert(
    entity: QuietEntity,
    system: QuietSystem,
    { own, key, timeMicros }: Confirming,
    linkKey: string,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { image } = entity;
    const { member } = system;
    const { buf } = image;
    if (!this.isAloneAndWhole(entity, system, linkKey)) return null;
    const bytes = this.messages.make(image.schemaId, (to) => {
      to.copy(buf, HEADER_BYTES, member.start);
      to.byte(2);
      to.byte(2);
      to.copy(key.buf, key.start, key.end);
      writeRow(to, buf, system, own);
      // It shows the match values with which it was inserted.
      writeAtRest(to, buf, member, member.command, snapshotNumber(system, sync), sync.lastCommand);
      to.copy(buf, member.end, buf.length);
    });
    const link = buf.subarray(image.idStart, image.idEnd);
    if (!image.read(bytes)) return null;
    this.reader.begin(key.buf, key.start);
    const come = [recordEntry(entity, system, this.reader.text()), entry.has(system.name, entity.name)];
    return {
      system: system.name,
      commitTimeMicros: timeMicros,
      puts: [{ key: linkKey, bytes, gone: NO_ENTRIES, come }],
      sync: syncAfter(sync, timeMicros, null),
      outputs: [this.teller.canonical(entity, link)],
    };
  }

  /** The insert wrote every mapped column, no other record has its match values, and none waits for its outcome (rule 4). */
  private isAloneAndWhole(entity: QuietEntity, system: QuietSystem, linkKey: string): boolean {
    const { image, index } = entity;
    const { member, columns, constants } = system;
    const { command } = member;
    if (member.hasSeen || member.keyStart !== 0 || member.agreed > 0 || index.plan.children.length > 0) return false;
    if (!entity.systems.some((other) => other !== system && other.member.isThere && other.member.hasSeen)) return false;
    const { assigned, reader } = this;
    assigned.begin(image.buf, command.setStart);
    if (command.sets !== constants.length + columns.length || assigned.long() !== command.sets) return false;
    for (const { column, value } of constants) {
      if (assigned.text() !== column || ASSIGNED.read(assigned) !== value) return false;
    }
    for (const { mapped, field } of columns) {
      if (assigned.text() !== mapped.column || ASSIGNED.read(assigned) !== this.canonical(image, field)) return false;
    }
    reader.begin(image.buf, command.idStart);
    if (this.state.indexed(entry.awaiting(reader.text()), ONE).length > 0) return false;
    if (!this.hasMatchesAlone(entity, linkKey, command.matchStart)) return false;
    const { matchStart, matchEnd } = command;
    const isSame = sameBytes(image.buf, image.matchStart, image.matchEnd, image.buf, matchStart, matchEnd);
    return isSame || this.hasMatchesAlone(entity, linkKey, image.matchStart);
  }

  private hasMatchesAlone({ name, image }: QuietEntity, linkKey: string, matchStart: number): boolean {
    const { reader } = this;
    reader.begin(image.buf, matchStart);
    return reader.texts().every((match) => isOfOneLink(this.state, name, match, linkKey));
  }

  /**
   * The command wrote exactly the fields in which the member differs, and in the canonical's own values; all else that
   * is mapped is the canonical's.
   */
  private hasWhatWasSet(image: LinkImage, system: QuietSystem): boolean {
    const { member, byField, columns } = system;
    const { command } = member;
    const { buf, canonical } = image;
    if (command.sets !== member.agreed || !knowsMapped(buf, system)) return false;
    const { assigned, reader } = this;
    assigned.begin(buf, command.setStart);
    reader.begin(buf, member.agreedStart);
    reader.long();
    assigned.long();
    // Of the columns that are told beside the canonical, those that the command did not write.
    let others = member.nulls;
    for (const { place } of columns) if (buf[member.seen[place]!] !== 0) others++;
    for (let each = 0; each < command.sets; each++) {
      const field = canonical.names.indexOf(reader.text());
      ASSIGNED.read(reader);
      const column = byField[field] ?? null;
      if (column === null || column.mapped.inMatch || column.mapped.refersTo !== null) return false;
      if (assigned.text() !== column.mapped.column) return false;
      const value = this.canonical(image, field);
      if (ASSIGNED.read(assigned) !== value) return false;
      // Null in the canonical as well, it would agree.
      if (buf[member.seen[column.place]!] !== 0 || value !== null) others--;
    }
    return others === 0;
  }

  private canonical({ buf, canonical, fields }: LinkImage, field: number): Value {
    const { values } = this;
    values.begin(buf, fields[field]!);
    return canonical.forms[field]!.read(values) as Value;
  }

  private showsCanonical(image: LinkImage, { columns }: QuietSystem, own: ChangeImage): boolean {
    const { buf, fields } = image;
    for (const { place, field, sameForm } of columns) {
      const start = own.after[place]!;
      const end = own.after[place + 1]!;
      if (sameForm && sameBytes(own.buf, start, end, buf, fields[field]!, fields[field + 1]!)) continue;
      if (sameForm) return false;
      this.assigned.begin(own.buf, start);
      if (own.row.forms[place]!.read(this.assigned) !== this.canonical(image, field)) return false;
    }
    return true;
  }
}

const ONE = { limit: 1 };

function isOperation({ buf }: LinkImage, { member }: QuietSystem, operation: Buffer): boolean {
  const { operationStart } = member.command;
  return sameBytes(operation, 0, operation.length, buf, operationStart, operationStart + operation.length);
}

/**
 * A row that is the canonical's but for columns that are not mapped: those are as the stream shows them, as they were, or
 * not known.
 */
function writeRow(to: QuietWriter, buf: Buffer, system: QuietSystem, own: ChangeImage | null): void {
  const { constants, byPlace, member, untold } = system;
  to.byte(2);
  for (let place = 0; place < byPlace.length; place++) {
    if (byPlace[place] !== null) to.byte(0);
    else if (own === null && !member.hasSeen) {
      member.row.forms[place]!.write(to, constants.find((one) => one.place === place)?.value ?? null);
    } else if (own === null) to.copy(buf, member.seen[place]!, member.seen[place + 1]!);
    else to.copy(own.buf, own.after[place]!, own.after[place + 1]!);
  }
  if (own !== null) to.byte(0);
  else if (member.hasSeen) to.copy(buf, member.missingStart, member.missingEnd);
  else to.piece(untold);
  to.byte(2);
  to.byte(0);
}
