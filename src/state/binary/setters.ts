import type { Setter } from '../../decision/state.js';
import type { BinaryReader, BinaryWriter } from './bytes.js';
import { maker } from './rows.js';

type Setters = Readonly<Record<string, Setter>>;

/** Who set the field groups of a link, and when. Most groups have the setter of the group before. */
export class SetterForm {
  private readonly placeOf: ReadonlyMap<string, number>;
  private readonly empty: () => Record<string, never>;

  constructor(
    private readonly groups: readonly string[],
    /** Systems in the order of the schema's enum. */
    private readonly systems: readonly string[],
  ) {
    this.placeOf = new Map(systems.map((system, place) => [system, place]));
    this.empty = maker(groups);
  }

  writeSystem(to: BinaryWriter, system: string): void {
    to.long(this.placeOf.get(system)!);
  }

  readSystem(from: BinaryReader): string {
    return this.systems[from.long()]!;
  }

  write(to: BinaryWriter, { system, timeMicros }: Setter): void {
    this.writeSystem(to, system);
    to.longOrNull(timeMicros);
  }

  read(from: BinaryReader): Setter {
    return { system: this.readSystem(from), timeMicros: from.longOrNull() };
  }

  writeAll(to: BinaryWriter, set: Setters): void {
    let last: Setter | null = null;
    let start = 0;
    let end = 0;
    for (const group of this.groups) {
      const setter = set[group];
      if (setter === undefined) {
        to.byte(0);
      } else if (setter === last) {
        to.again(start, end);
      } else {
        last = setter;
        start = to.pos;
        to.byte(2);
        this.write(to, setter);
        end = to.pos;
      }
    }
  }

  readAll(from: BinaryReader): Record<string, Setter> {
    const { groups } = this;
    const set: Record<string, Setter> = this.empty();
    let last: Setter | null = null;
    let missing = false;
    let start = 0;
    let end = 0;
    for (const group of groups) {
      if (last !== null && isRepeated(from, start, end)) {
        from.pos += end - start;
      } else {
        const { pos } = from;
        if (from.long() === 0) {
          missing = true;
          continue;
        }
        start = pos;
        last = this.read(from);
        end = from.pos;
      }
      set[group] = last;
    }
    return missing ? present(set) : set;
  }

  /** A map with some of the groups. */
  writeMap(to: BinaryWriter, setters: Setters): void {
    const groups = Object.keys(setters);
    if (groups.length > 0) {
      to.long(groups.length);
      for (const group of groups) {
        to.text(group);
        this.write(to, setters[group]!);
      }
    }
    to.byte(0);
  }

  readMap(from: BinaryReader): Record<string, Setter> {
    const setters: Record<string, Setter> = {};
    for (let count = from.count(); count > 0; count = from.count()) {
      for (; count > 0; count--) setters[from.text()] = this.read(from);
    }
    return setters;
  }
}

/** The bytes from here on are those between `start` and `end`. */
function isRepeated(from: BinaryReader, start: number, end: number): boolean {
  const { buf, pos } = from;
  for (let each = start; each < end; each++) if (buf[each] !== buf[pos + each - start]) return false;
  return true;
}

function present(set: Record<string, Setter | null>): Record<string, Setter> {
  const kept: Record<string, Setter> = {};
  for (const group in set) if (set[group] !== null) kept[group] = set[group]!;
  return kept;
}
