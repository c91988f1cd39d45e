import { fieldsSchema, avroName, rowSchema } from '../avro/row-schema.js';
import {
  schemaFile,
  schemaParts,
  withDefinitions,
  type AvroEnum,
  type AvroField,
  type AvroRecord,
  type AvroSchema,
} from '../avro/schema.js';
import type { EntityPlan, SyncPlan } from '../plan/plan.js';

/**
 * The schema of a sync's changelog: `other`, and a field for the links of each entity, in which canonical values and
 * images have the types of the configuration and of the catalogues.
 */
export function stateSchema(plan: SyncPlan): AvroRecord {
  let schema = schemas.get(plan);
  if (schema === undefined) schemas.set(plan, (schema = schemaOf(plan)));
  return schema;
}

const schemas = new WeakMap<SyncPlan, AvroRecord>();

function schemaOf(plan: SyncPlan): AvroRecord {
  const state = schemaFile('state');
  const links = plan.entities.map(
    (entity): AvroField => ({
      name: `link_${avroName(entity.name)}`,
      type: ['null', linkSchema(entity)],
      default: null,
      doc: `A link of ${entity.name}.`,
      column: entity.name,
    }),
  );
  const systems: AvroEnum = {
    type: 'enum',
    name: 'System',
    namespace: 'duolog',
    symbols: plan.systems.map(avroName),
    names: plan.systems,
  };
  const shared = [...schemaParts('state-parts'), schemaFile('assignment'), schemaFile('reference'), systems];
  return withDefinitions({ ...state, fields: [...state.fields, ...links] }, shared);
}

function linkSchema(entity: EntityPlan): AvroRecord {
  const namespace = `duolog.state.${avroName(entity.name)}`;
  const groups = [...new Set(entity.fields.map(({ group }) => group))];
  const setters: AvroRecord = {
    type: 'record',
    name: 'Setters',
    namespace,
    fields: groups.map((group) => named(group, ['null', 'Setter'], `Who set ${group}.`)),
  };
  const members: AvroRecord = {
    type: 'record',
    name: 'Members',
    namespace,
    fields: Object.keys(entity.systems).map((system) =>
      named(system, ['null', memberSchema(entity, system)], `Its place in ${system}.`),
    ),
  };
  return { ...withDefinitions(schemaFile('state-link'), [fieldsSchema(entity), setters, members]), namespace };
}

function memberSchema(entity: EntityPlan, system: string): AvroRecord {
  const namespace = `duolog.state.${avroName(entity.name)}.${avroName(system)}`;
  const { shape, columns } = entity.systems[system]!;
  const fieldOf = new Map(columns.map(({ column, field }) => [column, field]));
  const schema = rowSchema(shape);
  const fields = schema.fields.map((column): AvroField => {
    const field = fieldOf.get(column.column ?? column.name);
    return field === undefined ? column : { ...column, field };
  });
  const row = { ...schema, namespace, fields };
  return { ...withDefinitions(schemaFile('state-member'), [row]), namespace };
}

function named(name: string, type: AvroSchema, doc: string): AvroField {
  const allowed = avroName(name);
  return { name: allowed, type, default: null, doc, ...(allowed === name ? {} : { column: name }) };
}
