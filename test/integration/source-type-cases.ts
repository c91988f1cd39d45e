import type { ColumnType } from '../../src/model/table.js';
import type { Row, Value } from '../../src/model/value.js';

export interface TypeCase {
  readonly type: string;
  readonly kind: ColumnType['kind'];
  /** SQL literal and the value that must come out, for each row. */
  readonly values: readonly (readonly [sql: string, value: Value])[];
}

const DAY = 86_400_000_000;

/** Every type that has a form of its own, and those that travel as Postgres' own text. */
export const CASES: readonly TypeCase[] = [
  {
    type: 'boolean',
    kind: 'boolean',
    values: [
      ['true', true],
      ['false', false],
    ],
  },
  {
    type: 'smallint',
    kind: 'int16',
    values: [
      ['-32768', -32768],
      ['32767', 32767],
    ],
  },
  {
    type: 'integer',
    kind: 'int32',
    values: [
      ['-2147483648', -2147483648],
      ['0', 0],
    ],
  },
  {
    type: 'bigint',
    kind: 'int64',
    values: [
      ['9007199254740991', 9007199254740991],
      ['9007199254740993', 9007199254740993n],
      ['-9223372036854775808', -9223372036854775808n],
      ['-999999999999999', -999999999999999],
      ['9999999999999999', 9999999999999999n],
    ],
  },
  { type: 'oid', kind: 'int64', values: [['4294967295', 4294967295]] },
  {
    type: 'real',
    kind: 'float32',
    values: [
      ['0.1', 0.1],
      ["'NaN'", 'NaN'],
      ["'-Infinity'", '-Infinity'],
      ['3.4028235e38', 3.4028235e38],
    ],
  },
  {
    type: 'double precision',
    kind: 'float64',
    values: [
      ['0.1', 0.1],
      ["'-0'", 0],
      ["'Infinity'", 'Infinity'],
      ["'NaN'", 'NaN'],
      ['1e-310', 1e-310],
    ],
  },
  {
    type: 'numeric',
    kind: 'decimal',
    values: [
      ['123456789012345678901234567890.123456789', '123456789012345678901234567890.123456789'],
      ["'NaN'", 'NaN'],
      ["'Infinity'", 'Infinity'],
      ['1.50', '1.50'],
    ],
  },
  {
    type: 'numeric(12,2)',
    kind: 'decimal',
    values: [
      ['12.5', '12.50'],
      ['-0.01', '-0.01'],
      ["'NaN'", 'NaN'],
    ],
  },
  {
    type: 'text',
    kind: 'text',
    values: [
      ["''", ''],
      [`E'tab\\t line\\n back\\\\slash \\b\\f\\x0b\\r'`, 'tab\t line\n back\\slash \b\f\v\r'],
      ["'Grüße 😀'", 'Grüße 😀'],
      ["'\\N'", '\\N'],
    ],
  },
  { type: 'varchar(5)', kind: 'text', values: [["'abc'", 'abc']] },
  { type: 'char(4)', kind: 'text', values: [["'ab'", 'ab  ']] },
  { type: 'name', kind: 'text', values: [["'n'", 'n']] },
  { type: '"char"', kind: 'text', values: [["'x'", 'x']] },
  {
    type: 'date',
    kind: 'date',
    values: [
      ["'1970-01-01'", 0],
      ["'1969-12-31'", -1],
      ["'0044-03-15 BC'", -735_160],
      ["'0001-01-01'", -719_162],
      ["'4713-01-01 BC'", -2_440_550],
      ["'12345-06-07'", 3_789_548],
      ["'infinity'", 'infinity'],
      ["'-infinity'", '-infinity'],
    ],
  },
  {
    type: 'timestamp',
    kind: 'timestamp',
    values: [
      ["'1970-01-01 00:00:00.000001'", 1],
      ["'1969-12-31 23:59:59.999999'", -1],
      ["'2024-02-29 12:34:56.7'", 1_709_210_096_700_000],
      ["'0044-03-15 12:00:00 BC'", BigInt(-735_160) * BigInt(DAY) + BigInt(DAY / 2)],
      ["'12345-06-07 00:00:00.000001'", BigInt(3_789_548) * BigInt(DAY) + 1n],
      ["'2255-01-01'", 104_094 * DAY],
      ["'2300-01-01'", BigInt(120_530) * BigInt(DAY)],
      ["'infinity'", 'infinity'],
      ["'-infinity'", '-infinity'],
    ],
  },
  {
    type: 'timestamptz',
    kind: 'timestamptz',
    values: [
      ["'2024-02-29 12:34:56.123456+05:30'", 1_709_190_296_123_456],
      ["'0044-03-15 12:00:00+00 BC'", BigInt(-735_160) * BigInt(DAY) + BigInt(DAY / 2)],
      ["'infinity'", 'infinity'],
    ],
  },
  {
    type: 'time',
    kind: 'time',
    values: [
      ["'00:00:00'", 0],
      ["'23:59:59.999999'", DAY - 1],
      ["'24:00:00'", DAY],
    ],
  },
  {
    type: 'uuid',
    kind: 'uuid',
    values: [["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']],
  },
  { type: 'json', kind: 'json', values: [[`'{"b": 1,  "a":[1,2]}'`, '{"b": 1,  "a":[1,2]}']] },
  { type: 'jsonb', kind: 'json', values: [[`'{"b":1,"a":"x\\\\y"}'`, '{"a": "x\\\\y", "b": 1}']] },
  {
    type: 'bytea',
    kind: 'bytes',
    values: [
      ["'\\x00ff5c0a'", '00ff5c0a'],
      ["''", ''],
    ],
  },
  { type: 'timetz', kind: 'native', values: [["'12:00:00+02'", '12:00:00+02']] },
  { type: 'interval', kind: 'native', values: [["'1 year 2 days 03:04:05.000006'", '1 year 2 days 03:04:05.000006']] },
  { type: 'money', kind: 'native', values: [["'12.34'", '$12.34']] },
  { type: 'inet', kind: 'native', values: [["'10.0.0.1/8'", '10.0.0.1/8']] },
  { type: 'bit(3)', kind: 'native', values: [["B'101'", '101']] },
  { type: 'xml', kind: 'native', values: [["'<a>b</a>'", '<a>b</a>']] },
  { type: 'int4range', kind: 'native', values: [["'[1,5]'", '[1,6)']] },
  { type: 'integer[]', kind: 'native', values: [["'{1,NULL,3}'", '{1,NULL,3}']] },
  { type: 'text[]', kind: 'native', values: [[`ARRAY['a,b','"q"','c\\d',NULL]`, '{"a,b","\\"q\\"","c\\\\d",NULL}']] },
  {
    type: 'timestamptz[]',
    kind: 'native',
    values: [["ARRAY['2024-01-01 01:00+01'::timestamptz]", '{"2024-01-01 00:00:00+00"}']],
  },
  { type: 'app.mood', kind: 'native', values: [["'very happy'", 'very happy']] },
  { type: 'app.pair', kind: 'native', values: [["ROW(1,'x y')", '(1,"x y")']] },
  { type: 'app.amount', kind: 'decimal', values: [['7', '7.000']] },
  { type: 'tsvector', kind: 'native', values: [["'fat cat'", "'cat' 'fat'"]] },
  { type: 'point', kind: 'native', values: [["'(1,2)'", '(1,2)']] },
];

/** Row `ROWS` is all null. */
export const ROWS = Math.max(...CASES.map((each) => each.values.length));
export const columnOf = (index: number) => `c${String(index).padStart(2, '0')}`;

/** Row `n` has each type's n-th value; types with fewer repeat theirs. The last row is all null. */
export function expectedRow(n: number): Row {
  const row: Record<string, Value> = { id: n };
  CASES.forEach((each, index) => {
    row[columnOf(index)] = n === ROWS ? null : each.values[n % each.values.length]![1];
  });
  return row;
}

export function insertStatement(n: number, id: string): string {
  const literals = CASES.map((each) => (n === ROWS ? 'NULL' : each.values[n % each.values.length]![0]));
  return `INSERT INTO app.everything VALUES (${[id, ...literals].join(', ')})`;
}
