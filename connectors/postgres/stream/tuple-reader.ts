import type { Row, Value } from '../../../src/model/value.js';
import type { DescribedColumn } from '../catalogue.js';
import { type ValueDecoder, valueDecoder } from '../values.js';

const NULL = 0x6e;
const UNCHANGED = 0x75;
const NOTHING_UNCHANGED: readonly string[] = [];

/** Reads the tuples of one relation, as pgoutput writes them, into rows. */
export class TupleReader {
  /** Where the tuple read last ended. */
  end = 0;
  /** Columns of the tuple read last that were not sent because they did not change. */
  unchanged: readonly string[] = NOTHING_UNCHANGED;
  readonly #names: readonly string[];
  readonly #decoders: readonly ValueDecoder[];
  readonly #template: Row;
  readonly #keyColumns: ReadonlySet<string>;

  constructor(columns: readonly DescribedColumn[], keyColumns: readonly string[]) {
    this.#names = columns.map((column) => column.name);
    this.#decoders = columns.map((column) => valueDecoder(column.type));
    this.#template = Object.fromEntries(this.#names.map((name) => [name, null]));
    this.#keyColumns = new Set(keyColumns);
  }

  /** A whole tuple: columns that were not sent are missing from the row. */
  read(bytes: Buffer, start: number): Row {
    const names = this.#names;
    const decoders = this.#decoders;
    // Copied from a template, all rows of a relation share one hidden class, which makes them cheap to fill and to read.
    const row: Record<string, Value> = { ...this.#template };
    let unchanged: string[] | null = null;
    let at = start + 2;
    for (let index = 0; index < names.length; index++) {
      const kind = bytes[at]!;
      if (kind === NULL) at += 1;
      else if (kind === UNCHANGED) {
        unchanged ??= [];
        unchanged.push(names[index]!);
        delete row[names[index]!];
        at += 1;
      } else {
        const from = at + 5;
        at = from + length(bytes, at + 1);
        row[names[index]!] = decoders[index]!(bytes, from, at);
      }
    }
    this.end = at;
    this.unchanged = unchanged ?? NOTHING_UNCHANGED;
    return row;
  }

  /** A tuple that carries the key alone: the rest is not sent, which pgoutput writes as null. */
  readKey(bytes: Buffer, start: number): Row {
    const whole = this.read(bytes, start);
    return Object.fromEntries(Object.entries(whole).filter(([name]) => this.#keyColumns.has(name)));
  }
}

function length(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
