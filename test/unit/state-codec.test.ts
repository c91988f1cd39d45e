import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HEADER_BYTES } from '../../src/avro/codec.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { compile } from '../../src/avro/schema.js';
import type { FieldValue } from '../../src/decision/events.js';
import type { Attempt, Hold, InFlight, LinkRecord, Member, Setter, StateRecord } from '../../src/decision/state.js';
import type { TableShape } from '../../src/model/table.js';
import { int64, type Row, type Value } from '../../src/model/value.js';
import type { EntityPlan, EntitySystemPlan, SyncPlan } from '../../src/plan/plan.js';
import { fromJsonForm, toJsonForm } from '../../src/state/json-form.js';
import { stateSchema } from '../../src/state/state-schema.js';
import { AvroStateCodec } from '../../src/state/state-codec.js';

const SYSTEMS = ['crm', 'the-erp'] as const;

function shape(system: string): TableShape {
  const column = (name: string, type: TableShape['columns'][number]['type']) =>
    ({
      name,
      type,
      nativeType: type.kind,
      nullable: true,
      hasDefault: false,
      generated: false,
      comment: null,
    }) as const;
  return {
    system,
    entity: 'person',
    table: 'public.person',
    key: ['id'],
    comment: null,
    columns: [
      column('id', { kind: 'int64' }),
      column('na me', { kind: 'text', maxLength: null }),
      column('credit', { kind: 'decimal', precision: 12, scale: 2 }),
    ],
  };
}

/** Values of mapped columns stand in the canonical record where they agree with it. */
const mapping = [
  { column: 'na me', field: 'name' },
  { column: 'credit', field: 'credit' },
];

const entity: EntityPlan = {
  name: 'person',
  fields: [
    { name: 'name', type: { kind: 'string' }, nullable: true, group: 'name' },
    { name: 'credit', type: { kind: 'decimal', precision: 12, scale: 2 }, nullable: true, group: 'money' },
    { name: 'company', type: { kind: 'reference', entity: 'person' }, nullable: true, group: 'company' },
  ],
  match: [],
  conflict: { policy: 'leading', lead: null, withinMicros: 0, otherwise: 'leading', groups: {}, first: 'leading' },
  systems: Object.fromEntries(
    SYSTEMS.map((system) => [system, { shape: shape(system), columns: mapping } as unknown as EntitySystemPlan]),
  ),
  children: [],
};
const plan: SyncPlan = {
  name: 's',
  prefix: 'p',
  leading: SYSTEMS,
  systems: SYSTEMS,
  entities: [entity],
  fingerprint: 'f',
  fingerprintParts: {},
};

/** Few texts, so that images and the canonical record often agree. */
const text = fc.oneof(fc.constantFrom('a', 'b'), fc.string());
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const micros = orNull(fc.integer({ min: 0, max: 2 ** 51 }));
const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(int64);
const value: fc.Arbitrary<Value> = fc.oneof(fc.constant(null), fc.boolean(), long, text);
const reference: fc.Arbitrary<FieldValue> = fc.oneof(
  fc.record({ link: text }),
  fc.record({ system: text, entity: text, key: text }),
);
const system = fc.constantFrom(...SYSTEMS);
const setter: fc.Arbitrary<Setter> = fc.record({ system, timeMicros: micros });
const row = fc.record(
  { id: orNull(long), 'na me': orNull(text), credit: orNull(fc.constantFrom('1.50', '-2.00', 'NaN')) },
  { requiredKeys: [] },
) as fc.Arbitrary<Row>;
const someRow = fc.dictionary(fc.constantFrom('id', 'na me', 'other'), value) as fc.Arbitrary<Row>;
const operation = fc.constantFrom('insert' as const, 'update' as const, 'delete' as const);
const attempt: fc.Arbitrary<Attempt> = fc.record({ operation, key: orNull(text), set: someRow, expect: someRow });
const inFlight: fc.Arbitrary<InFlight> = fc.record({
  command: text,
  operation,
  soft: fc.boolean(),
  key: orNull(text),
  set: someRow,
  expect: someRow,
  match: fc.array(text),
  memberMoves: fc.nat(),
  linkMoves: fc.nat(),
  setters: fc.dictionary(fc.constantFrom('name', 'money'), setter),
});
const hold: fc.Arbitrary<Hold> = fc.record({
  reason: fc.constantFrom('failed' as const, 'refused' as const),
  group: orNull(text),
  detail: text,
  sinceMicros: micros,
  lasting: fc.boolean(),
  attempt: orNull(attempt),
  blocking: orNull(text),
});
const member: fc.Arbitrary<Member> = fc.record({
  key: orNull(text),
  seen: orNull(row),
  moves: fc.nat(),
  agreed: fc.dictionary(fc.constantFrom('name', 'company'), fc.oneof(value, reference)),
  match: fc.array(text),
  inFlight: orNull(inFlight),
  holds: fc.array(hold, { maxLength: 2 }),
  kept: fc.boolean(),
  formerKeys: fc.array(text),
  ending: orNull(fc.record({ transaction: text, timeMicros: micros, key: text, seen: row })),
  snapshot: fc.nat(),
  movedAfter: fc.nat(),
  transaction: orNull(text),
});
const link: fc.Arbitrary<LinkRecord> = fc.record({
  kind: fc.constant('link' as const),
  id: text,
  entity: fc.constant('person'),
  existence: fc.constantFrom('present' as const, 'deleted' as const),
  matching: fc.constantFrom('open' as const, 'first-snapshot' as const, 'unlinked' as const),
  canonical: fc.record(
    { name: orNull(text), credit: orNull(fc.constantFrom('1.50', 'NaN')), company: orNull(reference) },
    { requiredKeys: [] },
  ) as fc.Arbitrary<Record<string, FieldValue>>,
  set: fc.dictionary(fc.constantFrom('name', 'money', 'company'), setter),
  match: fc.array(text),
  firstMatch: fc.array(text),
  deletions: fc.array(fc.record({ system, key: text, timeMicros: micros })),
  rewrites: fc.dictionary(fc.constantFrom('name'), fc.nat()),
  moves: fc.nat(),
  tombstoneMicros: micros,
  members: fc.dictionary(system, member),
});

/** Records and plain objects alike, as data. */
function plain(data: unknown): unknown {
  return fromJsonForm(toJsonForm(data));
}

describe('the codec of the state', () => {
  it('gives back every link as it was', async () => {
    const registry = new MemorySchemaRegistry();
    const codec = await AvroStateCodec.register(registry, 'state', plan);
    fc.assert(
      fc.property(link, (record) => {
        expect(plain(codec.decode(codec.encode(record)))).toEqual(plain(record));
      }),
    );
  });

  it("writes links as Avro's own library does", async () => {
    const codec = await AvroStateCodec.register(new MemorySchemaRegistry(), 'state', plan);
    const type = compile(stateSchema(plan));
    fc.assert(
      fc.property(link, (record) => {
        const bytes = codec.encode(record).subarray(HEADER_BYTES);
        expect(type.toBuffer(type.fromBuffer(bytes)).toString('hex')).toBe(bytes.toString('hex'));
      }),
    );
  });

  it('says of a message that is cut short or damaged that it cannot be read, or gives a link', async () => {
    const codec = await AvroStateCodec.register(new MemorySchemaRegistry(), 'state', plan);
    fc.assert(
      fc.property(link, fc.nat(), fc.integer({ min: 0, max: 255 }), (record, place, byte) => {
        const bytes = codec.encode(record);
        const cut = bytes.subarray(0, HEADER_BYTES + (place % (bytes.length - HEADER_BYTES)));
        expect(() => codec.decode(cut)).toThrow(expect.objectContaining({ code: 'MESSAGE_UNREADABLE' }));
        const damaged = Buffer.from(bytes);
        damaged[HEADER_BYTES + (place % (bytes.length - HEADER_BYTES))] = byte;
        try {
          expect(['link', 'redirect']).toContain(codec.decode(damaged).kind);
        } catch (error) {
          expect(error).toMatchObject({ code: 'MESSAGE_UNREADABLE' });
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('gives back everything else, with integers beyond 2^53', async () => {
    const codec = await AvroStateCodec.register(new MemorySchemaRegistry(), 'state', plan);
    const record: StateRecord = {
      kind: 'waiting',
      system: 'crm',
      entity: 'person',
      key: '1',
      command: 'c',
      events: [
        {
          kind: 'change',
          system: 'crm',
          entity: 'person',
          key: '1',
          operation: 'insert',
          keyChange: null,
          before: null,
          after: { id: 2n ** 62n },
          unchanged: [],
          commitTimeMicros: 1,
          transaction: '1',
          position: '1',
          origin: null,
        },
      ],
    };
    expect(codec.decode(codec.encode(record))).toEqual(record);
  });

  it('reads what was written before a column and a field came', async () => {
    const registry = new MemorySchemaRegistry();
    const before = await AvroStateCodec.register(registry, 'state', plan);
    const column = { ...shape('crm').columns[1]!, name: 'added' };
    const wider: TableShape = { ...shape('crm'), columns: [column, ...shape('crm').columns] };
    const field = { ...entity.fields[0]!, name: 'phone', group: 'phone' };
    const later: EntityPlan = {
      ...entity,
      fields: [field, ...entity.fields],
      systems: { ...entity.systems, crm: { shape: wider, columns: mapping } as unknown as EntitySystemPlan },
    };
    const after = await AvroStateCodec.register(registry, 'state', { ...plan, entities: [later] });
    await after.prepare([before.encode(fc.sample(link, 1)[0]!)]);
    fc.assert(
      fc.property(link, (record) => {
        expect(plain(after.decode(before.encode(record)))).toEqual(plain(record));
        expect(plain(after.decode(after.encode(record)))).toEqual(plain(record));
      }),
    );
  });
});
