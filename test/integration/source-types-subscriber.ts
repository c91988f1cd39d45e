import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import avro from 'avsc';
import { checkConfiguration } from '../../src/config/load.js';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import { createLogger } from '../../src/logging/logger.js';
import { startDuolog } from '../../src/runtime.js';
import { Decimal } from '../kill/oracle/avro.js';
import { stack } from '../support/shared.js';
import type { TypeCase } from './source-type-cases.js';

/** A source task on app.everything, and a subscriber of its topic that shares no code with the product's codec. */

export type PlainRow = Readonly<Record<string, unknown>>;

export interface PlainChange {
  readonly key: { readonly key: string };
  readonly op: string;
  /** By column; a value is { branch: value } of its union. */
  readonly before: PlainRow | null;
  readonly after: PlainRow | null;
  /** The schema of the rows, as the registry has it. */
  readonly rowSchema: RowSchema;
}

export interface RowSchema {
  readonly doc: string;
  readonly fields: readonly { readonly name: string; readonly type: unknown; readonly doc: string }[];
}

/** The source role alone, over a database that has app.everything and app.other. */
export async function sourceOnly(prefix: string, url: string): Promise<{ stop(): Promise<void> }> {
  const { brokers, registry } = await stack();
  const folder = await mkdtemp(join(tmpdir(), 'duolog-types-'));
  const text = `
prefix: ${prefix}
kafka: { brokers: "${brokers.join(',')}", schemaRegistry: "${registry}" }
systems:
  crm: { connector: postgres, url: "${url}" }
  erp: { connector: postgres, url: "${url}" }
syncs:
  types:
    leading: [crm, erp]
    entities:
      everything:
        fields: { number: integer }
        match: [{ on: [number] }]
        delete: hard
        systems:
          crm: { table: app.everything, map: { number: id } }
          erp: { table: app.other, map: { number: id } }
`;
  const logger = createLogger({ level: 'silent', format: 'json' });
  const duolog = await startDuolog(checkConfiguration(text, join(folder, 'duolog.yaml'), {}), {
    roles: ['source'],
    logger,
  });
  return {
    stop: async () => {
      await duolog.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Reads a change topic from its beginning, committed records only, by avsc and the registry's schemas. */
export async function followTopic(
  topic: string,
): Promise<{ readonly changes: readonly PlainChange[]; close(): Promise<void> }> {
  const { brokers, registry } = await stack();
  const schemas = new Map<number, Promise<{ readonly type: avro.Type; readonly schema: EnvelopeSchema }>>();
  const decode = async (bytes: Buffer) => {
    const id = bytes.readInt32BE(1);
    const found = schemas.get(id) ?? fetchSchema(registry, id);
    schemas.set(id, found);
    const { type, schema } = await found;
    return { value: type.fromBuffer(bytes.subarray(5)) as PlainRow, schema };
  };
  const changes: PlainChange[] = [];
  const consumer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).consumer({
    groupId: `${topic}-subscriber`,
    readUncommitted: false,
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      if (message.key === null || message.value === null) return;
      const { value: key } = await decode(message.key);
      const { value, schema } = await decode(message.value);
      changes.push({
        key: key as PlainChange['key'],
        op: String(value['op']),
        before: rowOf(value['before']),
        after: rowOf(value['after']),
        rowSchema: schema.fields.find(({ name }) => name === 'before')!.type[1]!,
      });
    },
  });
  return { changes, close: () => consumer.disconnect() };
}

interface EnvelopeSchema {
  readonly fields: readonly { readonly name: string; readonly type: readonly [unknown, RowSchema] }[];
}

async function fetchSchema(registry: string, id: number) {
  const { schema: text } = (await (await fetch(`${registry}/schemas/ids/${id}`)).json()) as { readonly schema: string };
  const schema = JSON.parse(text) as EnvelopeSchema;
  const type = avro.Type.forSchema(schema as unknown as avro.Schema, {
    wrapUnions: 'always',
    logicalTypes: { decimal: Decimal },
    // avsc's own are numbers and refuse what these cannot hold.
    typeHook: (part) => (isLong(part) ? exactLong : undefined),
  });
  return { type, schema };
}

function isLong(schema: unknown): boolean {
  return schema === 'long' || (schema as { readonly type?: unknown }).type === 'long';
}

const exactLong = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: () => Buffer.alloc(8),
  fromJSON: BigInt,
  toJSON: String,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (one: bigint, other: bigint) => Number(one - other),
});

/** Rows are in a union with null: { 'duolog.crm.everything.Row': … }. */
function rowOf(wrapped: unknown): PlainRow | null {
  if (wrapped === null) return null;
  return { ...Object.values(wrapped as Record<string, PlainRow>)[0] };
}

/** What docs/topics.md says of each type: the branches beside null. */
export function documentedBranches({ type, kind }: TypeCase): readonly unknown[] {
  if (type === 'numeric(12,2)') return [{ type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 }, 'string'];
  if (type === 'app.amount') return [{ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 3 }, 'string'];
  const byKind: Readonly<Partial<Record<TypeCase['kind'], readonly unknown[]>>> = {
    boolean: ['boolean'],
    int16: ['int'],
    int32: ['int'],
    int64: ['long'],
    float32: ['double'],
    float64: ['double'],
    date: [{ type: 'int', logicalType: 'date' }, 'string'],
    timestamp: [{ type: 'long', logicalType: 'local-timestamp-micros' }, 'string'],
    timestamptz: [{ type: 'long', logicalType: 'timestamp-micros' }, 'string'],
    time: [{ type: 'long', logicalType: 'time-micros' }],
    bytes: ['bytes'],
    uuid: [{ type: 'string', logicalType: 'uuid' }],
  };
  return byKind[kind] ?? ['string'];
}

/** A value of `source-type-cases.ts` as a plain Avro reader sees it: { branch: value }. */
export function documentedValue(each: TypeCase, value: unknown): unknown {
  if (value === null) return null;
  const [first] = documentedBranches(each);
  const branch = typeof first === 'string' ? first : (first as { readonly type: string }).type;
  if (branch === 'double') return { double: Number(value) };
  if (branch === 'bytes' && each.kind === 'bytes') return { bytes: Buffer.from(String(value), 'hex') };
  // What the type beside it cannot carry.
  if (typeof value === 'string' && /^-?(NaN|Infinity|infinity)$/.test(value)) return { string: value };
  return { [branch]: branch === 'long' ? BigInt(value as number | bigint) : value };
}
