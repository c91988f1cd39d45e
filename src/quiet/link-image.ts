import { HEADER_BYTES } from '../avro/codec.js';
import type { AvroField } from '../avro/schema.js';
import type { BinaryWriter } from '../state/binary/bytes.js';
import { fieldOf, recordOf } from '../state/binary/link-form.js';
import { RowLayout } from './row-layout.js';
import { avroText, Skimmer } from './skimmer.js';

const PRESENT = avroText('present');
const DELETED = avroText('deleted');
const OPEN = avroText('open');

/**
 * A link of the state as places in its bytes (schemas/state-link.avsc, as `LinkForm` writes it): of one whose life is
 * quiet, so that what is not there in the bytes is nothing. It shows one link at a time: places of the one before, its
 * members and their commands are gone with the next reading.
 */
export class LinkImage {
  readonly canonical: RowLayout;
  readonly fields: Int32Array;
  /** Where the setter of each field group begins, and the end of the last. */
  readonly setters: Int32Array;
  readonly members: readonly MemberImage[];
  buf: Buffer = Buffer.alloc(0);
  idStart = 0;
  idEnd = 0;
  isPresent = true;
  existenceEnd = 0;
  matchingEnd = 0;
  /** The canonical's match values, and where they end. */
  matchStart = 0;
  matchEnd = 0;
  deletionsStart = 0;
  deletionsEnd = 0;
  movesStart = 0;
  movesEnd = 0;
  moves = 0;
  /** Where the first member begins. */
  membersStart = 0;
  private readonly skimmer = new Skimmer();

  constructor(
    { type }: AvroField,
    /** Its place among the entities of the state. */
    private readonly place: number,
    private readonly entities: number,
    readonly schemaId: number,
  ) {
    const link = recordOf(type);
    this.canonical = new RowLayout(fieldOf(link, 'canonical').fields);
    this.fields = this.canonical.places();
    this.setters = new Int32Array(fieldOf(link, 'set').fields.length + 1);
    this.members = fieldOf(link, 'members').fields.map((field) => new MemberImage(field));
  }

  /** False for a link of another entity or schema, and for one in whose life something unusual goes on. */
  read(message: Buffer): boolean {
    const { skimmer, place, entities } = this;
    this.buf = message;
    if (message.length < HEADER_BYTES || message[0] !== 0 || message.readUInt32BE(1) !== this.schemaId) return false;
    for (let each = 0; each <= place; each++) if (message[HEADER_BYTES + each] !== 0) return false;
    if (message[HEADER_BYTES + place + 1] !== 2) return false;
    skimmer.begin(message, HEADER_BYTES + place + 2);
    if (!this.readHead() || !this.readSetters() || !this.readRest()) return false;
    for (const member of this.members) if (!member.read(skimmer)) return false;
    return skimmer.pos === message.length - (entities - place - 1);
  }

  /** What stands before a link in its message, behind the header. */
  begin(to: BinaryWriter): void {
    for (let each = 0; each <= this.place; each++) to.byte(0);
    to.byte(2);
  }

  /** And what stands behind it. */
  end(to: BinaryWriter): void {
    for (let each = this.place + 1; each < this.entities; each++) to.byte(0);
  }

  private readHead(): boolean {
    const { skimmer, buf } = this;
    this.idStart = skimmer.pos;
    skimmer.skipText();
    this.idEnd = skimmer.pos;
    const existence = skimmer.pos;
    this.isPresent = skimmer.isText(PRESENT);
    if (!this.isPresent) {
      skimmer.pos = existence;
      if (!skimmer.isText(DELETED)) return false;
    }
    this.existenceEnd = skimmer.pos;
    if (!skimmer.isText(OPEN)) return false;
    this.matchingEnd = skimmer.pos;
    skimmer.pos = this.canonical.walk(buf, skimmer.pos, this.fields);
    // Every field has been told.
    return skimmer.isZero();
  }

  private readSetters(): boolean {
    const { skimmer, setters } = this;
    for (let group = 0; group < setters.length - 1; group++) {
      setters[group] = skimmer.pos;
      if (skimmer.isZero()) return false;
      skimmer.long();
      skimmer.skipLongOrNull();
    }
    setters[setters.length - 1] = skimmer.pos;
    return true;
  }

  private readRest(): boolean {
    const { skimmer } = this;
    this.matchStart = skimmer.pos;
    skimmer.skipTexts();
    this.matchEnd = skimmer.pos;
    // No first match values.
    if (!skimmer.isZero()) return false;
    this.deletionsStart = skimmer.pos;
    for (let count = skimmer.long(); count > 0; count = skimmer.long()) {
      if (!skimmer.mayHave(count)) return false;
      for (; count > 0; count--) {
        skimmer.long();
        skimmer.skipText();
        skimmer.skipLongOrNull();
      }
    }
    this.deletionsEnd = skimmer.pos;
    // No rewrites.
    if (!skimmer.isZero()) return false;
    this.movesStart = skimmer.pos;
    this.moves = skimmer.long();
    this.movesEnd = skimmer.pos;
    // No tombstone.
    if (!skimmer.isZero()) return false;
    this.membersStart = skimmer.pos;
    return true;
  }
}

/** A link's place for one system (schemas/state-member.avsc). */
export class MemberImage {
  readonly system: string;
  readonly row: RowLayout;
  /** The row seen last, where there is one; a value that the canonical has is null here. */
  readonly seen: Int32Array;
  /** There is such a member at all. */
  isThere = false;
  start = 0;
  end = 0;
  /** With the length in front; both 0 where there is none. */
  keyStart = 0;
  keyEnd = 0;
  hasSeen = false;
  seenEnd = 0;
  missingStart = 0;
  missingEnd = 0;
  /** Columns that are null there although the canonical is not. */
  nulls = 0;
  moves = 0;
  agreedStart = 0;
  agreed = 0;
  matchStart = 0;
  matchEnd = 0;
  readonly command = new CommandImage();
  formerStart = 0;
  formerEnd = 0;
  readonly ending: EndingImage;
  snapshot = 0;
  movedAfter = 0;
  transactionStart = 0;
  transactionEnd = 0;

  constructor({ name, column, type }: AvroField) {
    this.system = column ?? name;
    const member = recordOf(type);
    const seen = member.fields.find((field) => field.name === 'seen')!.type;
    this.row = new RowLayout(recordOf(seen).fields);
    this.seen = this.row.places();
    this.ending = new EndingImage(this.row);
  }

  /** Nothing goes on there: a record that agrees, and no command. */
  get isAtRest(): boolean {
    const { isThere, hasSeen, nulls, agreed, command, ending } = this;
    return isThere && hasSeen && nulls === 0 && agreed === 0 && !command.isThere && !ending.isThere;
  }

  read(from: Skimmer): boolean {
    this.start = from.pos;
    this.command.isThere = false;
    this.isThere = !from.isZero();
    if (!this.isThere) {
      this.end = from.pos;
      return true;
    }
    if (!this.readSeen(from) || !this.readAgreed(from)) return false;
    this.matchStart = from.pos;
    from.skipTexts();
    this.matchEnd = from.pos;
    if (!this.command.read(from)) return false;
    // No holds, and not kept.
    if (!(from.isZero() && from.isZero())) return false;
    this.formerStart = from.pos;
    from.skipTexts();
    this.formerEnd = from.pos;
    if (!this.ending.read(from)) return false;
    this.snapshot = from.long();
    this.movedAfter = from.long();
    this.transactionStart = from.pos;
    from.skipTextOrNull();
    this.transactionEnd = from.pos;
    this.end = from.pos;
    return true;
  }

  private readSeen(from: Skimmer): boolean {
    this.keyStart = 0;
    this.keyEnd = 0;
    if (!from.isZero()) {
      this.keyStart = from.pos;
      from.skipText();
      this.keyEnd = from.pos;
    }
    this.hasSeen = !from.isZero();
    if (this.hasSeen) from.pos = this.row.walk(from.buf, from.pos, this.seen);
    this.seenEnd = from.pos;
    this.missingStart = from.pos;
    from.skipTexts();
    this.missingEnd = from.pos;
    if (!this.hasSeen) return this.missingEnd - this.missingStart === 1 && from.isZero();
    // Told beside the canonical.
    if (from.isZero()) return false;
    const { pos } = from;
    this.nulls = from.long();
    from.pos = pos;
    from.skipTexts();
    return true;
  }

  private readAgreed(from: Skimmer): boolean {
    this.moves = from.long();
    this.agreedStart = from.pos;
    this.agreed = from.long();
    if (this.agreed === 0) return true;
    if (!from.mayHave(this.agreed)) return false;
    for (let each = 0; each < this.agreed; each++) {
      from.skipText();
      from.pos = VALUE.walk(from.buf, from.pos, ONE);
    }
    return from.isZero();
  }
}

/** A deletion whose transaction is not over. */
class EndingImage {
  isThere = false;
  transactionStart = 0;
  transactionEnd = 0;
  timeMicros: number | null = null;
  keyStart = 0;
  keyEnd = 0;
  private readonly seen: Int32Array;

  constructor(private readonly row: RowLayout) {
    this.seen = row.places();
  }

  read(from: Skimmer): boolean {
    this.isThere = !from.isZero();
    if (!this.isThere) return true;
    this.transactionStart = from.pos;
    from.skipText();
    this.transactionEnd = from.pos;
    this.timeMicros = from.isZero() ? null : from.long();
    this.keyStart = from.pos;
    from.skipText();
    this.keyEnd = from.pos;
    from.pos = this.row.walk(from.buf, from.pos, this.seen);
    from.skipTexts();
    return true;
  }
}

/** A command in flight. */
export class CommandImage {
  isThere = false;
  idStart = 0;
  idEnd = 0;
  operationStart = 0;
  setStart = 0;
  sets = 0;
  /** Match values of an insert. */
  matchStart = 0;
  matchEnd = 0;
  memberMoves = 0;
  linkMoves = 0;

  read(from: Skimmer): boolean {
    this.isThere = !from.isZero();
    if (!this.isThere) return true;
    this.idStart = from.pos;
    from.skipText();
    this.idEnd = from.pos;
    this.operationStart = from.pos;
    from.skipText();
    // No flag of a soft deletion.
    if (!from.isZero()) return false;
    from.skipTextOrNull();
    this.setStart = from.pos;
    this.sets = skipAssignments(from);
    skipAssignments(from);
    this.matchStart = from.pos;
    from.skipTexts();
    this.matchEnd = from.pos;
    this.memberMoves = from.long();
    this.linkMoves = from.long();
    // No setter has changed since.
    return from.isZero();
  }
}

/** An assigned value, and an agreed one that is no reference. */
const VALUE = new RowLayout([{ name: 'value', type: ['null', 'boolean', 'long', 'double', 'string'] }]);
const ONE = new Int32Array(2);

function skipAssignments(from: Skimmer): number {
  const count = from.long();
  if (count === 0) return 0;
  if (!from.mayHave(count)) return count;
  for (let each = 0; each < count; each++) {
    from.skipText();
    from.pos = VALUE.walk(from.buf, from.pos, ONE);
  }
  if (!from.isZero()) from.pos = Number.NaN;
  return count;
}
