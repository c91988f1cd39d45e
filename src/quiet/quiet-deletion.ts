import { HEADER_BYTES } from '../avro/codec.js';
import { MAX_FORMER_KEYS, withKey } from '../decision/canonical.js';
import { dayOf, entry } from '../decision/entries.js';
import { SHARE } from '../decision/settle.js';
import type { StateRecord, SyncRecord } from '../decision/state.js';
import { BinaryReader } from '../state/binary/bytes.js';
import type { ByteState } from '../state/contract.js';
import type { ChangeImage } from './change-image.js';
import type { MemberImage } from './link-image.js';
import { NO_ENTRIES, syncAfter, type QuietDecision, type QuietPut } from './quiet-decision.js';
import { allAtRest, isOfOneLink, isShared, recordEntry, type QuietEntity, type QuietSystem } from './quiet-entity.js';
import { ASSIGNED, writeKey } from './member-writer.js';
import type { QuietMessages, QuietWriter } from './quiet-writer.js';
import { sameBytes } from './row-layout.js';
import { avroText } from './skimmer.js';
import type { Teller, Told } from './told.js';

const DELETE = avroText('delete');

/** More deletions of one transaction than this are left to the decision, which takes them in shares … */
const MOST_DELETIONS = 50;
/** … and so are those of links with so many bytes. */
const MOST_BYTES = 1 << 20;

/**
 * The usual deletion: a record that all systems agreed on is deleted in one, its transaction ends, and the commands that
 * delete it elsewhere are carried out (rules 5 and 11 with nothing standing against).
 *
 *   delete ─▶ ending ─▶ end of the transaction ─▶ deleted, commands ─▶ outcome ─▶ tombstone
 */
export class QuietDeletion {
  private readonly reader = new BinaryReader();

  constructor(
    private readonly messages: QuietMessages,
    private readonly teller: Teller,
    private readonly state: ByteState<StateRecord>,
  ) {}

  /** A record was deleted: it may yet prove to be half of a key change. The entity's image shows the link. */
  begin(
    entity: QuietEntity,
    system: QuietSystem,
    change: ChangeImage,
    linkKey: string,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { image } = entity;
    const { member } = system;
    const { buf } = image;
    const timeMicros = change.commitTimeMicros;
    if (timeMicros === null || !image.isPresent || !allAtRest(entity)) return null;
    const bytes = this.messages.make(image.schemaId, (to) => {
      to.copy(buf, HEADER_BYTES, member.start);
      writeGone(to, member);
      to.copy(buf, member.matchStart, member.matchEnd);
      to.zeros(3);
      to.copy(buf, member.formerStart, member.formerEnd);
      to.byte(2);
      to.copy(change.buf, change.transactionStart, change.transactionEnd);
      to.longOrNull(timeMicros);
      to.copy(buf, member.keyStart, member.keyEnd);
      this.writeRow(to, entity, system);
      to.long(member.snapshot);
      to.long(sync.lastCommand);
      to.copy(buf, member.transactionStart, buf.length);
    });
    const gone = [recordEntry(entity, system, this.text(buf, member.keyStart)), entry.has(system.name, entity.name)];
    const transaction = this.text(change.buf, change.transactionStart);
    const link = buf.subarray(image.idStart, image.idEnd);
    if (!image.read(bytes)) return null;
    return {
      system: system.name,
      commitTimeMicros: timeMicros,
      puts: [{ key: linkKey, bytes, gone, come: [entry.ending(system.name, entity.name, transaction)] }],
      sync: syncAfter(sync, timeMicros, null),
      outputs: [this.teller.canonical(entity, link)],
    };
  }

  /** A transaction is over: what it deleted stays deleted, and is deleted elsewhere. */
  end(entity: QuietEntity, system: QuietSystem, change: ChangeImage, sync: SyncRecord): QuietDecision | null {
    const { commitTimeMicros } = change;
    const timeMicros = commitTimeMicros ?? sync.timeMicros;
    const transaction = this.text(change.buf, change.transactionStart);
    const ending = entry.ending(system.name, entity.name, transaction);
    const most = mostDeletions(entity);
    const keys = this.state.indexed(ending, { limit: most });
    if (keys.length === most) return null;
    const puts: QuietPut[] = [];
    const outputs: Told[] = [];
    let { lastCommand } = sync;
    let read = 0;
    for (const key of keys) {
      const bytes = this.state.bytes(key);
      if (bytes === undefined || !entity.image.read(bytes)) return null;
      read += bytes.length;
      if (read > MOST_BYTES) return null;
      if (!this.isSettled(entity, system, change) || !this.isAlone(entity, key) || !this.hasRoom(bytes, system)) {
        return null;
      }
      puts.push(this.deleted(entity, system, key, sync, lastCommand, ending));
      const link = bytes.subarray(entity.image.idStart, entity.image.idEnd);
      for (const other of entity.systems) {
        if (other === system) continue;
        lastCommand++;
        outputs.push(this.command(entity, other, link, `${sync.birth}.${lastCommand}`, timeMicros));
      }
      outputs.push(this.teller.tombstone(entity, link));
    }
    return {
      system: system.name,
      commitTimeMicros,
      puts,
      sync: syncAfter(sync, timeMicros, lastCommand === sync.lastCommand ? null : { lastCommand }),
      outputs,
    };
  }

  /** A deletion of ours was carried out, the last of its link. The entity's image shows the link. */
  confirm(
    entity: QuietEntity,
    system: QuietSystem,
    linkKey: string,
    sync: SyncRecord,
    timeMicros: number,
  ): QuietDecision | null {
    const { image } = entity;
    const { member } = system;
    const { buf } = image;
    const { command, moves } = member;
    if (command.linkMoves !== image.moves || command.memberMoves !== moves) return null;
    if (image.isPresent || !member.hasSeen || !isDeletion(buf, member) || !this.isAlone(entity, linkKey)) return null;
    if (!entity.systems.every((other) => other === system || isGone(other.member))) return null;
    if (!this.hasRoom(buf, system)) return null;
    const key = this.text(buf, member.keyStart);
    const former = this.texts(buf, member.formerStart);
    const bytes = this.messages.make(image.schemaId, (to) => {
      to.copy(buf, HEADER_BYTES, image.deletionsStart);
      // No deletions any more, no rewrites.
      to.zeros(2);
      to.copy(buf, image.movesStart, image.movesEnd);
      to.longOrNull(timeMicros);
      to.copy(buf, image.membersStart, member.start);
      writeGone(to, member);
      to.zeros(4);
      to.texts(withKey(former, key));
      to.byte(0);
      to.long(member.snapshot);
      to.long(sync.lastCommand);
      to.copy(buf, member.transactionStart, buf.length);
    });
    const day = dayOf(timeMicros);
    const values = new Set(this.texts(buf, member.matchStart).map((match) => entry.value(entity.name, match)));
    const gone = [
      recordEntry(entity, system, key),
      entry.has(system.name, entity.name),
      ...values,
      entry.dead(entity.name),
    ];
    const come = [...formerEntry(entity, system, former, key), entry.tombstone(day)];
    const isOldest = sync.oldestTombstoneDay === null || day < sync.oldestTombstoneDay;
    return {
      system: system.name,
      commitTimeMicros: timeMicros,
      puts: [{ key: linkKey, bytes, gone, come }],
      sync: syncAfter(sync, timeMicros, isOldest ? { oldestTombstoneDay: day } : null),
      outputs: [],
    };
  }

  /** Nothing but the deletion has happened to the link, and everybody else is to delete it for good. */
  private isSettled({ image, index, systems }: QuietEntity, system: QuietSystem, change: ChangeImage): boolean {
    const { agreed, command, ending } = system.member;
    if (!image.isPresent || image.deletionsEnd - image.deletionsStart !== 1 || index.plan.children.length > 0)
      return false;
    if (!system.index.reads || !ending.isThere || command.isThere || agreed > 0) return false;
    const { transactionStart, transactionEnd } = ending;
    const { buf } = change;
    if (!sameBytes(buf, change.transactionStart, change.transactionEnd, image.buf, transactionStart, transactionEnd)) {
      return false;
    }
    return systems.every((other) => {
      if (other === system) return true;
      const { plan } = other.index;
      return other.member.isAtRest && isShared(other, image.buf) && plan.written && plan.delete === 'hard';
    });
  }

  private deleted(
    entity: QuietEntity,
    system: QuietSystem,
    linkKey: string,
    sync: SyncRecord,
    lastCommand: number,
    ending: string,
  ): QuietPut {
    const { image } = entity;
    const { buf } = image;
    const { member } = system;
    const key = this.text(buf, member.ending.keyStart);
    const former = this.texts(buf, member.formerStart);
    const moves = image.moves + 1;
    const bytes = this.messages.make(image.schemaId, (to) => {
      let number = lastCommand;
      to.copy(buf, HEADER_BYTES, image.idEnd);
      to.piece(DELETED);
      to.copy(buf, image.existenceEnd, image.deletionsStart);
      to.long(1);
      to.long(system.number);
      to.text(key);
      to.longOrNull(member.ending.timeMicros);
      to.zeros(2);
      to.long(moves);
      to.byte(0);
      for (const one of entity.systems) {
        if (one === system) writeDeleted(to, buf, member, withKey(former, key), sync.lastCommand);
        else this.writeTarget(to, entity, one, `${sync.birth}.${++number}`, moves);
      }
      image.end(to);
    });
    const left = new Set<string>();
    for (const one of entity.systems) if (one !== system) for (const match of this.matches(buf, one)) left.add(match);
    const were = new Set([...this.texts(buf, image.matchStart), ...this.matches(buf, system)]);
    const gone = [...were].filter((match) => !left.has(match)).map((match) => entry.value(entity.name, match));
    return {
      key: linkKey,
      bytes,
      gone: [ending, ...gone],
      come: [...formerEntry(entity, system, former, key), entry.dead(entity.name)],
    };
  }

  private writeTarget(to: QuietWriter, entity: QuietEntity, system: QuietSystem, command: string, moves: number): void {
    const { buf } = entity.image;
    const { member } = system;
    to.copy(buf, member.start, member.agreedStart);
    to.byte(0);
    to.copy(buf, member.matchStart, member.matchEnd);
    to.byte(2);
    to.text(command);
    to.piece(DELETE);
    to.byte(0);
    writeKey(to, buf, member.keyStart, member.keyEnd);
    to.byte(0);
    this.writeExpect(to, entity, system);
    to.byte(0);
    to.long(member.moves);
    to.long(moves);
    // No setters, no holds, not kept.
    to.zeros(3);
    to.copy(buf, member.formerStart, member.end);
  }

  private command(entity: QuietEntity, system: QuietSystem, link: Buffer, id: string, timeMicros: number): Told {
    const { member } = system;
    const { buf } = entity.image;
    return this.teller.command(system, entity, link, {
      id,
      operation: 2,
      timeMicros,
      key: (to) => writeKey(to, buf, member.keyStart, member.keyEnd),
      set: (to) => to.byte(0),
      expect: (to) => this.writeExpect(to, entity, system),
      absent: (to) => to.byte(0),
    });
  }

  /** Every mapped column, as it was seen. */
  private writeExpect(to: QuietWriter, { image }: QuietEntity, { columns }: QuietSystem): void {
    to.long(columns.length);
    for (const { mapped, field } of columns) {
      to.text(mapped.column);
      this.reader.begin(image.buf, image.fields[field]!);
      ASSIGNED.write(to, image.canonical.forms[field]!.read(this.reader));
    }
    to.byte(0);
  }

  /** The whole row, which is the canonical's but for what is not mapped, and nothing missing in it. */
  private writeRow(to: QuietWriter, { image }: QuietEntity, { member, byPlace }: QuietSystem): void {
    const { buf, canonical, fields } = image;
    for (let place = 0; place < member.row.length; place++) {
      const column = byPlace[place]!;
      if (column === null) to.copy(buf, member.seen[place]!, member.seen[place + 1]!);
      else if (column.sameForm) to.copy(buf, fields[column.field]!, fields[column.field + 1]!);
      else {
        this.reader.begin(buf, fields[column.field]!);
        member.row.forms[place]!.write(to, canonical.forms[column.field]!.read(this.reader));
      }
    }
    to.copy(buf, member.missingStart, member.missingEnd);
  }

  /** No other link has to do with its match values. */
  private isAlone(entity: QuietEntity, linkKey: string): boolean {
    const { buf, matchStart } = entity.image;
    const isOurs = (match: string) => isOfOneLink(this.state, entity.name, match, linkKey);
    if (!this.texts(buf, matchStart).every(isOurs)) return false;
    return entity.systems.every((system) => !system.member.isThere || this.matches(buf, system).every(isOurs));
  }

  /** One more former key drives out none. */
  private hasRoom(buf: Buffer, { member }: QuietSystem): boolean {
    return this.texts(buf, member.formerStart).length < MAX_FORMER_KEYS;
  }

  private matches(buf: Buffer, { member }: QuietSystem): readonly string[] {
    return this.texts(buf, member.matchStart);
  }

  private texts(buf: Buffer, at: number): readonly string[] {
    this.reader.begin(buf, at);
    return this.reader.texts();
  }

  private text(buf: Buffer, at: number): string {
    this.reader.begin(buf, at);
    return this.reader.text();
  }
}

const DELETED = avroText('deleted');

/** Each brings its link and its match values to be looked at again, of which a step of the decision does so many. */
function mostDeletions({ index }: QuietEntity): number {
  return Math.min(MOST_DELETIONS, Math.floor(SHARE.consequences / (index.plan.match.length + 1)));
}

function isDeletion(buf: Buffer, { command }: MemberImage): boolean {
  const { isThere, operationStart } = command;
  return isThere && sameBytes(DELETE, 0, DELETE.length, buf, operationStart, operationStart + DELETE.length);
}

function isGone({ isThere, hasSeen, agreed, command, ending, matchStart, matchEnd }: MemberImage): boolean {
  return !isThere || (!hasSeen && agreed === 0 && !command.isThere && !ending.isThere && matchEnd - matchStart === 1);
}

function formerEntry(
  entity: QuietEntity,
  system: QuietSystem,
  former: readonly string[],
  key: string,
): readonly string[] {
  return former.includes(key) ? NO_ENTRIES : [entry.former(system.name, entity.name, key)];
}

/** A member that has no record any more, up to what agreed with it. */
function writeGone(to: QuietWriter, { moves }: MemberImage): void {
  to.byte(2);
  // No key, no row with what is missing and null in it.
  to.zeros(4);
  to.long(moves + 1);
  to.byte(0);
}

function writeDeleted(
  to: QuietWriter,
  buf: Buffer,
  member: MemberImage,
  former: readonly string[],
  lastCommand: number,
): void {
  writeGone(to, member);
  // No match values, no command in flight, no holds, not kept.
  to.zeros(4);
  to.texts(former);
  to.byte(0);
  to.long(member.snapshot);
  to.long(lastCommand);
  to.copy(buf, member.transactionStart, member.end);
}
