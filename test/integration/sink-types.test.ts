import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PostgresSink } from '../../connectors/postgres/sink.js';
import type { Outcome } from '../../src/connector/contract.js';
import type { Row, Value } from '../../src/model/value.js';
import {
  apply,
  insert,
  remove,
  type SinkFixture,
  sinkFixture,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TYPE colour AS ENUM ('red', 'deep blue');
  CREATE DOMAIN short AS varchar(5);
  CREATE DOMAIN amount AS numeric(8,2) CHECK (VALUE > -1000);
  CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  CREATE TABLE thing (
    id bigint PRIMARY KEY, small smallint, whole int, big bigint, exact numeric(12,2), free numeric, single real, double float8,
    yes boolean, words text, name varchar(20), code char(5), born date, at timestamp, zoned timestamptz, clock time, zclock timetz,
    span interval, guid uuid, doc json, docb jsonb, mark xml, bytes bytea, numbers int[], texts text[], hue colour, hues colour[],
    tag short, price amount, span2 int4range, address inet, bits bit(4), lax text COLLATE lax, letter "char", at_array timestamptz[]);
  CREATE TABLE keyed (born date, at timestamptz, raw bytea, word text, PRIMARY KEY (born, at, raw, word));`;

const FIRST: Row = {
  small: -32768,
  whole: 2147483647,
  big: 9223372036854775807n,
  exact: '-1234567890.12',
  free: '1e-3',
  single: 0.1,
  double: 1e300,
  yes: true,
  words: 'a "quoted" \\ {text}, with\nlines and NULL',
  name: 'NULL',
  code: 'ab   ',
  born: -1,
  at: -1,
  zoned: 1_700_000_000_123_456,
  clock: 86_399_999_999,
  zclock: '10:00:00.5+02',
  span: '1 mon 2 days',
  guid: '00000000-0000-0000-0000-00000000000a',
  doc: '{"b": 1,  "a":[1,2]}',
  docb: '{"a": [1, 2], "b": 1.0}',
  mark: '<a b="c">d</a>',
  bytes: '00ff5c22',
  numbers: '{1,NULL,3}',
  texts: '{"a b","\\"","NULL",NULL}',
  hue: 'deep blue',
  hues: '{red,"deep blue"}',
  tag: 'abcde',
  price: '12.50',
  span2: '[1,5)',
  address: '10.0.0.1/8',
  bits: '1010',
  lax: 'Abc',
  letter: 'x',
  at_array: '{"2024-01-01 00:00:00+00"}',
};
const SECOND: Row = {
  small: 0,
  whole: 0,
  big: 0,
  exact: 'NaN',
  free: 'NaN',
  single: 'NaN',
  double: '-Infinity',
  yes: false,
  words: '',
  name: ' ',
  code: '     ',
  born: 'infinity',
  at: '-infinity',
  zoned: 'infinity',
  clock: 0,
  zclock: '00:00:00+00',
  span: '-00:00:01',
  guid: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  doc: 'null',
  docb: 'null',
  mark: '',
  bytes: '',
  numbers: '{}',
  texts: '{}',
  hue: 'red',
  hues: '{}',
  tag: '',
  price: '0.00',
  span2: 'empty',
  address: '::1',
  bits: '0000',
  lax: '',
  letter: ' ',
  at_array: '{}',
};
const EMPTY: Row = Object.fromEntries(Object.keys(FIRST).map((name) => [name, null]));

describe.each(testedPostgres)('types on Postgres %s', (version) => {
  let fixture: SinkFixture;
  let sink: PostgresSink;

  beforeAll(async () => {
    fixture = await sinkFixture(version, SCHEMA);
    sink = await fixture.opened(await fixture.plan('thing'), await fixture.plan('keyed'));
  });
  afterAll(() => fixture?.end());

  /** The row as the sink sees it, by a refusal. */
  async function seen(id: number): Promise<Row> {
    const [outcome] = await apply(sink, [update('thing', String(id), { big: -77 }, { whole: 1 })]);
    const { id: _id, ...row } = (outcome as Extract<Outcome, { status: 'refused' }>).met!;
    return row;
  }

  test('every type goes in, is met by its expectation, changes, and comes out as it went in', async () => {
    const rows: Row[] = [FIRST, SECOND, EMPTY];
    for (const [at, row] of rows.entries()) {
      const id = at + 1;
      expect(statuses(await apply(sink, [insert('thing', { id, ...row }, [], String(id))]))).toEqual(['applied']);
      expect(await seen(id)).toEqual(canonical(row));
    }
    for (const [at, row] of rows.entries()) {
      const next = rows[(at + 1) % rows.length]!;
      expect(statuses(await apply(sink, [update('thing', String(at + 1), row, next)]))).toEqual(['applied']);
      expect(await seen(at + 1)).toEqual(canonical(next));
      expect(statuses(await apply(sink, [remove('thing', String(at + 1), next)]))).toEqual(['applied']);
    }
  });

  test('each column alone tells a difference, and its own value is no difference', async () => {
    expect(statuses(await apply(sink, [insert('thing', { id: 9, ...FIRST }, [], '9')]))).toEqual(['applied']);
    for (const column of Object.keys(FIRST)) {
      for (const other of [SECOND[column]!, null]) {
        const [refused] = await apply(sink, [update('thing', '9', { [column]: other }, { whole: 5 })]);
        expect([column, refused !== 'deferred' && refused?.status]).toEqual([column, 'refused']);
      }
      const [same] = await apply(sink, [
        update('thing', '9', { [column]: FIRST[column]! }, { [column]: FIRST[column]! }),
      ]);
      expect([column, same !== 'deferred' && same?.status]).toEqual([column, 'unchanged']);
    }
  });

  test('what a type takes as equal is expected as equal, and no more', async () => {
    await apply(sink, [insert('thing', { id: 20, ...FIRST }, [], '20')]);
    const holds = async (expectation: Row) => {
      const [outcome] = await apply(sink, [
        update('thing', '20', expectation, { ...pick(FIRST, Object.keys(expectation)) }),
      ]);
      return outcome !== 'deferred' && outcome?.status !== 'refused';
    };
    expect(await holds({ docb: '{"b":1.0,"a":[1,2]}' })).toBe(true);
    expect(await holds({ docb: '{"b":1,"a":[1,2]}' })).toBe(false);
    expect(await holds({ doc: '{"a":[1,2],"b":1}' })).toBe(false);
    expect(await holds({ code: 'ab' })).toBe(true);
    expect(await holds({ lax: 'abc' })).toBe(false);
    expect(await holds({ exact: '-1234567890.120' })).toBe(true);
    expect(await holds({ span: '32 days' })).toBe(false);
  });

  test('keys of any type find their row', async () => {
    const row = { born: -800_000, at: -62_000_000_000_000_001n, raw: 'ff00', word: 'a,b\\c' };
    const key = '-800000,-62000000000000001,ff00,a\\,b\\\\c';
    const [inserted] = await apply(sink, [insert('keyed', row, [], key)]);
    expect(inserted).toMatchObject({ status: 'applied', key });
    expect(await apply(sink, [insert('keyed', row, [], key)])).toMatchObject([{ status: 'refused', key, met: row }]);
    expect(await apply(sink, [remove('keyed', key, row)])).toMatchObject([{ status: 'applied', key }]);
  });

  test('a text that is no number of its column stays within its row', async () => {
    const texts = ['1,5', '{', 'NULL', '', '1}', '"'];
    const batch = ['50.00', ...texts, '51.00'].map((exact, at) =>
      insert('thing', { id: 50 + at, exact }, [], String(50 + at)),
    );
    expect(statuses(await apply(sink, batch))).toEqual(['applied', ...texts.map(() => 'failed'), 'applied']);
    expect(await fixture.sql('SELECT id::int, exact FROM thing WHERE id BETWEEN 50 AND 60 ORDER BY id')).toEqual([
      { id: 50, exact: '50.00' },
      { id: 57, exact: '51.00' },
    ]);
  });

  test('a length is never cut and a scale never overflows in silence', async () => {
    const outcomes = await apply(sink, [
      insert('thing', { id: 30, name: 'x'.repeat(21) }, [], '30'),
      insert('thing', { id: 31, tag: 'abcdef' }, [], '31'),
      insert('thing', { id: 32, code: 'abcdef' }, [], '32'),
      insert('thing', { id: 33, bits: '10101' }, [], '33'),
      insert('thing', { id: 34, price: '-2000.00' }, [], '34'),
      insert('thing', { id: 35, small: 40_000 }, [], '35'),
      insert('thing', { id: 36, hue: 'green' }, [], '36'),
    ]);
    expect(outcomes).toMatchObject(
      ['22001', '22001', '22001', '22026', '23514', '22003', '22P02'].map((code) => ({ status: 'failed', code })),
    );
    expect(outcomes[5]).toMatchObject({ column: 'small' });
    expect(outcomes[6]).toMatchObject({ column: 'hue' });
  });

  test('timestamps and texts of any kind round trip', async () => {
    await apply(sink, [insert('thing', { id: 40, whole: 0 }, [], '40')]);
    let before: Row = { zoned: null, at: null, born: null, words: null, texts: null };
    const micros = fc.bigInt({ min: -210_000_000_000_000_000n, max: 9_000_000_000_000_000_000n });
    const text = fc.string({ unit: 'grapheme' }).filter((each) => !each.includes('\0'));
    await fc.assert(
      fc.asyncProperty(
        micros,
        micros,
        fc.integer({ min: -2_440_000, max: 2_000_000_000 }),
        text,
        async (zoned, at, born, words) => {
          const next: Row = { zoned: exact(zoned), at: exact(at), born, words, texts: before['texts']! };
          expect(statuses(await apply(sink, [update('thing', '40', before, next)]))).toEqual([
            JSON.stringify(Object.values(next), bigintText) === JSON.stringify(Object.values(before), bigintText)
              ? 'unchanged'
              : 'applied',
          ]);
          expect(await seen(40)).toMatchObject(next);
          before = next;
        },
      ),
      { numRuns: 60 },
    );
  });
});

function bigintText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function exact(micros: bigint): Value {
  return Number.isSafeInteger(Number(micros)) ? Number(micros) : micros;
}

function pick(row: Row, names: readonly string[]): Row {
  return Object.fromEntries(names.map((name) => [name, row[name]!]));
}

/** The texts that Postgres writes differently from how it was told. */
function canonical(row: Row): Row {
  return row['free'] === '1e-3' ? { ...row, free: '0.001' } : row;
}
