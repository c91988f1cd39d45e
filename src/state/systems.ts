import type { AvroEnum } from '../avro/schema.js';
import type { Setter } from '../decision/state.js';

/** A setter as Avro has it. */
export interface AvroSetter {
  readonly system: string;
  readonly timeMicros: number | null;
}

/** Systems as an enum, whose symbols have to follow Avro's rules. */
export class Systems {
  private readonly names: ReadonlyMap<string, string>;

  constructor({ symbols, names }: AvroEnum) {
    this.names = new Map(symbols.map((symbol, index) => [symbol, names?.[index] ?? symbol]));
  }

  read({ system, timeMicros }: AvroSetter): Setter {
    return { system: this.names.get(system)!, timeMicros };
  }

  /** Most groups of a link have the setter of the group before. */
  readAll(groups: Readonly<Record<string, AvroSetter | null>>): Record<string, Setter> {
    const setters: Record<string, Setter> = {};
    let last: AvroSetter | null = null;
    let setter: Setter | null = null;
    for (const group in groups) {
      const next: AvroSetter | null | undefined = groups[group];
      if (!next) continue;
      if (last === null || setter === null || next.system !== last.system || next.timeMicros !== last.timeMicros) {
        setter = this.read(next);
        last = next;
      }
      setters[group] = setter;
    }
    return setters;
  }
}
