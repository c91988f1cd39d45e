import type { FieldValue } from '../decision/events.js';
import type { CanonicalOutput, DecisionOutput, HeldFor, HoldOutput } from '../decision/outputs.js';
import type { Value } from '../model/value.js';
import type { EntityPlan } from '../plan/plan.js';
import type { Encoder, Encoders } from './codec.js';
import { NamedRecord } from './named-record.js';
import { fieldsSchema } from './row-schema.js';
import { schemaFile, withDefinitions } from './schema.js';

/** A reference as Avro carries it: either the link, or who named which key. */
interface Reference {
  readonly link: string | null;
  readonly system: string | null;
  readonly entity: string | null;
  readonly key: string | null;
}

type AvroFieldValue = Value | Reference;

interface CanonicalRecord {
  readonly link: string;
  readonly fields: Readonly<Record<string, AvroFieldValue>>;
  readonly keys: Readonly<Record<string, string>>;
  readonly set: Readonly<Record<string, { readonly system: string; readonly time: number | null }>>;
}

export class CanonicalEncoder {
  private readonly fields: NamedRecord<FieldValue>;

  private constructor(
    private readonly encoder: Encoder<CanonicalRecord>,
    entity: EntityPlan,
  ) {
    this.fields = new NamedRecord(fieldsSchema(entity).fields);
  }

  static async register(encoders: Encoders, topic: string, entity: EntityPlan): Promise<CanonicalEncoder> {
    const schema = withDefinitions(schemaFile('canonical'), [fieldsSchema(entity), schemaFile('reference')]);
    return new CanonicalEncoder(await encoders.register<CanonicalRecord>(topic, 'value', schema), entity);
  }

  get schemaId(): number {
    return this.encoder.id;
  }

  /** Null where the record is no more: a tombstone. */
  encode(output: CanonicalOutput): Buffer | null {
    const { fields } = output;
    if (fields === null) return null;
    const set: Record<string, { system: string; time: number | null }> = {};
    for (const field in output.set) {
      const by = output.set[field]!;
      set[field] = { system: by.system, time: by.timeMicros };
    }
    return this.encoder.encode({
      link: output.link,
      fields: this.fields.write(fields) as CanonicalRecord['fields'],
      keys: output.keys,
      set,
    });
  }
}

interface DecisionRecord {
  readonly link: string;
  readonly entity: string;
  readonly decision: string;
  readonly group: string | null;
  readonly fields: readonly {
    readonly field: string;
    readonly agreed: AvroFieldValue;
    readonly sides: readonly {
      readonly system: string;
      readonly key: string | null;
      readonly value: AvroFieldValue;
      readonly absent: boolean;
      readonly time: number | null;
    }[];
  }[];
  readonly merged: string | null;
  readonly winner: string | null;
  readonly rule: string;
  readonly time: number | null;
}

export class DecisionEncoder {
  private constructor(private readonly encoder: Encoder<DecisionRecord>) {}

  static async register(encoders: Encoders, topic: string): Promise<DecisionEncoder> {
    const schema = withDefinitions(schemaFile('decision'), [schemaFile('reference')]);
    return new DecisionEncoder(await encoders.register<DecisionRecord>(topic, 'value', schema));
  }

  encode(output: DecisionOutput): Buffer {
    const { link, entity, decision, group, merged, winner, rule } = output;
    const fields = output.fields.map(({ field, agreed, sides }) => ({
      field,
      agreed: avroValue(agreed),
      sides: sides.map(({ system, key, value, absent, timeMicros }) => ({
        system,
        key,
        value: avroValue(value),
        absent,
        time: timeMicros,
      })),
    }));
    return this.encoder.encode({
      link,
      entity,
      decision,
      group,
      fields,
      merged,
      winner,
      rule,
      time: output.timeMicros,
    });
  }
}

interface HeldForRecord {
  readonly reason: string;
  readonly group: string | null;
  readonly detail: string;
  readonly since: number | null;
}

interface HoldRecord extends HeldForRecord {
  readonly link: string;
  readonly entity: string;
  readonly system: string;
  readonly key: string | null;
  readonly others: readonly HeldForRecord[];
}

export class HoldEncoder {
  private constructor(private readonly encoder: Encoder<HoldRecord>) {}

  static async register(encoders: Encoders, topic: string): Promise<HoldEncoder> {
    return new HoldEncoder(await encoders.register<HoldRecord>(topic, 'value', schemaFile('hold')));
  }

  /** Null where the hold is over: a tombstone. */
  encode(output: HoldOutput): Buffer | null {
    const { link, entity, system, hold } = output;
    if (hold === null) return null;
    const { key, others } = hold;
    return this.encoder.encode({ link, entity, system, key, ...heldFor(hold), others: others.map(heldFor) });
  }
}

function heldFor({ reason, group, detail, sinceMicros }: HeldFor): HeldForRecord {
  return { reason, group, detail, since: sinceMicros };
}

function avroValue(value: FieldValue): AvroFieldValue {
  if (typeof value !== 'object' || value === null) return value;
  if ('link' in value) return { link: value.link, system: null, entity: null, key: null };
  return { link: null, system: value.system, entity: value.entity, key: value.key };
}
