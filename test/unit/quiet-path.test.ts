import { describe, expect, it } from 'vitest';
import type { ColumnType } from '../../src/model/table.js';
import type { Row, Value } from '../../src/model/value.js';
import {
  CALM_COLUMNS,
  CalmWorld,
  emptyRow,
  SHORT_NAME,
  type CalmSystem,
  type CalmTable,
} from '../support/calm-world.js';
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

const ID: ColumnType = { kind: 'int64' };
const TEXT: ColumnType = { kind: 'text', maxLength: null };
const BY_ID = '[{ on: [id], normalise: [] }]';

async function inWorld(table: CalmTable, play: (world: CalmWorld) => void | Promise<void>): Promise<void> {
  const world = await CalmWorld.open(true, table);
  try {
    await play(world);
  } finally {
    await world.close();
  }
}

/** A map for both systems, or for one. */
function alike(map: string): CalmTable['maps'] {
  return { shop: map, books: map };
}

describe('what the quiet path leaves to the decision, or says as that does', () => {
  it('a value that its system shows in several ways', async () => {
    const columns = { id: ID, token: { kind: 'uuid' }, text: TEXT } as const;
    const maps = { shop: '{ id: id, n: token }', books: '{ id: id, n: text }' };
    await inWorld({ fields: '{ id: integer, n: "string?" }', maps, match: BY_ID, columns }, async (world) => {
      for (const token of ['7D444840-9dc0-11d1-b245-5ffdce74fad2', '7d444840-9dc0-11d1-b245-5ffdce74fad2']) {
        world.write('shop', '2', { id: 2, token, text: null });
        await world.work();
      }
      expect(world.rows.books.size).toBe(1);
    });
  });

  it('one column of two fields', async () => {
    const columns = { id: ID, x: TEXT, y: TEXT };
    const maps = { shop: '{ id: id, a: x, b: { column: x, write: false } }', books: '{ id: id, a: x, b: y }' };
    const fields = '{ id: integer, a: "string?", b: "string?" }';
    await inWorld({ fields, maps, match: BY_ID, columns }, async (world) => {
      world.write('shop', '1', { id: 1, x: 'v', y: null });
      await world.work();
      world.write('books', '1', { id: 1, x: 'w', y: 'v' });
      await world.work();
      expect(world.rows.shop.get('1')?.['x']).toBe('w');
      world.write('books', '1', null);
      await world.work();
      expect(world.rows.shop.size).toBe(0);
    });
  });

  it('columns named like numbers', async () => {
    const columns = { id: ID, name: TEXT, '7': ID };
    const fields = '{ id: integer, name: "string?", n: "integer?" }';
    await inWorld({ fields, maps: alike('{ id: id, name: name, n: "7" }'), match: BY_ID, columns }, async (world) => {
      world.write('shop', '1', { id: 1, name: 'a', '7': 1 });
      await world.work();
      expect(world.rows.books.get('1')).toMatchObject({ name: 'a', '7': 1 });
    });
  });

  it('a system that is alone', async () => {
    const columns = { id: ID, name: TEXT };
    const fields = '{ id: integer, name: "string?" }';
    await inWorld({ fields, maps: { shop: '{ id: id, name: name }' }, match: 'none', columns }, async (world) => {
      const before = CheckedQuietPath.counts.quiet;
      world.write('shop', '1', { id: 1, name: 'a' });
      await world.work();
      world.write('shop', '1', null);
      await world.work();
      expect(CheckedQuietPath.counts.quiet).toBe(before);
    });
  });

  it('many deletions of records with many match values', async () => {
    const names = 'abcdefghijkl'.split('');
    const columns = Object.fromEntries([['id', ID], ...names.map((name) => [name, TEXT] as const)]);
    const map = `{ id: id, ${names.map((name) => `${name}: ${name}`).join(', ')} }`;
    const fields = `{ id: integer, ${names.map((name) => `${name}: "string?"`).join(', ')} }`;
    const match = `[${names.map((name) => `{ on: [${name}], normalise: [] }`).join(', ')}]`;
    await inWorld({ fields, maps: alike(map), match, columns }, async (world) => {
      const keys = Array.from({ length: 60 }, (_, at) => String(at + 1));
      for (const key of keys) {
        world.write('shop', key, { id: Number(key), ...Object.fromEntries(names.map((name) => [name, name + key])) });
      }
      await world.work();
      expect(world.rows.books.size).toBe(60);
      world.deleteAll('shop', keys.slice(0, 15));
      await world.work();
      expect(world.rows.books.size).toBe(45);
      // With the match values of each, more than one step of the decision looks at.
      world.deleteAll('shop', keys.slice(15));
      await world.work();
      expect(world.rows.books.size).toBe(0);
    });
  });

  it.each([
    ['too short', Buffer.from([9, 9, 9])],
    ['with more behind it', Buffer.from([0, 0, 0, 0, 1, 4, 55, 55, 1, 2, 3])],
  ])('a key %s: the same error, with topic and offset', async (_, key) => {
    const columns = { id: ID, name: TEXT };
    const table = { fields: '{ id: integer, name: "string?" }', maps: alike('{ id: id, name: name }'), match: BY_ID };
    await inWorld({ ...table, columns }, async (world) => {
      world.write('shop', '1', { id: 1, name: 'a' });
      world.tellUnderKey(key, { id: 77, name: 'x' });
      await expect(world.work()).rejects.toMatchObject({
        code: 'MESSAGE_UNREADABLE',
        message: expect.stringContaining('calm.change.shop.thing, offset 3') as string,
      });
    });
  });
});
