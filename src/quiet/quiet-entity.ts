import type { AvroField } from '../avro/schema.js';
import { entry } from '../decision/entries.js';
import type { EntityIndex, MappedColumn, PlanIndex, SystemIndex } from '../decision/plan-index.js';
import type { StateRecord, SyncRecord } from '../decision/state.js';
import type { State } from '../state/contract.js';
import type { Value } from '../model/value.js';
import { stateSchema } from '../state/state-schema.js';
import { LinkImage, type MemberImage } from './link-image.js';
import type { RowLayout } from './row-layout.js';
import { avroText } from './skimmer.js';

/** A mapped column of a system, with its places in the bytes. */
export interface QuietColumn {
  readonly mapped: MappedColumn;
  /** Among the columns of the row. */
  readonly place: number;
  /** Of its field, among those of the canonical record. */
  readonly field: number;
  /** Of its field group, among the setters. */
  readonly group: number;
  /** Equal values are equal bytes, in the row and in the canonical record. */
  readonly sameForm: boolean;
  /** A value may change there without more than that: no reference, no part of a match rule or of a larger group. */
  readonly isFree: boolean;
  /** A null may be left to the database. */
  readonly fillsItself: boolean;
}

export interface QuietConstant {
  readonly column: string;
  readonly place: number;
  readonly value: Value;
}

/** An entity's place in a system, arranged for the quiet path. */
export interface QuietSystem {
  readonly index: SystemIndex;
  readonly name: string;
  /** Its number in the state's schema. */
  readonly number: number;
  readonly member: MemberImage;
  /** In the order of the plan, which decides in that order. */
  readonly columns: readonly QuietColumn[];
  /** By the place of a canonical field; null where it has none. */
  readonly byField: readonly (QuietColumn | null)[];
  /** By the place in the row; null where the column is not mapped. */
  readonly byPlace: readonly (QuietColumn | null)[];
  /** Constants of an insert, none of them mapped, and the places of their columns in the row. */
  readonly constants: readonly QuietConstant[];
  /** As the state lists the columns of which nobody tells: neither mapped nor constants of an insert. */
  readonly untold: Buffer;
}

/** An entity all of whose changes the quiet path may look at. */
export interface QuietEntity {
  readonly index: EntityIndex;
  readonly name: string;
  readonly image: LinkImage;
  /** In the order of the plan, which is that of the members. */
  readonly systems: readonly QuietSystem[];
  readonly bySystem: ReadonlyMap<string, QuietSystem>;
  /** By the place of a canonical field: its name, and the place of its group among the setters. */
  readonly fieldTexts: readonly Buffer[];
  readonly setBy: readonly number[];
  /** Whether every first snapshot has ended. */
  isOpen(sync: SyncRecord): boolean;
}

/** The entities of a plan whose changes may be quiet: without references of their own, and without flags for deleted records. */
export function quietEntities(index: PlanIndex, stateSchemaId: number): ReadonlyMap<string, QuietEntity> {
  const { plan } = index;
  const fields = stateSchema(plan).fields.slice(1);
  const found = new Map<string, QuietEntity>();
  for (const [place, field] of fields.entries()) {
    const entity = index.entities.get(field.column!)!;
    if (entity.references.length > 0 || entity.systems.size < 2 || ![...entity.systems.values()].every(isPlain))
      continue;
    const image = new LinkImage(field, place, fields.length, stateSchemaId);
    found.set(entity.name, quietEntity(entity, image, plan.systems, field));
  }
  return found;
}

/** A number: an object's properties of such names come before all others. */
const NUMBER = /^\d+$/;

/**
 * Without a flag for deleted records; each column of one field, and none of a constant beside it; no names that objects put
 * in an order of their own.
 */
function isPlain({ plan, columns }: SystemIndex): boolean {
  const names = [...columns.map(({ column }) => column), ...Object.keys(plan.insertSet)];
  if (plan.softDelete !== null || new Set(names).size < names.length) return false;
  return ![...names, ...columns.map(({ field }) => field), plan.system].some((name) => NUMBER.test(name));
}

function quietEntity(index: EntityIndex, image: LinkImage, numbers: readonly string[], field: AvroField): QuietEntity {
  const groups = [...index.groups.keys()];
  if (image.setters.length !== groups.length + 1) throw new RangeError(`setters of ${field.name}`);
  const systems = image.members.map((member): QuietSystem => {
    const system = index.systems.get(member.system)!;
    const columns = system.columns.map((mapped) => quietColumn(index, system, mapped, image, member.row, groups));
    const byPlace = member.row.names.map((_, at) => columns.find(({ place }) => place === at) ?? null);
    const byField = image.canonical.names.map((_, at) => columns.find((column) => column.field === at) ?? null);
    const constants = Object.entries(system.plan.insertSet).map(
      ([column, value]): QuietConstant => ({ column, value, place: member.row.names.indexOf(column) }),
    );
    const untold = member.row.names.filter((name, at) => byPlace[at] === null && !(name in system.plan.insertSet));
    return {
      index: system,
      name: system.system,
      number: numbers.indexOf(system.system),
      member,
      columns,
      byField,
      byPlace,
      constants,
      untold: textList(untold),
    };
  });
  const open = new WeakMap<object, boolean>();
  return {
    index,
    name: index.name,
    image,
    systems,
    bySystem: new Map(systems.map((system) => [system.name, system])),
    fieldTexts: image.canonical.names.map(avroText),
    setBy: image.canonical.names.map((name) => groups.indexOf(index.groupOf.get(name)!.name)),
    isOpen: ({ snapshots }) => {
      let isOpen = open.get(snapshots);
      if (isOpen === undefined) open.set(snapshots, (isOpen = systems.every((system) => hasEnded(system, snapshots))));
      return isOpen;
    },
  };
}

function quietColumn(
  entity: EntityIndex,
  system: SystemIndex,
  mapped: MappedColumn,
  image: LinkImage,
  row: RowLayout,
  groups: readonly string[],
): QuietColumn {
  const place = row.names.indexOf(mapped.column);
  const field = image.canonical.names.indexOf(mapped.field);
  const shape = system.plan.shape.columns.find(({ name }) => name === mapped.column);
  const isWritten = [...entity.systems.values()].every((other) => {
    const column = other.byField.get(mapped.field);
    return other === system || !other.plan.written || column === undefined || column.write;
  });
  return {
    mapped,
    place,
    field,
    group: groups.indexOf(mapped.group.name),
    sameForm: isSameForm(row.signatures[place]!, image.canonical.signatures[field]!),
    isFree: mapped.read && !mapped.inMatch && mapped.refersTo === null && mapped.group.fields.length === 1 && isWritten,
    fillsItself: shape !== undefined && !shape.nullable && shape.hasDefault,
  };
}

/** Of doubles, minus zero is written as zero. */
function isSameForm(row: string, canonical: string): boolean {
  return row === canonical && !row.includes('double');
}

/** As `snapshotEnded` of the decision says it. */
function hasEnded({ index }: QuietSystem, snapshots: SyncRecord['snapshots']): boolean {
  if (!index.plan.captured) return true;
  const progress = snapshots[`${index.system}/${index.entity.name}`];
  return progress !== undefined && (progress.phase === 'ended' || !progress.first);
}

/** Number of the snapshot that a member was last seen in, as `setSeen` of the decision notes it. */
export function snapshotNumber({ index }: QuietSystem, { snapshots }: SyncRecord): number {
  return snapshots[`${index.system}/${index.entity.name}`]?.number ?? 0;
}

export function recordEntry(entity: QuietEntity, system: QuietSystem, key: string): string {
  return entry.record(system.name, entity.name, key);
}

/** Every record of the link is there, agrees with the canonical, and nothing is under way. */
export function allAtRest({ systems, image }: QuietEntity): boolean {
  for (const system of systems) if (!system.member.isAtRest || !isShared(system, image.buf)) return false;
  return true;
}

/** Every value that the member's row has of the canonical's fields is the canonical's, and nothing mapped is unknown. */
export function isShared(system: QuietSystem, buf: Buffer): boolean {
  const { member, columns } = system;
  for (const { place } of columns) if (buf[member.seen[place]!] !== 0) return false;
  return knowsMapped(buf, system);
}

/** No link but this one has to do with the match value. */
export function isOfOneLink(state: State<StateRecord>, entity: string, match: string, linkKey: string): boolean {
  return state.indexed(entry.value(entity, match), TWO).every((key) => key === linkKey);
}

const TWO = { limit: 2 };

/** What is not known of the member's row is not mapped: of a target that is not captured. */
export function knowsMapped(buf: Buffer, { member, untold, index }: QuietSystem): boolean {
  const { missingStart, missingEnd } = member;
  if (missingEnd - missingStart === 1) return true;
  return !index.plan.captured && buf.compare(untold, 0, untold.length, missingStart, missingEnd) === 0;
}

function textList(texts: readonly string[]): Buffer {
  if (texts.length === 0) return Buffer.from([0]);
  const count = avroText('x'.repeat(texts.length)).subarray(0, -texts.length);
  return Buffer.concat([count, ...texts.map(avroText), Buffer.from([0])]);
}
