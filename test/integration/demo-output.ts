import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { expect } from 'vitest';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import { eventually } from '../support/eventually.js';

/** What the demo prints, taken apart; and whether what it says of its servers is so. */

interface ShownEdit {
  /** What was done where: `erp`, or `crm`. */
  readonly done: readonly string[];
  /** Where it was seen to arrive. */
  readonly arrived: readonly string[];
  readonly why: RegExp;
}

/** The scripted edits by the titles that they are shown under, in the order they are played. */
export const EDITS: Readonly<Record<string, ShownEdit>> = {
  'A telephone number changes in the ERP': {
    done: ['erp'],
    arrived: ['crm'],
    why: /^the agreed record has phone from the erp; no decision record came with it$/,
  },
  'A company is renamed in the CRM': {
    done: ['crm'],
    arrived: ['erp'],
    why: /^the agreed record has name from the crm; no decision record came with it$/,
  },
  'Different fields of one company change on both sides at once': {
    done: ['erp', 'crm'],
    arrived: ['crm', 'erp'],
    why: /^the agreed record has street from the erp, phone from the crm(, the last of \d+ versions)?; no decision record came/,
  },
  'The same field changes on both sides at once': {
    done: ['erp', 'crm'],
    arrived: ['crm'],
    // Commits that are far enough apart have an order, else the ERP wins.
    why: /^conflict: (erp|crm) wins, because .+ \((?=.*erp phone: 0921-1\d+)(?=.*crm phone: 0921-2\d+).+\)$/,
  },
  'A company comes with its person in the CRM': {
    done: ['crm'],
    arrived: ['erp'],
    why: /^a new agreed record: (crm \d+ = erp C\d+|erp C\d+ = crm \d+)/,
  },
  'An order comes with its lines in the ERP': {
    done: ['erp'],
    arrived: ['crm'],
    why: /^a new agreed record: (crm \d+ = erp \w+|erp \w+ = crm \d+)/,
  },
  'A company and its contact are deleted in the ERP': {
    done: ['erp'],
    arrived: ['crm'],
    why: /^the agreed record is gone/,
  },
  'A company and its person are deleted in the CRM': {
    done: ['crm'],
    arrived: ['erp'],
    why: /^the agreed record is gone/,
  },
  'A burst of 200 edits of one record in the ERP': {
    done: ['erp'],
    arrived: ['crm'],
    why: /^the agreed record has phone from the erp/,
  },
};

/** Each edit stands there once, in order, with what was done, where it arrived after how long, and what was decided. */
export function expectEveryEdit(output: string): void {
  const lines = output.split('\n');
  const titles = lines.filter((line) => EDITS[line] !== undefined);
  expect(titles).toEqual(Object.keys(EDITS));
  for (const [title, { done, arrived, why }] of Object.entries(EDITS)) {
    const from = lines.indexOf(title) + 1;
    const shown = lines.slice(from, lines.indexOf('', from)).map((line) => line.trim());
    const arrivals = shown.filter((line) => line.startsWith('→ '));
    const reasons = shown.filter((line) => line.startsWith('why: ')).map((line) => line.slice('why: '.length));
    const rest = shown.filter((line) => !line.startsWith('→ ') && !line.startsWith('why: '));
    expect(
      rest.map((line) => line.split(':')[0]),
      title,
    ).toEqual(done);
    expect(
      arrivals.map((line) => /^→ (erp|crm) after \d+ ms: ./.exec(line)?.[1]),
      title,
    ).toEqual(arrived);
    expect(reasons[0], title).toMatch(why);
  }
}

/** Does what the last lines invite to, at the addresses that they name. */
export async function expectConnectionsWork(output: string): Promise<void> {
  const lines = output.split('\n').map((line) => line.trim());
  const named = (name: string) => {
    const found = lines.filter((line) => line.startsWith(`${name}  `));
    expect(found, name).toHaveLength(1);
    return found[0]!.slice(name.length).trim();
  };
  const [erp, crm] = lines.flatMap((line, at) =>
    line.startsWith('psql ') ? [{ url: line.slice('psql '.length), statement: lines[at + 1]! }] : [],
  );
  expect((await query(erp!)).rowCount).toBe(1);
  const phoneOf = async () => (await query<{ comp_phone: string }>(crm!)).rows.map(({ comp_phone }) => comp_phone);
  await eventually(async () => expect(await phoneOf()).toEqual(['12345']) ?? true);

  const [brokers, topics] = named('Kafka').split(/ +topics /);
  expect(topics).toBe('northwind.*');
  const admin = new Kafka({ brokers: brokers!.split(','), logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  expect(await admin.listTopics()).toContain('northwind.canonical.company');
  await admin.disconnect();
  const subjects = await fetch(`${named('Schema registry')}/subjects`);
  expect(await subjects.json()).toContain('northwind.canonical.company-value');
  const metrics = await fetch(named('Metrics'));
  expect(await metrics.text()).toMatch(/^duolog_records_total\{stage="stream",[^}]*\} [1-9]/m);
  expect(await readFile(named("Duolog's log"), 'utf8')).toContain('"msg":"running"');
  expect(await readFile(named('Configuration'), 'utf8')).toContain('prefix: northwind');
}

async function query<T extends pg.QueryResultRow>(of: {
  readonly url: string;
  readonly statement: string;
}): Promise<pg.QueryResult<T>> {
  const client = new pg.Client({ connectionString: of.url });
  await client.connect();
  try {
    return await client.query<T>(of.statement);
  } finally {
    await client.end();
  }
}
