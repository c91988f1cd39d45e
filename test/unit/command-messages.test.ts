import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Decoder, Encoders } from '../../src/avro/codec.js';
import { CommandEncoder, commandOf, commandSchema, OutcomeEncoder } from '../../src/avro/command-codec.js';
import { layoutOf } from '../../src/avro/layout.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import type { AvroSchema } from '../../src/avro/schema.js';
import type { Command, Outcome } from '../../src/connector/contract.js';
import type { Row } from '../../src/model/value.js';
import { CommandReader } from '../../src/tasks/command-reader.js';
import { OutcomeWriter } from '../../src/tasks/outcome-writer.js';

/** The sink's own reading and writing against avsc's. */
const registry = new MemorySchemaRegistry();
const encoders = new Encoders(registry);
const commands = await CommandEncoder.register(encoders, 'command');

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('', 'ä', 'x'.repeat(70), 'ö'.repeat(70), '漢字'),
);
const value = fc.oneof(
  fc.constantFrom(null, true, false, 0, -1, 63, 64, 2 ** 31, -(2 ** 53) + 1, 2n ** 63n - 1n, -(2n ** 63n), 1.5, 'NaN'),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => (each === 0 ? 0 : each)),
  text,
);
/** Few names, so that rows often have the columns of an earlier one, some of them in another order. */
const row: fc.Arbitrary<Row> = fc.oneof(
  fc.constant({}),
  fc.record({ name: value, city: value }),
  fc.record({ city: value, name: value }),
  fc.record({ name: value, county: value }),
  fc.dictionary(fc.oneof(fc.constantFrom('name', 'city', '7', 'a b', 'größe', 'n'.repeat(200)), text), value, {
    maxKeys: 6,
  }),
);
const command: fc.Arbitrary<Command> = fc
  .record({
    id: text,
    link: text,
    entity: fc.constantFrom('company', 'person'),
    operation: fc.constantFrom('insert' as const, 'update' as const, 'delete' as const),
    key: fc.option(text),
    set: row,
    expect: row,
    absent: fc.array(row, { maxLength: 3 }),
    madeAtMicros: fc.integer({ min: 0, max: 2 ** 51 }),
    again: fc.boolean(),
  })
  .map(({ again, ...rest }) => (again ? { ...rest, again } : rest));

async function both() {
  const reader = new CommandReader(registry);
  const decoder = new Decoder(registry);
  const prepare = async (messages: readonly Buffer[]) => {
    await reader.prepare(messages);
    await decoder.prepare(messages);
  };
  return { reader, decoder, prepare };
}

/** With the names of the columns in their order. */
const ordered = (each: Command) => ({ ...each, names: [each.set, each.expect, ...each.absent].map(Object.keys) });

describe('commands', () => {
  it('are read as avsc reads them, whatever came before', async () => {
    const { reader, decoder, prepare } = await both();
    await prepare([commands.encode(fc.sample(command, 1)[0]!)]);
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 12 }), (each) => {
        for (const message of each.map((one) => commands.encode(one))) {
          expect(ordered(reader.read(message))).toEqual(ordered(commandOf(decoder.decode(message))));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('of another schema are read by it', async () => {
    const schema = commandSchema();
    const [id, ...fields] = schema.fields;
    const later = { ...schema, fields: [...fields, { name: 'priority', type: 'long', default: 0 }, id!] };
    const encoder = await encoders.register<object>('later', 'value', later);
    const message = encoder.encode({
      ...{ link: 'l', entity: 'e', operation: 'update', key: '1', absent: [], madeAt: 5, again: false },
      ...{ set: [{ column: 'a', value: 2 }], expect: [], priority: 9, id: 'c' },
    });
    const { reader, prepare } = await both();
    await prepare([message]);
    expect(reader.read(message)).toEqual({
      ...{ id: 'c', link: 'l', entity: 'e', operation: 'update', key: '1', set: { a: 2 }, expect: {}, absent: [] },
      madeAtMicros: 5,
    });
  });

  it('of a kind that is not known, and what is cut off or too long, are refused', async () => {
    const record = { ...{ id: 'c', link: 'l', entity: 'e', operation: 'unknown', key: null }, madeAt: 5, again: false };
    const encoder = await encoders.register<object>('command', 'value', commandSchema());
    const unknown = encoder.encode({ ...record, set: [], expect: [], absent: [] });
    const whole = commands.encode({
      ...{ id: 'command', link: 'link', entity: 'e', operation: 'update', key: '1', set: { a: 2, b: 'two' } },
      ...{ expect: { a: 1.5, b: null }, absent: [{ a: 1 }], madeAtMicros: 5 },
    });
    const { reader, prepare } = await both();
    await prepare([unknown, whole]);
    const unreadable = expect.objectContaining({ code: 'MESSAGE_UNREADABLE' });
    const cut = Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length));
    for (const message of [unknown, Buffer.concat([whole, Buffer.alloc(1)]), ...cut]) {
      expect(() => reader.read(message)).toThrow(unreadable);
    }
    expect(reader.read(whole).set).toEqual({ a: 2, b: 'two' });
  });

  it('are known by their layout, in whatever words a registry gives the schema back', () => {
    /** Attributes in another order, no texts, full names: as Java writes a schema. */
    const rewritten = (schema: unknown): unknown => {
      if (Array.isArray(schema)) return schema.map(rewritten);
      if (schema === 'Assignment') return 'duolog.Assignment';
      if (typeof schema !== 'object' || schema === null) return schema;
      const kept = Object.entries(schema).filter(([name]) => name !== 'doc' && name !== 'default');
      return Object.fromEntries(kept.reverse().map(([name, each]) => [name, rewritten(each)]));
    };
    const schema = commandSchema();
    expect(layoutOf(rewritten(schema) as AvroSchema)).toBe(layoutOf(schema));
    const [first, ...rest] = schema.fields;
    for (const fields of [rest, [...rest, first!], [{ ...first!, type: ['null', 'string'] }, ...rest]]) {
      expect(layoutOf({ ...schema, fields })).not.toBe(layoutOf(schema));
    }
  });
});

describe('outcomes', () => {
  const base = { command: text, link: text, entity: text };
  const outcome: fc.Arbitrary<Outcome> = fc.oneof(
    fc.record({ ...base, status: fc.constantFrom('applied' as const, 'unchanged' as const), key: text }),
    fc.record({
      ...base,
      ...{ status: fc.constant('refused' as const), key: fc.option(text), met: fc.option(row), reason: text },
    }),
    fc.record({
      ...base,
      ...{ status: fc.constant('failed' as const), key: fc.option(text), code: text, message: text },
      ...{ constraint: fc.option(text), column: fc.option(text), blockingKey: fc.option(text) },
    }),
  );

  it('are written as avsc writes them', async () => {
    const encoder = await OutcomeEncoder.register(encoders, 'outcome');
    const writer = await OutcomeWriter.register(encoders, 'outcome');
    fc.assert(
      fc.property(outcome, (each) => {
        expect(writer.write(each).toString('hex')).toBe(encoder.encode(each).toString('hex'));
      }),
      { numRuns: 1_000 },
    );
  });
});
