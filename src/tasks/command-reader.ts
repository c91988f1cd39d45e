import { Decoder, HEADER_BYTES } from '../avro/codec.js';
import { commandOf, commandSchema } from '../avro/command-codec.js';
import { doubleValue } from '../avro/integers.js';
import { KnownLayout } from '../avro/known-layout.js';
import type { SchemaRegistry } from '../avro/registry.js';
import type { Command } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import type { Row, Value } from '../model/value.js';
import { BinaryReader } from '../state/binary/bytes.js';

type Operation = Command['operation'];

/** The symbols of schemas/command.avsc that this version knows, in their order. */
const OPERATIONS: readonly Operation[] = ['insert', 'update', 'delete'];

/**
 * Commands from their messages: Avro's bytes straight to a command where the message is of the schema that this version
 * knows, through avsc where another one wrote it.
 */
export class CommandReader {
  private readonly decoder: Decoder;
  private readonly form = new CommandForm();
  private readonly known: KnownLayout;

  constructor(registry: SchemaRegistry) {
    this.decoder = new Decoder(registry);
    this.known = new KnownLayout(this.decoder, commandSchema());
  }

  /** Fetches the schemas of these messages. @throws DuologError SCHEMA_UNKNOWN, REGISTRY_UNREACHABLE. */
  prepare(messages: Iterable<Buffer | null>): Promise<void> {
    return this.decoder.prepare(messages);
  }

  /** One that was prepared. @throws DuologError MESSAGE_UNREADABLE. */
  read(message: Buffer): Command {
    return this.known.has(message) ? this.form.read(message) : commandOf(this.decoder.decode(message));
  }
}

/** Of the commands of one kind for one entity: most name the same columns. */
class RowShapes {
  readonly set = new RowReader();
  readonly expect = new RowReader();
  readonly absent = new RowReader();
}

type EntityShapes = Readonly<Record<Operation, RowShapes>>;

const MOST_ENTITIES = 1_000;
const NO_ROWS: readonly Row[] = Object.freeze([]);
const EMPTY: Row = Object.freeze({});

/** The bytes of schemas/command.avsc. */
class CommandForm {
  private readonly from = new BinaryReader();
  private readonly shapes = new Map<string, EntityShapes>();

  read(message: Buffer): Command {
    const { from } = this;
    try {
      from.begin(message, HEADER_BYTES);
      const command = this.command();
      if (from.pos !== message.length) throw new Error(`ends at byte ${from.pos} of ${message.length}`);
      return command;
    } catch (cause) {
      if (cause instanceof DuologError) throw cause;
      throw new DuologError('MESSAGE_UNREADABLE', 'A message does not fit the schema it names.', { cause });
    }
  }

  private command(): Command {
    const { from } = this;
    const id = from.text();
    const link = from.text();
    const entity = from.text();
    const operation = OPERATIONS[from.long()];
    if (operation === undefined) {
      throw new DuologError('MESSAGE_UNREADABLE', 'A command of a kind that this version does not know.');
    }
    const shapes = this.shapesOf(entity)[operation];
    const key = from.textOrNull();
    const set = shapes.set.read(from);
    const expect = shapes.expect.read(from);
    const absent = this.rows(shapes.absent);
    const madeAtMicros = from.long();
    const again = from.byte() === 1;
    const command = { id, link, entity, operation, key, set, expect, absent, madeAtMicros };
    return again ? { ...command, again } : command;
  }

  private rows(shape: RowReader): readonly Row[] {
    const { from } = this;
    let count = from.count();
    if (count === 0) return NO_ROWS;
    const rows: Row[] = [];
    for (; count > 0; count = from.count()) for (; count > 0; count--) rows.push(shape.read(from));
    return rows;
  }

  private shapesOf(entity: string): EntityShapes {
    let shapes = this.shapes.get(entity);
    if (shapes === undefined) {
      if (this.shapes.size >= MOST_ENTITIES) this.shapes.clear();
      shapes = { insert: new RowShapes(), update: new RowShapes(), delete: new RowShapes() };
      this.shapes.set(entity, shapes);
    }
    return shapes;
  }
}

/** The columns of a row in a message, in their order. */
interface RowShape {
  readonly names: readonly string[];
  /** Each name as it lies in a message, its length first. */
  readonly encoded: readonly Buffer[];
}

/** An update names the columns that changed: so many different ones in turn are known again. */
const MOST_SHAPES = 4;

/** An array of Assignment as a row; where its columns are those of an earlier one, their names are compared and not made again. */
class RowReader {
  /** The newest first. */
  private readonly shapes: RowShape[] = [];

  read(from: BinaryReader): Row {
    const start = from.pos;
    const count = from.count();
    if (count === 0) return EMPTY;
    const first = from.pos;
    for (const shape of this.shapes) {
      if (shape.names.length !== count) continue;
      const row = readAlike(from, shape);
      if (row !== null) return row;
      from.pos = first;
    }
    from.pos = start;
    return this.readAny(from);
  }

  private readAny(from: BinaryReader): Row {
    const row: Record<string, Value> = {};
    const names: string[] = [];
    const encoded: Buffer[] = [];
    for (let count = from.count(); count > 0; count = from.count()) {
      for (; count > 0; count--) {
        const start = from.pos;
        const name = from.text();
        names.push(name);
        // A copy: the message must not live as long as this.
        encoded.push(Buffer.from(from.buf.subarray(start, from.pos)));
        row[name] = readValue(from);
      }
    }
    this.shapes.unshift({ names, encoded });
    if (this.shapes.length > MOST_SHAPES) this.shapes.pop();
    return row;
  }
}

/** Null where another column comes. */
function readAlike(from: BinaryReader, { names, encoded }: RowShape): Row | null {
  const row: Record<string, Value> = {};
  for (let at = 0; at < names.length; at++) {
    if (!passes(from, encoded[at]!)) return null;
    row[names[at]!] = readValue(from);
  }
  return from.count() === 0 ? row : null;
}

/** Goes behind these bytes, if they are what comes. */
function passes(from: BinaryReader, bytes: Buffer): boolean {
  const { buf, pos } = from;
  const { length } = bytes;
  for (let at = 0; at < length; at++) if (buf[pos + at] !== bytes[at]) return false;
  from.pos = pos + length;
  return true;
}

/** Branches of the union of schemas/assignment.avsc, as bytes: null, boolean, long, double, string. */
function readValue(from: BinaryReader): Value {
  switch (from.byte()) {
    case 0:
      return null;
    case 2:
      return from.byte() === 1;
    case 4:
      return from.integer();
    case 6:
      return doubleValue(from.double());
    case 8:
      return from.text();
    default:
      throw new Error('a union branch that its schema does not have');
  }
}
