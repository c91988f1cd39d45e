import { fromAssignments, type Assignment } from '../avro/assignments.js';
import { Decoder, Encoders, type Encoder } from '../avro/codec.js';
import { NamedRecord } from '../avro/named-record.js';
import type { SchemaRegistry } from '../avro/registry.js';
import { schemaFile, type AvroEnum, type AvroField, type AvroRecord, type AvroSchema } from '../avro/schema.js';
import { indexEntries, sameEntries } from '../decision/entries.js';
import type { FieldValue } from '../decision/events.js';
import type {
  Attempt,
  Deletion,
  Ending,
  Hold,
  InFlight,
  LinkRecord,
  Member,
  Setter,
  StateRecord,
} from '../decision/state.js';
import { DuologError } from '../errors/duolog-error.js';
import type { Value } from '../model/value.js';
import type { SyncPlan } from '../plan/plan.js';
import type { StateCodec } from './contract.js';
import { fromJsonForm, toJsonForm } from './json-form.js';
import { SharedRow } from './shared-row.js';
import { stateSchema } from './state-schema.js';
import { StateForm } from './binary/state-form.js';
import { Systems, type AvroSetter } from './systems.js';

/**
 * The decision's records as Avro, under a schema made from the plan and kept in the registry: a message says which one
 * it was written under, so that whatever version wrote it can be read. Links are typed, everything else is JSON.
 */
export class AvroStateCodec implements StateCodec<StateRecord> {
  private readonly layouts = new WeakMap<object, Layout>();
  readonly indexEntries = indexEntries;
  readonly sameEntries = sameEntries;

  private constructor(
    private readonly encoder: Encoder<StateMessage>,
    private readonly decoder: Decoder,
    private readonly form: StateForm,
  ) {}

  /** @throws DuologError SCHEMA_INCOMPATIBLE, REGISTRY_UNREACHABLE, REGISTRY_REFUSED. */
  static async register(registry: SchemaRegistry, topic: string, plan: SyncPlan): Promise<AvroStateCodec> {
    const schema = stateSchema(plan);
    const encoder = await new Encoders(registry).register<StateMessage>(topic, 'value', schema);
    const codec = new AvroStateCodec(
      encoder,
      new Decoder(registry),
      new StateForm(encoder.id, schema, findEnum(schema)),
    );
    await codec.prepareIds([encoder.id]);
    return codec;
  }

  /** The schema that it writes under. */
  get schemaId(): number {
    return this.encoder.id;
  }

  /** Ids of all schemas that it has met; a local store keeps them, to be prepared before its records are read. */
  schemaIds(): readonly number[] {
    return this.decoder.ids();
  }

  prepareIds(ids: Iterable<number>): Promise<void> {
    return this.decoder.prepareIds(ids);
  }

  /** Fetches the schemas of these messages, so that they can be decoded. */
  prepare(messages: Iterable<Buffer | null>): Promise<void> {
    return this.decoder.prepare(messages);
  }

  encode(record: StateRecord): Buffer {
    if (record.kind !== 'link') return this.encoder.encode({ other: toJsonForm(record) });
    return this.form.write(record);
  }

  decode(bytes: Buffer): StateRecord {
    const link = this.form.read(bytes);
    if (link !== null) return link;
    const { schema, value } = this.decoder.decode(bytes);
    const message = value as StateMessage;
    let layout = this.layouts.get(schema as object);
    if (layout === undefined) {
      refuseLaterFormat(schema as AvroRecord);
      this.layouts.set(schema as object, (layout = new Layout(schema as AvroRecord)));
    }
    if (typeof message['other'] === 'string') return fromJsonForm(message['other']) as StateRecord;
    return layout.read(message);
  }
}

/** The first format had no number. */
const FORMAT = schemaFile('state').format!;

function refuseLaterFormat({ format = 1 }: AvroRecord): void {
  if (format <= FORMAT) return;
  throw new DuologError(
    'STATE_UNREADABLE',
    `The state was written by a later version: format ${format}, and this one reads up to ${FORMAT}.`,
  );
}

type StateMessage = Readonly<Record<string, unknown>>;

/** How a schema lays out links, by entity. */
class Layout {
  private readonly byField: readonly (readonly [field: string, layout: EntityLayout])[];

  constructor(schema: AvroRecord) {
    const systems = new Systems(findEnum(schema));
    this.byField = schema.fields
      .filter(({ column }) => column !== undefined)
      .map((field) => [field.name, new EntityLayout(field, systems)] as const);
  }

  read(message: StateMessage): LinkRecord {
    for (const [field, layout] of this.byField) {
      const link = message[field];
      if (link !== null) return layout.read(link as AvroLink);
    }
    throw new DuologError('STATE_UNREADABLE', 'A record of the state is of a kind that this version does not know.');
  }
}

interface AvroAttempt extends Omit<Attempt, 'set' | 'expect'> {
  readonly set: readonly Assignment[];
  readonly expect: readonly Assignment[];
}

interface AvroInFlight extends Omit<InFlight, 'set' | 'expect' | 'setters'> {
  readonly set: readonly Assignment[];
  readonly expect: readonly Assignment[];
  readonly setters: Readonly<Record<string, AvroSetter>>;
}

interface AvroHold extends Omit<Hold, 'attempt'> {
  readonly attempt: AvroAttempt | null;
}

interface AvroMember extends Omit<Member, 'inFlight' | 'holds' | 'ending'> {
  readonly seenMissing: readonly string[];
  readonly seenNull?: readonly string[] | null;
  readonly inFlight: AvroInFlight | null;
  readonly holds: readonly AvroHold[];
  readonly ending: (Ending & { readonly seenMissing: readonly string[] }) | null;
}

interface AvroLink extends Omit<LinkRecord, 'kind' | 'entity' | 'set' | 'members' | 'deletions'> {
  readonly canonicalMissing: readonly string[];
  readonly set: Readonly<Record<string, AvroSetter | null>>;
  readonly deletions: readonly (AvroSetter & { readonly key: string })[];
  readonly members: Readonly<Record<string, AvroMember | null>>;
}

/** One entity's links, from Avro's form to the decision's: of any schema that a link was ever written under. */
class EntityLayout {
  readonly entity: string;
  private readonly fields: NamedRecord<FieldValue>;
  private readonly references: readonly string[];
  private readonly groups: NamedRecord<AvroSetter | null>;
  private readonly members: readonly MemberPlace[];

  constructor(
    { column, type }: AvroField,
    private readonly systems: Systems,
  ) {
    this.entity = column!;
    const link = branch(type);
    const fields = inner(link, 'canonical').fields;
    this.fields = new NamedRecord(fields);
    this.references = fields.filter((field) => isReference(field)).map((field) => field.name);
    this.groups = new NamedRecord(inner(link, 'set').fields);
    this.members = inner(link, 'members').fields.map((field) => {
      const row = branch(branch(field.type).fields.find((each) => each.name === 'seen')!.type).fields;
      return {
        system: field.column ?? field.name,
        field: field.name,
        row: new NamedRecord<Value>(row),
        shared: new SharedRow(row),
      };
    });
  }

  read(link: AvroLink): LinkRecord {
    const canonical = this.fields.read(link.canonical, link.canonicalMissing) as Record<string, FieldValue>;
    for (const field of this.references)
      if (canonical[field] !== undefined) canonical[field] = reference(canonical[field]);
    const set = this.systems.readAll(this.groups.read(link.set));
    const members: Record<string, Member> = {};
    for (const place of this.members) {
      const member = link.members[place.field];
      if (member) members[place.system] = this.readMember(member, place, canonical);
    }
    return {
      kind: 'link',
      id: link.id,
      entity: this.entity,
      existence: link.existence,
      matching: link.matching,
      canonical,
      set,
      match: link.match,
      firstMatch: link.firstMatch,
      deletions: link.deletions.map((deletion): Deletion => ({ ...this.systems.read(deletion), key: deletion.key })),
      rewrites: link.rewrites,
      moves: link.moves,
      tombstoneMicros: link.tombstoneMicros,
      members,
    };
  }

  private readMember(member: AvroMember, { row, shared }: MemberPlace, canonical: LinkRecord['canonical']): Member {
    const { seen, seenMissing, seenNull, ending, inFlight } = member;
    // Null, or written before there was such a list: the row stands there whole.
    const isWhole = seenNull === null || seenNull === undefined;
    const agreed = member.agreed as Record<string, FieldValue>;
    for (const field in agreed) agreed[field] = reference(agreed[field]!);
    return {
      key: member.key,
      seen: seen && (isWhole ? row.read(seen, seenMissing) : shared.read(seen, seenMissing, seenNull, canonical)),
      moves: member.moves,
      agreed,
      match: member.match,
      inFlight: inFlight && this.readInFlight(inFlight),
      holds: member.holds.length === 0 ? [] : member.holds.map(readHold),
      kept: member.kept,
      formerKeys: member.formerKeys,
      ending: ending && {
        transaction: ending.transaction,
        timeMicros: ending.timeMicros,
        key: ending.key,
        seen: row.read(ending.seen, ending.seenMissing),
      },
      snapshot: member.snapshot,
      // Written before the field was there.
      movedAfter: member.movedAfter ?? 0,
      transaction: member.transaction,
    };
  }

  private readInFlight(inFlight: AvroInFlight): InFlight {
    const setters: Record<string, Setter> = {};
    for (const group in inFlight.setters) setters[group] = this.systems.read(inFlight.setters[group]!);
    return { ...inFlight, set: fromAssignments(inFlight.set), expect: fromAssignments(inFlight.expect), setters };
  }
}

interface MemberPlace {
  readonly system: string;
  readonly field: string;
  readonly row: NamedRecord<Value>;
  readonly shared: SharedRow;
}

function readHold(hold: AvroHold): Hold {
  const { attempt } = hold;
  return {
    ...hold,
    attempt: attempt && { ...attempt, set: fromAssignments(attempt.set), expect: fromAssignments(attempt.expect) },
  };
}

/** Avro's record has all four fields of both forms. */
function reference(value: FieldValue): FieldValue {
  if (typeof value !== 'object' || value === null) return value;
  const { link, system, entity, key } = value as Record<'link' | 'system' | 'entity' | 'key', string | null>;
  return link === null ? { system: system!, entity: entity!, key: key! } : { link };
}

function isReference({ type }: AvroField): boolean {
  const second = (type as readonly AvroSchema[])[1]!;
  return (
    second === 'duolog.Reference' || (typeof second === 'object' && 'name' in second && second.name === 'Reference')
  );
}

/** The record in a union with null. */
function branch(type: AvroSchema): AvroRecord {
  return (type as readonly AvroSchema[])[1] as AvroRecord;
}

function inner(record: AvroRecord, name: string): AvroRecord {
  return record.fields.find((field) => field.name === name)!.type as AvroRecord;
}

/** The one enum of the schema, wherever it is first used. */
function findEnum(schema: AvroRecord): AvroEnum {
  const find = (node: unknown): AvroEnum | null => {
    if (typeof node !== 'object' || node === null) return null;
    if ('type' in node && node.type === 'enum') return node as AvroEnum;
    for (const part of Object.values(node)) {
      const found = find(part);
      if (found !== null) return found;
    }
    return null;
  };
  return find(schema) ?? { type: 'enum', name: 'System', symbols: [] };
}
