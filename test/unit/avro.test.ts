import { readdirSync } from 'node:fs';
import avro from 'avsc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changeEvent, ChangeEncoder, changeSchema } from '../../src/avro/change-codec.js';
import { Decoder, Encoders } from '../../src/avro/codec.js';
import { CommandEncoder, commandOf, OutcomeEncoder, outcomeOf } from '../../src/avro/command-codec.js';
import { controlEvent, ControlEncoder } from '../../src/avro/control-codec.js';
import type { AnswerEvent } from '../../src/decision/events.js';
import { decimalBytes, decimalText } from '../../src/avro/decimal.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { compile, schemaFile, type SchemaFile } from '../../src/avro/schema.js';
import type { Change, Command, Outcome } from '../../src/connector/contract.js';
import type { Column, ColumnType, TableShape } from '../../src/model/table.js';
import { int64, type Row, type Value } from '../../src/model/value.js';

const FILES = readdirSync(new URL('../../schemas/', import.meta.url))
  .filter((name) => name.endsWith('.avsc'))
  .map((name) => name.slice(0, -'.avsc'.length) as SchemaFile);

const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value));
const special = fc.constantFrom('NaN', 'Infinity', '-Infinity');
const longs = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(int64);
const endless = fc.constantFrom('infinity', '-infinity');
const text = fc.string({ unit: 'grapheme' });

/** Every kind of column with all forms its values can take. */
const COLUMNS: readonly (readonly [ColumnType, fc.Arbitrary<Value>])[] = [
  [{ kind: 'boolean' }, fc.boolean()],
  [{ kind: 'int16' }, fc.integer({ min: -32768, max: 32767 })],
  [{ kind: 'int32' }, fc.integer()],
  [{ kind: 'int64' }, longs],
  [{ kind: 'float32' }, fc.oneof(finite, special)],
  [{ kind: 'float64' }, fc.oneof(finite, special)],
  [{ kind: 'decimal', precision: 12, scale: 2 }, fc.oneof(decimals(2, 10n ** 12n), fc.constantFrom('NaN', '-0.00'))],
  [{ kind: 'decimal', precision: 40, scale: 20 }, decimals(20, 10n ** 40n)],
  [{ kind: 'decimal', precision: 20, scale: 0 }, decimals(0, 10n ** 20n)],
  [{ kind: 'decimal', precision: null, scale: null }, fc.constantFrom('1', '1.50', 'NaN', '-Infinity', '1e-30')],
  [{ kind: 'decimal', precision: 3, scale: -2 }, fc.constantFrom('1200', '-99900')],
  [{ kind: 'text', maxLength: null }, text],
  [{ kind: 'date' }, fc.oneof(fc.integer({ min: -5_000_000, max: 5_000_000 }), endless)],
  [{ kind: 'timestamp' }, fc.oneof(longs, endless)],
  [{ kind: 'timestamptz' }, fc.oneof(longs, endless)],
  [{ kind: 'time' }, fc.integer({ min: 0, max: 86_400_000_000 })],
  [{ kind: 'uuid' }, fc.uuid()],
  [{ kind: 'json' }, fc.json()],
  [{ kind: 'bytes' }, fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('hex'))],
  [{ kind: 'native', nativeType: 'tsrange' }, text],
];

function decimals(scale: number, below: bigint): fc.Arbitrary<string> {
  return fc.bigInt({ min: -below + 1n, max: below - 1n }).map((unscaled) => {
    const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
    const number = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
    return unscaled < 0n ? `-${number}` : number;
  });
}

const SHAPE: TableShape = {
  system: 'crm',
  entity: 'thing',
  table: 'public.thing',
  key: ['c0'],
  comment: null,
  columns: COLUMNS.map(
    ([type], index): Column => ({
      // Every third name is one that Avro does not allow.
      name: index % 3 === 2 ? `größe ${index}` : `c${index}`,
      type,
      nativeType: type.kind,
      nullable: true,
      hasDefault: false,
      generated: false,
      comment: null,
    }),
  ),
};

const row: fc.Arbitrary<Row> = fc.record(
  Object.fromEntries(SHAPE.columns.map(({ name }, index) => [name, fc.option(COLUMNS[index]![1])])),
) as fc.Arbitrary<Row>;

const partialRow = fc
  .tuple(row, fc.uniqueArray(fc.constantFrom(...SHAPE.columns.map(({ name }) => name))))
  .map(([whole, missing]) => {
    const part = Object.fromEntries(Object.entries(whole).filter(([name]) => !missing.includes(name)));
    return { part: part, missing };
  });

function change(parts: Partial<Change>): Change {
  return {
    kind: 'change',
    table: SHAPE,
    operation: 'update',
    key: 'k',
    keyChange: null,
    before: null,
    after: null,
    unchanged: [],
    commitTimeMicros: 1_700_000_000_123_456,
    transaction: '7',
    position: '0/1',
    origin: null,
    ...parts,
  };
}

async function throughAvro(event: Change, maxBytes = 1_000_000) {
  const registry = new MemorySchemaRegistry();
  const encoder = await ChangeEncoder.register(new Encoders(registry), 'topic', SHAPE, maxBytes);
  const message = encoder.encode(event);
  const decoder = new Decoder(registry);
  await decoder.prepare([message]);
  const read = changeEvent('crm', 'thing', event.key, decoder.decode(message));
  if (read.kind !== 'change') throw new Error('not a change');
  return { read, message };
}

describe('schemas', () => {
  it.each(FILES)('%s has a doc text for every field', (name) => {
    const visit = (node: unknown): void => {
      if (Array.isArray(node)) return node.forEach(visit);
      if (typeof node !== 'object' || node === null) return;
      if ('fields' in node)
        for (const field of node.fields as { doc?: string; name: string }[]) {
          expect(field.doc, `${name}.${field.name}`).toBeTruthy();
        }
      Object.values(node).forEach(visit);
    };
    visit(schemaFile(name));
  });

  it('make a row of the catalogue that plain avsc understands as well', () => {
    const type = avro.Type.forSchema(changeSchema(SHAPE) as never, { wrapUnions: true });
    expect(type.typeName).toBe('record');
  });
});

describe('changes', () => {
  it('come back as they went in, whatever the values', async () => {
    await fc.assert(
      fc.asyncProperty(row, row, async (before, after) => {
        const { read } = await throughAvro(change({ before, after }));
        expect({ ...read.before }).toEqual(before);
        expect({ ...read.after }).toEqual(after);
        for (const name of Object.keys(after)) expect(Object.is(read.after![name], after[name])).toBe(true);
      }),
    );
  });

  it('tell a column that was not sent from one that is null', async () => {
    await fc.assert(
      fc.asyncProperty(partialRow, partialRow, async (before, after) => {
        const { read } = await throughAvro(
          change({ before: before.part, after: after.part, unchanged: after.missing }),
        );
        expect({ ...read.before }).toEqual(before.part);
        expect({ ...read.after }).toEqual(after.part);
        expect(read.unchanged).toEqual(after.missing);
      }),
    );
  });

  it('leave out the largest columns of a row too large for a message, and name them', async () => {
    const after = Object.fromEntries(SHAPE.columns.map(({ name }) => [name, null])) as Record<string, Value>;
    after['größe 11'] = 'x'.repeat(5000);
    after['c18'] = 'ff'.repeat(100);
    after['c0'] = true;
    const { read, message } = await throughAvro(change({ after }), 1000);
    expect(read.oversize).toEqual(['größe 11']);
    expect(message.length).toBeLessThanOrEqual(1000);
    expect(read.after).toMatchObject({ c0: true, c18: 'ff'.repeat(100) });
    expect(read.after).not.toHaveProperty('größe 11');
  });

  it('leave out what was there before, rather than what is there now', async () => {
    const nothing = Object.fromEntries(SHAPE.columns.map(({ name }) => [name, null]));
    const before = { ...nothing, c0: true, 'größe 11': 'x'.repeat(5000) };
    const after = { ...nothing, c0: true, 'größe 11': 'small' };
    const { read } = await throughAvro(change({ before, after }), 1000);
    expect(read.oversize).toBeUndefined();
    expect({ ...read.after }).toEqual(after);
    expect(read.before).toHaveProperty('c0', true);
    expect(read.before).not.toHaveProperty('größe 11');
  });

  it('keep origin, key changes and times', async () => {
    const origin = { sync: 's', command: 'c', link: null };
    const { read } = await throughAvro(change({ origin, keyChange: { from: 'old' }, commitTimeMicros: null }));
    expect(read).toMatchObject({ origin, keyChange: { from: 'old' }, commitTimeMicros: null, transaction: '7' });
    expect((await throughAvro(change({ keyChange: { to: 'new' } }))).read.keyChange).toEqual({ to: 'new' });
  });
});

describe('integers', () => {
  const type = compile(['null', 'long']);
  it('are written as Avro says, up to 64 bits', () => {
    fc.assert(
      fc.property(longs, (value) => {
        const plain = avro.types.LongType.__with({
          fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
          toBuffer: (number: bigint) => {
            const bytes = Buffer.alloc(8);
            bytes.writeBigInt64LE(number);
            return bytes;
          },
          fromJSON: BigInt,
          toJSON: Number,
          isValid: (number: unknown) => typeof number === 'bigint',
          compare: (left: bigint, right: bigint) => (left < right ? -1 : left > right ? 1 : 0),
        });
        const bytes = type.toBuffer(value);
        expect(bytes.subarray(1)).toEqual(plain.toBuffer(BigInt(value)));
        expect(type.fromBuffer(bytes)).toBe(value);
      }),
    );
  });
  it.each([2 ** 52, -(2 ** 52), 2 ** 52 + 1, -(2 ** 52) - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])(
    'hold at the edge %d',
    (value) => expect(type.fromBuffer(type.toBuffer(value))).toBe(value),
  );
});

describe('decimals', () => {
  it('go only where the digits are exactly those of the scale', () => {
    for (const other of ['1.5', '1', '1.505', 'NaN', '01.50', '', '-0.00', '1e3', '+1.00']) {
      expect(decimalBytes(other, 2)).toBeNull();
    }
    expect(decimalText(decimalBytes('-1.28', 2)!, 2)).toBe('-1.28');
    expect(decimalBytes('1.28', 2)).toEqual(Buffer.from([0x00, 0x80]));
  });
});

describe('commands and outcomes', () => {
  const values = fc.oneof(fc.constant(null), fc.boolean(), longs, finite, special, text);
  const part = fc.dictionary(
    fc.string({ minLength: 1 }).filter((name) => name !== '__proto__'),
    values,
  ) as fc.Arbitrary<Row>;

  it('come back as they went in', async () => {
    const registry = new MemorySchemaRegistry();
    const encoders = new Encoders(registry);
    const commands = await CommandEncoder.register(encoders, 'command');
    const outcomes = await OutcomeEncoder.register(encoders, 'outcome');
    const decoder = new Decoder(registry);
    await fc.assert(
      fc.asyncProperty(part, part, fc.array(part), async (set, expected, absent) => {
        const command: Command = {
          id: 'b-1',
          link: 'l',
          entity: 'thing',
          operation: 'update',
          key: null,
          set,
          expect: expected,
          absent,
          madeAtMicros: 5,
        };
        const refused: Outcome = {
          command: 'c',
          link: 'l',
          entity: 'e',
          status: 'refused',
          key: 'k',
          met: set,
          reason: 'r',
        };
        const messages = [commands.encode(command), outcomes.encode(refused)] as const;
        await decoder.prepare(messages);
        expect(commandOf(decoder.decode(messages[0]))).toEqual(command);
        expect(outcomeOf(decoder.decode(messages[1]))).toEqual(refused);
      }),
    );
  });

  it('keep every kind of outcome', async () => {
    const registry = new MemorySchemaRegistry();
    const encoder = await OutcomeEncoder.register(new Encoders(registry), 'outcome');
    const decoder = new Decoder(registry);
    const base = { command: 'c', link: 'l', entity: 'e' };
    const all: Outcome[] = [
      { ...base, status: 'applied', key: '1' },
      { ...base, status: 'unchanged', key: '1' },
      { ...base, status: 'refused', key: null, met: null, reason: 'gone' },
      {
        ...base,
        status: 'failed',
        key: null,
        code: '23505',
        message: 'm',
        constraint: 'u',
        column: 'x',
        blockingKey: '7',
      },
    ];
    for (const outcome of all) {
      const message = encoder.encode(outcome);
      await decoder.prepare([message]);
      expect(outcomeOf(decoder.decode(message))).toEqual(outcome);
    }
  });
});

describe('what people say', () => {
  it('comes back as it was said', async () => {
    const registry = new MemorySchemaRegistry();
    const encoder = await ControlEncoder.register(new Encoders(registry), 'control');
    const answer: AnswerEvent = {
      kind: 'answer',
      entity: 'person',
      link: 'l',
      group: null,
      winner: 'crm',
      seen: { crm: { id: 2n ** 60n, name: 'Ann' }, erp: null },
      timeMicros: 5,
    };
    const message = encoder.encode(answer);
    const decoder = new Decoder(registry);
    await decoder.prepare([message]);
    expect(controlEvent(decoder.decode(message))).toEqual(answer);
  });
});
