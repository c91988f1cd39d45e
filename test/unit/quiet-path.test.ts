import { describe, expect, it } from 'vitest';
import type { Row, Value } from '../../src/model/value.js';
import { CALM_COLUMNS, CalmWorld, emptyRow, SHORT_NAME, type CalmSystem } from '../support/calm-world.js';
import { CheckedQuietPath } from '../support/checked-quiet-path.js';
import { Random } from '../simulation/random.js';

const OPERATIONS = 600;

/** What a column of each kind may hold; texts with more than ASCII, numbers beyond what a double holds. */
const VALUES: Readonly<Record<string, readonly Value[]>> = {
  name: ['plain', 'Zoë', '名前', '', 'a'.repeat(60), null],
  amount: ['0.00', '12.50', '-3.99', '9999999999.99', '-0.01', null],
  count: [0, 1, -1, 2147483647, null],
  large: [0, 9007199254740993n, -5, 4503599627370497, null],
  ratio: [0.5, -1e300, 'NaN', 3, null],
  open: [true, false, null],
  day: [0, 20_000, -1, null],
  time: [1_735_689_600_123_456, 0, 'infinity', null],
  token: ['7d444840-9dc0-11d1-b245-5ffdce74fad2', null],
  data: ['', '00ff', null],
  shape: ['{"a": [1, "ü"]}', '[]', null],
};

describe('usual changes, told to the quiet path and to the decision', () => {
  it.each([
    ['one way, the target not captured', false, 11],
    ['one way, the target not captured', false, 12],
    ['both ways', true, 13],
    ['both ways', true, 14],
  ] as const)(
    '%s (captured: %s, seed %i): the same messages and the same state, to the byte',
    async (_, captured, seed) => {
      const random = new Random(seed);
      const world = await CalmWorld.open(captured);
      const before = { ...CheckedQuietPath.counts };
      try {
        for (let done = 0; done < OPERATIONS; done++) {
          const system: CalmSystem = captured ? random.of(['shop', 'books'] as const) : 'shop';
          const known = [...world.rows[system].keys()];
          const key = known.length < 20 || random.chance(0.25) ? String(1000 + done) : random.of(known);
          world.write(
            system,
            key,
            known.includes(key) && random.chance(0.2) ? null : changed(world.rows[system].get(key), key, random),
          );
          // Now and then the next change comes while this one is under way.
          if (random.chance(0.9)) await world.work();
        }
        await world.work();
      } finally {
        await world.close();
      }
      const mapped = (rows: ReadonlyMap<string, Row>) =>
        new Map([...rows].map(([key, row]) => [key, Object.keys(CALM_COLUMNS).map((name) => shown(name, row[name]!))]));
      expect(mapped(world.rows.books)).toEqual(mapped(world.rows.shop));
      expect(world.rows.shop.size).toBeGreaterThan(20);
      const quiet = CheckedQuietPath.counts.quiet - before.quiet;
      const left = CheckedQuietPath.counts.left - before.left;
      expect(quiet / (quiet + left)).toBeGreaterThan(0.6);
    },
  );
});

/** A name in its short form. */
function shown(name: string, value: Value): Value {
  return name === 'name' && typeof value === 'string' ? value.slice(0, SHORT_NAME) : value;
}

function changed(row: Row | undefined, key: string, random: Random): Row {
  const now: Record<string, Value> = { ...emptyRow(), ...row, id: Number(key) };
  for (const name of Object.keys(VALUES))
    if (row === undefined || random.chance(0.3)) now[name] = random.of(VALUES[name]!);
  if (random.chance(0.3)) now['noted'] = random.below(1000);
  return now;
}
