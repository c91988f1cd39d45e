import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect } from 'vitest';
import { eventually } from '../support/eventually.js';
import { freshDatabase, stack, uniquePrefix } from '../support/shared.js';
import { spawnDuolog } from '../support/duolog-process.js';

/** Two databases with a company table each and a configuration that joins them. */
export interface CompanyPair {
  readonly prefix: string;
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
  readonly crm: pg.Client;
  readonly erp: pg.Client;
  /** Writes the configuration anew. */
  configure(change: (text: string) => string): Promise<void>;
  /** Names of the companies on both sides. */
  names(): Promise<{ readonly crm: readonly string[]; readonly erp: readonly string[] }>;
  /** Waits until both sides show the same names. */
  equal(): Promise<void>;
  close(): Promise<void>;
}

const CRM = `
CREATE TABLE company (comp_id bigserial PRIMARY KEY, comp_name varchar(40) NOT NULL, comp_vat varchar(20), comp_territory text NOT NULL);
CREATE UNIQUE INDEX company_vat ON company (comp_vat);
INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES
  ('Alfreds', 'DE 1', 'Old'), ('Berglunds', 'SE 2', 'Old'), ('Only in the CRM', 'AT 9', 'Old')`;

const ERP = `
CREATE TABLE customer (id text PRIMARY KEY DEFAULT 'C' || gen_random_uuid(), name varchar(40) NOT NULL, vat varchar(20));
CREATE UNIQUE INDEX customer_vat ON customer (vat);
INSERT INTO customer (id, name, vat) VALUES ('C1', 'Alfreds Futterkiste', 'DE1'), ('C2', 'Berglunds', 'SE2'), ('C3', 'Only in the ERP', 'FR3')`;

function configuration(prefix: string): string {
  return `
prefix: ${prefix}
kafka: { brokers: "\${KAFKA_BROKERS}", schemaRegistry: "\${SCHEMA_REGISTRY_URL}" }
systems:
  crm: { connector: postgres, url: "\${CRM_URL}" }
  erp: { connector: postgres, url: "\${ERP_URL}" }
syncs:
  customers:
    leading: [erp, crm]
    entities:
      company:
        fields: { name: string, vat: "string?" }
        match: [{ on: [vat] }]
        delete: hard
        systems:
          crm:
            table: public.company
            map: { name: comp_name, vat: comp_vat }
            insert: { set: { comp_territory: Worldwide } }
          erp: { table: public.customer, map: { name: name, vat: vat } }
state: { folder: ./state }
http: { port: 0 }
`;
}

export async function companyPair(): Promise<CompanyPair> {
  const [{ brokers, registry }, crmDatabase, erpDatabase] = await Promise.all([
    stack(),
    freshDatabase(),
    freshDatabase(),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'duolog-cli-'));
  const file = join(folder, 'duolog.yaml');
  const prefix = uniquePrefix();
  const [crm, erp] = await Promise.all([connected(crmDatabase.url, CRM), connected(erpDatabase.url, ERP)]);
  await writeFile(file, configuration(prefix));
  const names = async () => {
    const [left, right] = await Promise.all([
      crm.query<{ name: string }>('SELECT comp_name AS name FROM company ORDER BY 1'),
      erp.query<{ name: string }>('SELECT name FROM customer ORDER BY 1'),
    ]);
    return { crm: left.rows.map(({ name }) => name), erp: right.rows.map(({ name }) => name) };
  };
  const areEqual = async () => {
    const now = await names();
    expect(now.crm).toEqual(now.erp);
    return true;
  };
  return {
    prefix,
    file,
    env: {
      KAFKA_BROKERS: brokers.join(','),
      SCHEMA_REGISTRY_URL: registry,
      CRM_URL: crmDatabase.url,
      ERP_URL: erpDatabase.url,
    },
    crm,
    erp,
    names,
    equal: async () => void (await eventually(areEqual, { what: 'both sides to be equal', timeoutMs: 60_000 })),
    configure: (change) => writeFile(file, change(configuration(prefix))),
    close: async () => {
      await Promise.all([crm.end(), erp.end()]);
      await Promise.all([crmDatabase.drop(), erpDatabase.drop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function connected(url: string, statements: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statements);
  return client;
}

/** A command to its end: exit code and everything it printed. */
export async function duolog(
  pair: Pick<CompanyPair, 'env'> & { readonly file: string | null },
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly text: string }> {
  const started = await spawnDuolog(pair.file, args, pair.env);
  const { code } = await started.exited;
  return { code, text: started.output() };
}

export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly task?: string;
  readonly group?: string;
  readonly topics?: readonly string[];
  readonly err?: { readonly code?: string };
}

/** The log of a process that prints nothing else. Whatever a library of ours, or Node, writes besides fails here. */
export function logLines(output: string): readonly LogLine[] {
  const lines = output.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    expect(line).toMatch(/^\{"level":"(info|warn|error)","time":"\d{4}-\d\d-\d\dT[\d:.]+Z",.*"msg":".*"\}$/);
    const parsed = JSON.parse(line) as LogLine;
    expect(Object.keys(parsed)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(kafkajs|logger|timestamp)$/)]),
    );
    return parsed;
  });
}
