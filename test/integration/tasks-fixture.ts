import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { checkConfiguration, type LoadedConfiguration } from '../../src/config/load.js';
import { createLogger } from '../../src/logging/logger.js';
import { startDuolog, type Duolog, type Role, type StartOptions } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { freshDatabase, openPool, stack, uniquePrefix, type FreshDatabase } from '../support/shared.js';

/** Two databases with companies and their people, a configuration that joins them, and Duologs over it in this process. */
export interface Pair {
  readonly prefix: string;
  readonly brokers: readonly string[];
  readonly registry: string;
  readonly crm: pg.Pool;
  readonly erp: pg.Pool;
  readonly crmDatabase: FreshDatabase;
  readonly erpDatabase: FreshDatabase;
  readonly loaded: LoadedConfiguration;
  /** The configuration with a part of its text replaced. */
  changed(change: (text: string) => string): LoadedConfiguration;
  start(options?: Partial<StartOptions> & { readonly loaded?: LoadedConfiguration }): Promise<Duolog>;
  /** Waits until both sides show the same companies and people. */
  equal(timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

const CRM = `
CREATE TABLE company (comp_id bigserial PRIMARY KEY, comp_name text NOT NULL, comp_vat text, comp_city text,
  comp_credit numeric(12,2), comp_territory text NOT NULL, comp_deleted int NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX company_vat ON company (comp_vat);
ALTER TABLE company REPLICA IDENTITY FULL;
CREATE TABLE person (pers_id bigserial PRIMARY KEY, pers_company bigint REFERENCES company, pers_name text NOT NULL,
  pers_email text);
CREATE UNIQUE INDEX person_email ON person (pers_email);
ALTER TABLE person REPLICA IDENTITY FULL`;

const ERP = `
CREATE TABLE customer (id text PRIMARY KEY DEFAULT 'C' || gen_random_uuid(), name text NOT NULL, vat text, city text,
  credit numeric(12,2));
CREATE UNIQUE INDEX customer_vat ON customer (vat);
ALTER TABLE customer REPLICA IDENTITY FULL;
CREATE TABLE contact (id text PRIMARY KEY DEFAULT 'K' || gen_random_uuid(), customer text REFERENCES customer,
  name text NOT NULL, email text);
CREATE UNIQUE INDEX contact_email ON contact (email);
ALTER TABLE contact REPLICA IDENTITY FULL`;

export const ALL_ROLES: readonly Role[] = ['source', 'stream', 'sink'];

function configurationText(prefix: string, brokers: readonly string[], registry: string, crm: string, erp: string) {
  return `
prefix: ${prefix}
kafka:
  brokers: "${brokers.join(',')}"
  schemaRegistry: "${registry}"
  replicationFactor: 1
  minInsyncReplicas: 1
  sessionTimeout: 6s
systems:
  crm: { connector: postgres, url: "${crm}" }
  erp: { connector: postgres, url: "${erp}" }
syncs:
  customers:
    leading: [erp, crm]
    entities:
      company:
        fields: { name: string, vat: "string?", city: "string?", credit: "decimal(12,2)?" }
        match: [{ on: [vat] }]
        conflict: { policy: newest, within: 0s, otherwise: leading }
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
http: { port: 0 }
`;
}

export async function startPair(): Promise<Pair> {
  const [{ brokers, registry }, crmDatabase, erpDatabase] = await Promise.all([
    stack(),
    freshDatabase(),
    freshDatabase(),
  ]);
  const crm = openPool(crmDatabase.url, 4);
  const erp = openPool(erpDatabase.url, 4);
  await Promise.all([crm.query(CRM), erp.query(ERP)]);
  const prefix = uniquePrefix();
  const folder = await mkdtemp(join(tmpdir(), 'duolog-tasks-'));
  const text = configurationText(prefix, brokers, registry, crmDatabase.url, erpDatabase.url);
  const load = (of: string) => checkConfiguration(of, join(folder, 'duolog.yaml'), {});
  const running = new Set<Duolog>();
  const logger = createLogger({
    level: process.env['DUOLOG_TEST_LOG'] === undefined ? 'silent' : 'debug',
    format: 'json',
  });
  const loaded = load(text);
  return {
    prefix,
    brokers,
    registry,
    crm,
    erp,
    crmDatabase,
    erpDatabase,
    loaded,
    changed: (change) => load(change(text)),
    start: async ({ loaded: other, ...options } = {}) => {
      const duolog = await startDuolog(other ?? loaded, { roles: ALL_ROLES, logger, ...options });
      running.add(duolog);
      return { ...duolog, stop: () => (running.delete(duolog), duolog.stop()) };
    },
    equal: (timeoutMs = 60_000) => equal(crm, erp, timeoutMs),
    close: async () => {
      await Promise.all([...running].map((duolog) => duolog.stop()));
      await Promise.all([crm.end(), erp.end()]);
      await Promise.all([crmDatabase.drop(), erpDatabase.drop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const COMPANIES_CRM = `SELECT comp_name AS name, comp_vat AS vat, comp_city AS city, comp_credit AS credit
  FROM company WHERE comp_deleted = 0 ORDER BY 2, 1`;
const COMPANIES_ERP = 'SELECT name, vat, city, credit FROM customer ORDER BY 2, 1';
const PEOPLE_CRM = `SELECT pers_name AS name, pers_email AS email, comp_vat AS company
  FROM person LEFT JOIN company ON comp_id = pers_company ORDER BY 2, 1`;
const PEOPLE_ERP = `SELECT contact.name, email, vat AS company
  FROM contact LEFT JOIN customer ON customer.id = contact.customer ORDER BY 2, 1`;

async function equal(crm: pg.Pool, erp: pg.Pool, timeoutMs: number): Promise<void> {
  await eventually(
    async () => {
      const [left, right] = await Promise.all([
        rows(crm, COMPANIES_CRM, PEOPLE_CRM),
        rows(erp, COMPANIES_ERP, PEOPLE_ERP),
      ]);
      if (left === right) return true;
      throw new Error(`crm ${left.slice(0, 1000)} erp ${right.slice(0, 1000)}`);
    },
    { what: 'both sides to be equal', timeoutMs },
  );
}

async function rows(pool: pg.Pool, ...queries: readonly string[]): Promise<string> {
  const results = await Promise.all(queries.map((query) => pool.query<Record<string, unknown>>(query)));
  return JSON.stringify(results.map((result) => result.rows));
}
