/**
 * What the two databases of the proof hold and how they belong together, in the proof's own words: the configuration
 * that Duolog gets and what the oracle expects are both made of it, apart from each other.
 */
export type SystemName = 'crm' | 'erp';
export type EntityName = 'company' | 'person' | 'note';

export const SYSTEMS: readonly SystemName[] = ['crm', 'erp'];
export const ENTITIES: readonly EntityName[] = ['company', 'person', 'note'];

/** A field, its column in one table, and how its values look. */
export interface FieldModel {
  readonly field: string;
  readonly column: string;
  /** The entity that a reference names. */
  readonly refersTo: EntityName | null;
}

export interface TableModel {
  readonly system: SystemName;
  readonly entity: EntityName;
  readonly table: string;
  readonly key: string;
  readonly fields: readonly FieldModel[];
  /** Set to 1 in rows that count as deleted. */
  readonly deletedFlag: string | null;
  /** Its changes are told on a change topic. */
  readonly captured: boolean;
}

const field = (name: string, column: string, refersTo: EntityName | null = null): FieldModel => ({
  field: name,
  column,
  refersTo,
});

export const TABLES: readonly TableModel[] = [
  {
    system: 'crm',
    entity: 'company',
    table: 'company',
    key: 'comp_id',
    fields: [
      field('name', 'comp_name'),
      field('vat', 'comp_vat'),
      field('city', 'comp_city'),
      field('credit', 'comp_credit'),
    ],
    deletedFlag: 'comp_deleted',
    captured: true,
  },
  {
    system: 'erp',
    entity: 'company',
    table: 'customer',
    key: 'id',
    fields: [field('name', 'name'), field('vat', 'vat'), field('city', 'city'), field('credit', 'credit')],
    deletedFlag: null,
    captured: true,
  },
  {
    system: 'crm',
    entity: 'person',
    table: 'person',
    key: 'pers_id',
    fields: [field('name', 'pers_name'), field('email', 'pers_email'), field('company', 'pers_company', 'company')],
    deletedFlag: null,
    captured: true,
  },
  {
    system: 'erp',
    entity: 'person',
    table: 'contact',
    key: 'id',
    fields: [field('name', 'name'), field('email', 'email'), field('company', 'customer', 'company')],
    deletedFlag: null,
    captured: true,
  },
  {
    system: 'crm',
    entity: 'note',
    table: 'note',
    key: 'note_id',
    fields: [field('text', 'note_text'), field('author', 'note_author')],
    deletedFlag: null,
    captured: true,
  },
  {
    system: 'erp',
    entity: 'note',
    table: 'memo',
    key: 'id',
    fields: [field('text', 'body'), field('author', 'author')],
    deletedFlag: null,
    captured: false,
  },
];

export function tableOf(system: SystemName, entity: EntityName): TableModel {
  return TABLES.find((table) => table.system === system && table.entity === entity)!;
}

export const SCHEMA: Readonly<Record<SystemName, string>> = {
  crm: `
CREATE TABLE company (comp_id bigserial PRIMARY KEY, comp_name text NOT NULL, comp_vat text, comp_city text,
  comp_credit numeric(12,2), comp_territory text NOT NULL, comp_deleted int NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX company_vat ON company (comp_vat) WHERE comp_deleted = 0;
CREATE INDEX company_any_vat ON company (comp_vat);
CREATE TABLE person (pers_id bigserial PRIMARY KEY, pers_company bigint REFERENCES company, pers_name text NOT NULL,
  pers_email text);
CREATE UNIQUE INDEX person_email ON person (pers_email);
CREATE INDEX person_company ON person (pers_company);
CREATE TABLE note (note_id bigserial PRIMARY KEY, note_text text NOT NULL, note_author text);
ALTER TABLE company REPLICA IDENTITY FULL;
ALTER TABLE person REPLICA IDENTITY FULL;
ALTER TABLE note REPLICA IDENTITY FULL;`,
  erp: `
CREATE TABLE customer (id text PRIMARY KEY DEFAULT 'C' || gen_random_uuid(), name text NOT NULL, vat text, city text,
  credit numeric(12,2));
CREATE UNIQUE INDEX customer_vat ON customer (vat);
CREATE TABLE contact (id text PRIMARY KEY DEFAULT 'K' || gen_random_uuid(), customer text REFERENCES customer,
  name text NOT NULL, email text);
CREATE UNIQUE INDEX contact_email ON contact (email);
CREATE INDEX contact_customer ON contact (customer);
CREATE TABLE memo (id text PRIMARY KEY DEFAULT 'M' || gen_random_uuid(), body text NOT NULL, author text);
ALTER TABLE customer REPLICA IDENTITY FULL;
ALTER TABLE contact REPLICA IDENTITY FULL;`,
};

export interface Endpoints {
  readonly brokers: string;
  readonly registry: string;
  readonly crm: string;
  readonly erp: string;
  readonly stateFolder: string;
  readonly sessionTimeoutMs: number;
}

export function configurationText(prefix: string, endpoints: Endpoints): string {
  return `
prefix: ${prefix}
kafka:
  brokers: "${endpoints.brokers}"
  schemaRegistry: "${endpoints.registry}"
  replicationFactor: 1
  minInsyncReplicas: 1
  sessionTimeout: ${endpoints.sessionTimeoutMs}ms
  requestTimeout: 5s
systems:
  crm: { connector: postgres, url: "${endpoints.crm}" }
  erp: { connector: postgres, url: "${endpoints.erp}" }
state: { folder: "${endpoints.stateFolder}" }
limits: { trimEvery: 8s }
http: { port: 0 }
log: { level: info, format: json }
syncs:
  customers:
    leading: [erp, crm]
    entities:
      company:
        fields: { name: string, vat: "string?", city: "string?", credit: "decimal(12,2)?" }
        match: [{ on: [vat] }]
        conflict: { policy: newest, within: 0s, otherwise: leading, fields: { credit: { lead: crm } } }
        delete: { crm: soft, erp: hard }
        systems:
          crm:
            table: public.company
            map: { name: comp_name, vat: comp_vat, city: comp_city, credit: comp_credit }
            insert: { set: { comp_territory: Worldwide } }
            softDelete: { column: comp_deleted, deleted: 1, present: 0 }
          erp:
            table: public.customer
            map: { name: name, vat: vat, city: city, credit: credit }
      person:
        fields: { name: string, email: "string?", company: "reference(company)?" }
        match: [{ on: [email] }]
        delete: hard
        systems:
          crm:
            table: public.person
            map: { name: pers_name, email: pers_email, company: pers_company }
          erp:
            table: public.contact
            map: { name: name, email: email, company: customer }
      note:
        fields: { text: string, author: "string?" }
        match: none
        delete: { erp: hard }
        systems:
          crm: { table: public.note, write: false, map: { text: note_text, author: note_author } }
          erp: { table: public.memo, capture: false, map: { text: body, author: author } }
`;
}

/** Topics of the world: those that are read in full, and the state's, of which only the silence matters. */
export function topicsOf(prefix: string): { readonly read: readonly string[]; readonly counted: readonly string[] } {
  const change = TABLES.filter(({ captured }) => captured).map(
    ({ system, entity }) => `${prefix}.change.${system}.${entity}`,
  );
  const kinds = ['canonical', 'decision', 'hold'].flatMap((kind) =>
    ENTITIES.map((entity) => `${prefix}.${kind}.${entity}`),
  );
  const commands = SYSTEMS.map((system) => `${prefix}.command.customers.${system}`);
  return {
    read: [
      ...change,
      ...kinds,
      ...commands.filter((topic) => topic.endsWith('.erp') || topic.endsWith('.crm')),
      `${prefix}.outcome.customers.erp`,
    ],
    counted: [
      `${prefix}.state.customers`,
      `${prefix}.control.customers`,
      ...SYSTEMS.map((s) => `${prefix}.position.${s}`),
    ],
  };
}
