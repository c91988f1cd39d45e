import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columnConverter, conversionProblem, Inconvertible, toColumn, toField } from '../../src/mapping/convert.js';
import { matchValue } from '../../src/mapping/normalise.js';
import { dateText, parseDate, parseTimestamp, timestampText } from '../../src/mapping/times.js';
import type { ColumnType } from '../../src/model/table.js';
import { int64, type Value } from '../../src/model/value.js';
import type { ColumnPlan, FieldType } from '../../src/plan/plan.js';

function column(columnType: ColumnType, fieldType: FieldType, more: Partial<ColumnPlan> = {}): ColumnPlan {
  return {
    field: 'f',
    column: 'c',
    columnType,
    fieldType,
    read: true,
    write: true,
    values: null,
    otherwise: 'hold',
    tooLong: 'hold',
    ...more,
  };
}

const text = (maxLength: number | null): ColumnType => ({ kind: 'text', maxLength });
const decimal = (precision: number, scale: number) => ({ kind: 'decimal', precision, scale }) as const;
const string: FieldType = { kind: 'string' };

const columnTypes: readonly ColumnType[] = [
  ...(['boolean', 'int16', 'int32', 'int64', 'float32', 'float64'] as const).map((kind) => ({ kind })),
  decimal(12, 2),
  decimal(6, 4),
  decimal(8, 0),
  { kind: 'decimal', precision: null, scale: null },
  text(null),
  text(1),
  text(12),
  { kind: 'text', maxLength: 8, padded: true },
  ...(['date', 'timestamp', 'timestamptz', 'time', 'uuid', 'json', 'bytes'] as const).map((kind) => ({ kind })),
  { kind: 'native', nativeType: 'tsrange' },
];
const fieldTypes: readonly FieldType[] = [
  ...(['string', 'integer', 'float', 'boolean', 'date', 'timestamp', 'time', 'uuid', 'json', 'bytes'] as const).map(
    (kind) => ({ kind }),
  ),
  decimal(12, 2),
  decimal(18, 6),
  { kind: 'reference', entity: 'parent' },
];

const micros = fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }).map(int64);
const wholeNumbers = fc.oneof(
  fc.integer(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(int64),
  fc.constantFrom(0, 1),
);
const floats = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value));
function decimalTexts(scale: number, digits: number): fc.Arbitrary<Value> {
  const limit = 10n ** BigInt(digits) - 1n;
  return fc.bigInt({ min: -limit, max: limit }).map((unscaled) => {
    const sign = unscaled < 0n ? '-' : '';
    const padded = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
    return scale === 0 ? sign + padded : `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`;
  });
}
const texts = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ maxLength: 20 }),
  fc.constantFrom('', '1', '12.50', 'true', '2024-02-29', '2024-02-29T10:00:00Z', '10:30:00', 'infinity', '{"a":1}'),
);

/** Values in a field type's own form. */
function valuesOf(type: FieldType | ColumnType): fc.Arbitrary<Value> {
  switch (type.kind) {
    case 'string':
    case 'text':
    case 'native':
    case 'reference':
      return texts;
    case 'integer':
    case 'int64':
      return wholeNumbers;
    case 'int16':
      return fc.integer({ min: -32768, max: 32767 });
    case 'int32':
      return fc.integer();
    case 'float':
    case 'float64':
      return fc.oneof(floats, fc.constantFrom<Value>('NaN', 'Infinity', '-Infinity'));
    case 'float32':
      return fc
        .float({ noNaN: true, noDefaultInfinity: true })
        .map((value) => columnConverter(column({ kind: 'float32' }, { kind: 'float' })).toColumn(value) as Value);
    case 'boolean':
      return fc.boolean();
    case 'date':
      return fc.oneof(fc.integer({ min: -2_000_000, max: 2_000_000 }), fc.constantFrom<Value>('infinity', '-infinity'));
    case 'timestamp':
    case 'timestamptz':
      return fc.oneof(micros, fc.constantFrom<Value>('infinity', '-infinity'));
    case 'time':
      return fc.integer({ min: 0, max: 86_400_000_000 });
    case 'uuid':
      return fc.uuid();
    case 'json':
      return fc.json();
    case 'bytes':
      return fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex'));
    case 'decimal':
      return fc.oneof(decimalTexts(type.scale ?? 3, type.precision ?? 20), fc.constant<Value>('NaN'));
  }
}

const pairs = columnTypes.flatMap((columnType) =>
  fieldTypes.flatMap((fieldType) =>
    (['hold', 'truncate'] as const).map((tooLong) => column(columnType, fieldType, { tooLong })),
  ),
);
const possible = pairs.filter((plan) => conversionProblem(plan) === null);

function nameOf(plan: ColumnPlan): string {
  return `${JSON.stringify(plan.columnType)} ↔ ${JSON.stringify(plan.fieldType)} ${plan.tooLong}`;
}

describe('conversions between columns and fields', () => {
  it('knows more than a hundred pairs of types', () => {
    expect(possible.length).toBeGreaterThan(100);
  });

  it.each(possible.map((plan) => [nameOf(plan), plan] as const))('%s: a projection is stable', (_name, plan) => {
    const { toField: read, toColumn: write, comparable } = columnConverter(plan);
    fc.assert(
      fc.property(valuesOf(plan.fieldType), (value) => {
        const written = write(value);
        if (written instanceof Inconvertible) return;
        const shown = read(written);
        if (shown instanceof Inconvertible) throw new Error(`not readable: ${String(written)}: ${shown.reason}`);
        expect(write(shown)).toBe(written);
        expect(comparable(written)).toBe(written);
      }),
      { numRuns: 60 },
    );
  });

  it.each(possible.map((plan) => [nameOf(plan), plan] as const))('%s: comparing forms is stable', (_name, plan) => {
    const { comparable } = columnConverter(plan);
    fc.assert(
      fc.property(valuesOf(plan.columnType), (value) => {
        expect(comparable(comparable(value))).toBe(comparable(value));
      }),
      { numRuns: 60 },
    );
  });

  it.each(possible.filter((plan) => plan.tooLong === 'hold').map((plan) => [nameOf(plan), plan] as const))(
    '%s: nothing is lost on the way to the field and back',
    (_name, plan) => {
      const { toField: read, toColumn: write } = columnConverter(plan);
      fc.assert(
        fc.property(valuesOf(plan.fieldType), (value) => {
          const written = write(value);
          if (written instanceof Inconvertible) return;
          const back = read(written);
          if (plan.fieldType.kind === 'float' && plan.columnType.kind === 'float32') return;
          if (plan.fieldType.kind === 'string' || plan.fieldType.kind === 'reference') return;
          expect(back).toBe(value);
        }),
        { numRuns: 60 },
      );
    },
  );

  it('lets null through', () => {
    for (const plan of possible) {
      expect(toField(plan, null)).toEqual({ ok: true, value: null });
      expect(toColumn(plan, null)).toEqual({ ok: true, value: null });
    }
  });

  it.each<[string, ColumnPlan, Value, Value]>([
    ['decimal takes the scale of its column', column(decimal(12, 4), decimal(12, 2)), '1.50', '1.5000'],
    ['decimal without digits lost', column(decimal(12, 1), decimal(12, 2)), '1.50', '1.5'],
    ['negative zero is zero', column(decimal(6, 1), decimal(12, 2), { tooLong: 'truncate' }), '-0.04', '0.0'],
    ['decimal as an integer', column({ kind: 'int32' }, decimal(12, 2)), '5.00', 5],
    ['integer as a decimal', column(decimal(8, 2), { kind: 'integer' }), 5, '5.00'],
    ['true as 1', column({ kind: 'int16' }, { kind: 'boolean' }), true, 1],
    ['truncated by characters', column(text(2), string, { tooLong: 'truncate' }), '😀😀😀', '😀😀'],
    ['four units of UTF-16 are two characters', column(text(2), string), '😀😀', '😀😀'],
    ['char(n) with its spaces', column({ kind: 'text', maxLength: 4, padded: true }, string), 'ab', 'ab  '],
    ['date as midnight', column({ kind: 'timestamp' }, { kind: 'date' }), -1, -86_400_000_000],
    ['float32 in its shortest digits', column({ kind: 'float32' }, { kind: 'float' }), 0.1, 0.1],
    ['a reference to a number', column({ kind: 'int64' }, { kind: 'reference', entity: 'p' }), '42', 42],
    ['a reference to a text with a comma', column(text(9), { kind: 'reference', entity: 'p' }), 'a\\,b', 'a,b'],
    ['timestamp cut to its day', column({ kind: 'date' }, { kind: 'timestamp' }, { tooLong: 'truncate' }), -1, -1],
  ])('%s', (_name, plan, field, expected) => {
    expect(toColumn(plan, field)).toEqual({ ok: true, value: expected });
  });

  it.each<[string, ColumnPlan, Value, RegExp]>([
    ['too many digits', column(decimal(12, 1), decimal(12, 2)), '1.55', /more than 1 digits behind/],
    ['too large', column(decimal(4, 2), decimal(12, 2)), '100.00', /more than the 2 digits before/],
    ['too long', column(text(2), string), 'abc', /longer than 2 characters/],
    ['too wide an integer', column({ kind: 'int16' }, { kind: 'integer' }), 32768, /16-bit/],
    ['half a date', column({ kind: 'date' }, { kind: 'timestamp' }), 1, /time of day/],
    ['a word as a number', column({ kind: 'int32' }, string), 'many', /not a whole number/],
    ['NUL', column(text(9), string), 'a\0b', /NUL/],
    ['a large integer as a float', column({ kind: 'float64' }, { kind: 'integer' }), 9007199254740993n, /exactly/],
  ])('refuses with a reason that does not show the value: %s', (_name, plan, field, expected) => {
    const result = toColumn(plan, field);
    expect(result.ok).toBe(false);
    if (result.ok) return;
    expect(result.reason).toMatch(expected);
    expect(result.reason).not.toContain(String(field));
  });

  it('has no conversion where none makes sense', () => {
    expect(conversionProblem(column({ kind: 'bytes' }, { kind: 'date' }))).toMatch(/bytes.*date/);
  });
});

describe('char(n)', () => {
  it('gives its field the text without the spaces that fill the column', () => {
    const plan = column({ kind: 'text', maxLength: 4, padded: true }, string);
    expect(toField(plan, 'ab  ')).toEqual({ ok: true, value: 'ab' });
    expect(columnConverter(plan).comparable('ab')).toBe('ab  ');
  });
});

describe('value maps', () => {
  const values = [
    { column: '€', field: 'EUR' },
    { column: 'euro', field: 'EUR' },
    { column: '$', field: 'USD' },
  ];

  it('translates both ways and holds what it does not know', () => {
    const plan = column(text(9), string, { values });
    expect(toField(plan, 'euro')).toEqual({ ok: true, value: 'EUR' });
    expect(toColumn(plan, 'EUR')).toEqual({ ok: true, value: '€' });
    expect(toField(plan, '¥').ok).toBe(false);
    expect(toColumn(plan, 'JPY').ok).toBe(false);
    expect(columnConverter(plan).comparable('euro')).toBe('€');
  });

  it('writes a value that means null in the first spelling of null', () => {
    const doubled = [
      { column: '€', field: null },
      { column: 'x', field: null },
    ];
    expect(toColumn(column(text(3), string, { values: doubled, otherwise: 'keep' }), 'x')).toEqual({
      ok: true,
      value: '€',
    });
  });

  it.each(['hold', 'null', 'keep'] as const)('is stable with otherwise: %s', (otherwise) => {
    const some = fc.constantFrom<Value>('€', 'euro', '$', 'EUR', 'USD', 'x', '', null);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ column: some, field: some }), { selector: (entry) => entry.column }),
        some,
        (map, value) => {
          const { toField: read, toColumn: write } = columnConverter(
            column(text(3), string, { values: map, otherwise }),
          );
          const written = write(value);
          if (written instanceof Inconvertible) return;
          const shown = read(written);
          if (shown instanceof Inconvertible) return;
          expect(write(shown)).toBe(written);
        },
      ),
    );
  });
});

describe('dates and times as text', () => {
  it('agree with the calendar of Date', () => {
    fc.assert(
      fc.property(fc.integer({ min: -100_000, max: 2_900_000 }), (days) => {
        const iso = new Date(days * 86_400_000).toISOString();
        expect(dateText(days)).toBe(iso.slice(0, iso.indexOf('T')));
        expect(parseDate(dateText(days))).toBe(days);
      }),
    );
    expect(parseDate('2023-02-29')).toBeNull();
  });

  it('keep microseconds', () => {
    fc.assert(fc.property(micros, (value) => parseTimestamp(timestampText(value)) === value));
    expect(parseTimestamp('1970-01-01 02:00:00.000001+02')).toBe(1);
  });
});

describe('match values', () => {
  const rule = { name: 'vat', on: ['vat'], normalise: ['case', 'spaces', 'punctuation'] } as const;

  it('meet whatever case, spaces and punctuation', () => {
    expect(matchValue(rule, ['DE 123.456-x'])).toBe(matchValue(rule, ['de123456X']));
    expect(matchValue({ ...rule, normalise: [] }, ['A'])).not.toBe(matchValue({ ...rule, normalise: [] }, ['a']));
    expect(matchValue(rule, ['Caf\u00e9'])).toBe(matchValue(rule, ['Cafe\u0301']));
  });

  it('are none when a part is missing or empty', () => {
    expect(matchValue(rule, [null])).toBeNull();
    expect(matchValue(rule, [' - '])).toBeNull();
    expect(matchValue({ ...rule, on: ['a', 'b'] }, ['x', null])).toBeNull();
  });

  it('keep parts apart and their length within an index key', () => {
    const two = { ...rule, on: ['a', 'b'], normalise: [] } as const;
    fc.assert(
      fc.property(texts, texts, texts, texts, (a, b, c, d) => {
        const same = a === c && b === d;
        const left = matchValue(two, [a, b]);
        if (left === null || matchValue(two, [c, d]) === null) return;
        expect(left === matchValue(two, [String(c), String(d)])).toBe(
          same || (String(a).normalize() === String(c).normalize() && String(b).normalize() === String(d).normalize()),
        );
      }),
    );
    const long = matchValue(rule, ['x'.repeat(5000)]);
    expect(long?.length).toBeLessThan(400);
    expect(long).not.toBe(matchValue(rule, ['x'.repeat(5001)]));
  });
});
