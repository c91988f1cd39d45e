import type { ConflictPlan, ConflictRule, DeletePolicy } from '../../src/plan/plan.js';
import type { Random } from './random.js';
import type { EntityConfig, EntitySystemConfig, FieldConfig, WorldConfig } from './world-config.js';

/** What a named configuration allows its worlds to have; the seed picks within it. */
interface Family {
  readonly systems: readonly string[];
  readonly person: boolean;
  readonly deletes: readonly DeletePolicy[];
  readonly softDelete: number;
  readonly keys: readonly EntitySystemConfig['keys'][];
  readonly unique: number;
  readonly policies: readonly ConflictRule['policy'][];
  /** Probability that a field is not read or not written in a system. */
  readonly partial: number;
  readonly truncated: number;
  readonly checked: number;
  readonly triggers: readonly ('upper' | 'bump' | 'stamp')[];
  readonly groups: number;
  /** The last system is written to and not read, or read and not written to. */
  readonly last: 'two-way' | 'target' | 'write-only' | 'source';
  /** Logs are cut before they are read, and resyncs asked for. */
  readonly losses?: true;
}

const TWO: Family = {
  systems: ['crm', 'erp'],
  person: false,
  deletes: ['hard'],
  softDelete: 0,
  keys: ['sequence', 'text'],
  unique: 0,
  policies: ['leading', 'newest'],
  partial: 0,
  truncated: 0,
  checked: 0,
  triggers: [],
  groups: 0,
  last: 'two-way',
};
const THREE: Family = { ...TWO, systems: ['crm', 'erp', 'web'] };
const ALL_DELETES: readonly DeletePolicy[] = ['hard', 'soft', 'unlink', 'never'];

/** Worlds whose every system is captured as a stream: all must run clean. */
const FAMILIES: Readonly<Record<string, Family>> = {
  two: TWO,
  'two-unique': { ...TWO, unique: 1 },
  'two-soft': { ...TWO, softDelete: 0.7, deletes: ['hard', 'soft'] },
  'two-kept': { ...TWO, softDelete: 0.3, deletes: ALL_DELETES },
  'two-natural-keys': { ...TWO, keys: ['natural', 'natural', 'sequence'] },
  'two-held': { ...TWO, policies: ['hold', 'newest'] },
  'two-fields': { ...TWO, partial: 0.15, truncated: 0.3, groups: 0.5 },
  'two-failing': { ...TWO, checked: 0.5, unique: 0.5 },
  'two-triggers': { ...TWO, triggers: ['upper', 'stamp', 'bump'] },
  'two-references': { ...TWO, person: true },
  'one-way': { ...TWO, last: 'target', softDelete: 0.3, deletes: ['hard', 'soft', 'never'] },
  'one-way-references': { ...TWO, last: 'target', person: true },
  'write-only': { ...TWO, last: 'write-only', checked: 0.3, person: true },
  three: THREE,
  'three-unique': { ...THREE, unique: 1 },
  'three-soft': { ...THREE, softDelete: 0.5, deletes: ['hard', 'soft'] },
  'three-references': { ...THREE, person: true, unique: 0.3 },
  'three-source': { ...THREE, last: 'source', unique: 0.3 },
  'two-resync': { ...TWO, losses: true, softDelete: 0.3, deletes: ['hard', 'soft'], unique: 0.3 },
  'three-resync': { ...THREE, losses: true, unique: 0.3 },
  mixed: {
    ...TWO,
    person: true,
    deletes: ALL_DELETES,
    softDelete: 0.4,
    keys: ['sequence', 'text', 'natural'],
    unique: 0.5,
    policies: ['leading', 'newest', 'hold'],
    partial: 0.05,
    truncated: 0.15,
    checked: 0.15,
    triggers: ['upper', 'stamp'],
    groups: 0.3,
  },
};

export const CONFIGURATIONS: readonly string[] = Object.keys(FAMILIES);

/** Those with failures left, at a rate of some in ten thousand and for reasons that docs/adr/0011 gives: counted apart. */
export const APART: ReadonlySet<string> = new Set(['two-resync', 'three-resync']);

/** A world of the named configuration. */
export function generateWorld(name: string, random: Random): WorldConfig {
  const family = FAMILIES[name];
  if (!family) throw new Error(`no configuration ${name}; there are ${CONFIGURATIONS.join(', ')}`);
  const entities = [entityOf('company', family, random)];
  if (family.person && random.chance(0.8)) entities.push(entityOf('person', family, random));
  return {
    systems: family.systems,
    entities: entities.map((entity) => withKeyTypes(entity, entities)),
    smallBatches: random.chance(0.3),
    losses: family.losses ?? false,
  };
}

function entityOf(name: string, family: Family, random: Random): EntityConfig {
  const group = random.chance(family.groups) ? 'details' : null;
  const fields: FieldConfig[] = [
    { name: 'code', kind: 'code', group: 'code' },
    { name: 'name', kind: 'text', group: group ?? 'name' },
  ];
  if (random.chance(0.7)) fields.push({ name: 'city', kind: 'text', group: group ?? 'city' });
  if (random.chance(0.3)) fields.push({ name: 'colour', kind: 'choice', group: 'colour' });
  if (name === 'person') fields.push({ name: 'company', kind: 'reference', group: 'company' });
  const systems: Record<string, EntitySystemConfig> = {};
  for (const system of family.systems) systems[system] = entitySystemOf(system, fields, family, random);
  return {
    name,
    fields,
    conflict: conflictOf(family, fields, random),
    normalise: random.chance(0.4) ? ['case', 'spaces'] : [],
    systems,
  };
}

function conflictOf(family: Family, fields: readonly FieldConfig[], random: Random): ConflictPlan {
  const rule = (): ConflictRule => ({
    policy: random.of(family.policies),
    lead: random.chance(0.3) ? random.of(family.systems) : null,
    withinMicros: random.chance(0.5) ? 0 : 3000,
    otherwise: family.policies.includes('hold') && random.chance(0.3) ? 'hold' : 'leading',
  });
  const groups: Record<string, ConflictRule> = {};
  for (const { group } of fields) if (random.chance(0.25)) groups[group] = rule();
  return { ...rule(), groups, first: random.of(['leading', 'newest', 'fill']) };
}

function entitySystemOf(
  system: string,
  fields: readonly FieldConfig[],
  family: Family,
  random: Random,
): EntitySystemConfig {
  const isLast = system === family.systems.at(-1);
  const softDelete = random.chance(family.softDelete);
  const texts = fields.filter(({ kind }) => kind === 'text').map(({ name }) => name);
  const target = isLast && (family.last === 'target' || family.last === 'write-only');
  const onlySource = isLast ? family.last === 'source' : family.last === 'target' || family.last === 'write-only';
  const trigger = family.triggers.length > 0 && random.chance(0.6) ? random.of(family.triggers) : null;
  const truncated = texts.filter(() => random.chance(family.truncated));
  // What a trigger adds must fit into the column.
  const longTexts = texts.filter((name) => trigger === 'upper' || !truncated.includes(name));
  return {
    captured: !(isLast && family.last === 'write-only'),
    written: !onlySource,
    delete: random.of(family.deletes.filter((policy) => policy !== 'soft' || softDelete)),
    softDelete,
    keys: random.of(family.keys),
    identity: random.of(['full', 'key']),
    unique: random.chance(family.unique) ? (softDelete ? 'present' : 'all') : 'none',
    notRead: target ? fields.map(({ name }) => name) : texts.filter(() => random.chance(family.partial)),
    notWritten: texts.filter(() => random.chance(family.partial)),
    truncated,
    checked: texts.filter(() => random.chance(family.checked)),
    trigger: trigger && longTexts.length > 0 ? { kind: trigger, field: random.of(longTexts) } : null,
  };
}

/** A natural key of the parent would be the child's reference too; only text and sequence keys are referred to. */
function withKeyTypes(entity: EntityConfig, entities: readonly EntityConfig[]): EntityConfig {
  const referred = entities.some(({ fields }) =>
    fields.some(({ kind, name }) => kind === 'reference' && name === entity.name),
  );
  if (!referred) return entity;
  const systems: Record<string, EntitySystemConfig> = {};
  for (const [system, config] of Object.entries(entity.systems)) {
    systems[system] = config.keys === 'natural' ? { ...config, keys: 'text' } : config;
  }
  return { ...entity, systems };
}
