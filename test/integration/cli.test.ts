import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spawnDuolog, type DuologProcess } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { companyPair, duolog, logLines, type CompanyPair } from './cli-fixture.js';

let pair: CompanyPair;
beforeAll(async () => {
  pair = await companyPair();
}, 240_000);
afterAll(() => pair.close());

interface Observed {
  readonly entities: readonly { readonly examples: readonly { readonly kind: string; readonly text: string }[] }[];
  readonly remains: readonly { readonly system: string; readonly statement: string }[];
}

/** The report of `run --observe --json`, which stands among the lines of the log. */
function observed(text: string): Observed {
  return JSON.parse(text.slice(text.indexOf('{\n  "entities"'), text.lastIndexOf('\n}') + 2)) as Observed;
}

/** The API's address, from the line that `run` logs about it. */
async function apiOf(process: DuologProcess): Promise<string> {
  return eventually(async () => {
    const url = /"url":"(http:[^"]+)"/.exec(process.output())?.[1];
    expect(url, process.output()).toBeDefined();
    return url ?? '';
  });
}

describe('duolog on two real databases', () => {
  it('check says what is right and is content', async () => {
    const { code, text } = await duolog(pair, 'check', '--json');
    const report = JSON.parse(text) as {
      readonly ok: boolean;
      readonly findings: readonly { readonly place: string }[];
    };
    expect(report.ok, text).toBe(true);
    expect(new Set(report.findings.map(({ place }) => place))).toEqual(
      new Set(['crm', 'erp', 'configuration', 'kafka', 'schema registry']),
    );
    expect(code).toBe(0);
  });

  it('plan shows what a run would create and creates nothing', async () => {
    const { code, text } = await duolog(pair, 'plan');
    expect(code, text).toBe(0);
    expect(text).toMatch(/CREATE PUBLICATION/);
    expect(text).toContain(`topic ${pair.prefix}.change.crm.company`);
    const again = await duolog(pair, 'plan', '--json');
    expect(JSON.parse(again.text)).toMatchObject({ systems: [{ system: 'crm' }, { system: 'erp' }] });
    const { rows } = await pair.crm.query('SELECT count(*)::int AS made FROM pg_publication');
    expect(rows).toEqual([{ made: 0 }]);
  });

  it('run --observe says what it would do and writes to no table', async () => {
    const before = await pair.names();
    const { code, text } = await duolog(pair, 'run', '--observe', '--json');
    expect(code, text).toBe(0);
    const { entities, remains } = observed(text);
    expect(entities).toEqual([
      {
        entity: 'company',
        records: 4,
        linked: 2,
        would: { crm: { insert: 1, update: 2 }, erp: { insert: 1 } },
        decisions: { 'first-link': 3 },
        earlierDecisions: 0,
        held: {},
        examples: expect.any(Array),
        leftOut: {},
      },
    ]);
    const examples = entities[0]?.examples.map(({ kind, text: example }) => `${kind}: ${example}`) ?? [];
    expect(examples).toContain('would insert: erp C3 in crm');
    expect(examples).toContain('would insert: crm 3 in erp');
    expect(examples.filter((example) => /^linked: (crm 1 = erp C1|erp C1 = crm 1)$/.test(example))).toHaveLength(1);
    const decisions = examples.filter((example) => example.startsWith('decision first-link: '));
    expect(decisions).toHaveLength(3);
    expect(decisions.join()).toMatch(/erp C1.*: name: erp wins: first link: leading/);
    expect(remains.map(({ system }) => system)).toEqual(['crm', 'erp']);
    expect(remains[0]?.statement).toBe(`SELECT pg_drop_replication_slot('duolog_${pair.prefix}_crm');`);
    expect(await pair.names()).toEqual(before);
  });

  it('run --observe again counts what earlier runs decided apart, and says what its list leaves out', async () => {
    const { code, text } = await duolog(pair, 'run', '--observe', '--list', '1');
    expect(code, text).toBe(0);
    expect(text).toMatch(/4 records, 2 of them in more than one system/);
    expect(text).toMatch(/decisions of earlier runs, not listed: 3/);
    expect(text).not.toMatch(/decision first-link/);
    expect(text).toMatch(/linked: 1 more; --list 2 shows them/);
    expect(text).toMatch(/SELECT pg_drop_replication_slot/);
    const wrong = await duolog(pair, 'run', '--observe', '--roles', 'source');
    expect(wrong.text).toMatch(/'--observe' cannot be used with option '--roles/);
    expect(wrong.code).toBe(2);
  });

  it('run brings both sides together, answers on its API and leaves at SIGTERM', async () => {
    const process = await spawnDuolog(pair.file, ['run'], { ...pair.env });
    try {
      const url = await apiOf(process);
      const expected = ['Alfreds Futterkiste', 'Berglunds', 'Only in the CRM', 'Only in the ERP'];
      await eventually(async () =>
        expect(await pair.names(), process.output()).toEqual({ crm: expected, erp: expected }),
      );
      await pair.crm.query("UPDATE company SET comp_name = 'Berglunds snabbköp' WHERE comp_name = 'Berglunds'");
      await eventually(async () => expect((await pair.names()).erp).toContain('Berglunds snabbköp'));
      await pair.erp.query(`DELETE FROM customer WHERE name = 'Only in the ERP'`);
      await eventually(async () => expect((await pair.names()).crm).not.toContain('Only in the ERP'));
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/duolog_records_total\{stage="stream"[^}]*\} [1-9]/);
      const shown = await duolog(pair, 'status', '--url', url);
      expect(shown.code, shown.text).toBe(0);
      expect(shown.text).toMatch(/source crm +running/);
    } finally {
      const stopped = Date.now();
      expect(await process.stop(), process.output()).toBe(0);
      // What SIGTERM is promised, and a little for a machine that is busy.
      expect(Date.now() - stopped).toBeLessThan(12_000);
    }
    expect(process.output()).not.toContain('Berglunds');
  });

  it('check after that says of a slot that is gone that changes are lost', async () => {
    expect((await duolog(pair, 'check')).code).toBe(0);
    const slot = `duolog_${pair.prefix}_crm`;
    await eventually(() => pair.crm.query('SELECT pg_drop_replication_slot($1)', [slot]));
    const { code, text } = await duolog(pair, 'check');
    expect(text).toMatch(new RegExp(`✗ slot: the replication slot ${slot} is gone.*run duolog resync crm`));
    expect(code).toBe(1);
  });
});

describe('run --observe where people will have to look', () => {
  it('counts and lists the conflict that nobody may settle and the records that are there twice', async () => {
    const torn = await companyPair();
    try {
      const conflict = 'conflict: { policy: newest, within: 0s, otherwise: hold, first: newest }';
      await torn.configure((text) => text.replace('delete: hard', `delete: hard\n        ${conflict}`));
      // Linked by the same VAT number, of two names, and no column tells which is newer: C1 and company 1.
      await torn.crm.query(`UPDATE company SET comp_vat = replace(comp_vat, ' ', '')`);
      // Twice in the CRM, by a match value that the unique index takes for two.
      await torn.crm.query(`INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES ('Again', 'AT 9', 'Old')`);
      const before = await torn.names();
      const { code, text } = await duolog(torn, 'run', '--observe', '--list', '10');
      expect(code, text).toBe(0);
      expect(text).toMatch(/5 records, 2 of them in more than one system/);
      expect(text).toMatch(/decisions: 1 first-link$/m);
      expect(text).toMatch(/decision first-link: (crm 1 = erp C1|erp C1 = crm 1): name: nobody wins: /);
      expect(text).toMatch(/held: .*\b1 conflict\b/);
      expect(text).toMatch(/held conflict: (crm 1|erp C1): name: /);
      expect(text).toMatch(/held: .*\b2 duplicate\b/);
      expect(text).toMatch(/held duplicate: crm [34]: the record of link \S+ here shows the same match value/);
      expect(await torn.names()).toEqual(before);
    } finally {
      await torn.close();
    }
  });
});

describe('the example consumer', () => {
  const consumerFile = fileURLToPath(new URL('../../examples/consumer/consumer.mjs', import.meta.url));

  it('is told in about twenty lines without a part of Duolog, and says how it is called', () => {
    const code = readFileSync(consumerFile, 'utf8')
      .split('\n')
      .filter((line) => !/^\s*(\/\/|$)/.test(line));
    expect(code.length).toBeLessThan(25);
    expect(code.filter((line) => line.startsWith('import')).every((line) => !/from '\./.test(line))).toBe(true);
    const { status, stderr } = spawnSync(process.execPath, [consumerFile], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([2, expect.stringContaining('usage: node consumer.mjs')]);
  });

  it('shows the agreed records, what is gone, and every change once, with who wrote it', async () => {
    const { prefix, env } = pair;
    const canonical = `${prefix}.canonical.company`;
    const changes = `${prefix}.change.erp.company`;
    const addresses = [env['KAFKA_BROKERS'] ?? '', env['SCHEMA_REGISTRY_URL'] ?? ''];
    const consumer = spawn(process.execPath, [consumerFile, ...addresses, `${prefix}-shop`, canonical, changes], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    consumer.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
    const seen = (topic: string): readonly Seen[] =>
      text
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line) as Seen)
        .filter((record) => record.topic === topic);
    try {
      await eventually(() => {
        // The last one of each key, as whoever keeps a copy has it: null takes the record out of it.
        const last = new Map(seen(canonical).map(({ key, record }) => [key, record]));
        expect([...last.values()].filter((record) => record === null)).toHaveLength(1);
        const present = [...last.values()].filter((record) => record !== null);
        expect(present.map((record) => String(record.fields?.name)).sort()).toEqual([
          'Alfreds Futterkiste',
          'Berglunds snabbköp',
          'Only in the CRM',
        ]);
        return seen(changes).some(({ record }) => record?.op === 'delete');
      });
      const [gone] = seen(canonical).filter(({ record }) => record === null);
      expect(seen(canonical).find(({ key }) => key === gone?.key)?.record?.fields?.name).toBe('Only in the ERP');
      const deleted = seen(changes).filter(({ record }) => record?.op === 'delete');
      expect(deleted.map(({ key, record }) => [key, record?.before?.id, record?.after, record?.origin])).toEqual([
        ['C3', 'C3', null, null],
      ]);
      const written = seen(changes).filter(({ record }) => record?.after?.name === 'Berglunds snabbköp');
      expect(written.map(({ record }) => [record?.op, record?.origin?.sync])).toEqual([['update', 'customers']]);
      expect(seen(changes).filter(({ record }) => record?.op === 'read')).toHaveLength(3);
      const lines = text.split('\n').slice(0, -1);
      expect(lines.filter((line) => !line.startsWith(`{"topic":"${prefix}.`))).toEqual([]);
    } finally {
      consumer.kill();
    }
  });
});

/** A line of the consumer, as far as the test looks at it. */
interface Seen {
  readonly topic: string;
  readonly key: string;
  readonly record: {
    readonly op?: string;
    readonly fields?: { readonly name: string };
    readonly before?: { readonly id: string } | null;
    readonly after?: { readonly name: string } | null;
    readonly origin?: { readonly sync: string } | null;
  } | null;
}

describe('duolog where something is wrong', () => {
  it('check names the column that is not there, with its place in the file', async () => {
    const broken = await companyPair();
    try {
      await broken.configure((text) => text.replace('vat: comp_vat', 'vat: comp_vta'));
      const { code, text } = await duolog(broken, 'check');
      expect(text).toMatch(/duolog\.yaml:18:\d+ .*public\.company has no column comp_vta\. Did you mean "comp_vat"\?/);
      expect(code).toBe(1);
      const run = await duolog(broken, 'run');
      expect(run.text).toContain('CONFIG_INVALID');
      expect(run.code).toBe(2);
    } finally {
      await broken.close();
    }
  });

  it('check goes on where one part does not answer, and shows no password', async () => {
    const env = {
      ...pair.env,
      CRM_URL: 'postgres://me:hunter2@127.0.0.1:1/x',
      SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1',
    };
    const { code, text } = await duolog({ ...pair, env }, 'check');
    expect(code).toBe(1);
    expect(text).toContain('SOURCE_UNREACHABLE');
    expect(text).toContain('REGISTRY_UNREACHABLE');
    expect(text).toMatch(/✓ tables: 1 tables found: public\.customer/);
    expect(text).not.toContain('hunter2');
  });

  it('a wrong command line or file ends with 2', async () => {
    expect((await duolog({ ...pair, file: null }, 'runn')).code).toBe(2);
    expect((await duolog(pair, 'run', '--roles', 'sorcerer')).text).toContain(
      '"sorcerer" is none of source, stream, sink',
    );
    expect((await duolog({ ...pair, file: '/nowhere/duolog.yaml' }, 'check')).code).toBe(2);
    expect((await duolog({ ...pair, file: null }, '--help')).code).toBe(0);
  });

  it('status without a process says so', async () => {
    const { code, text } = await duolog(pair, 'status', '--url', 'http://127.0.0.1:1', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'API_UNREACHABLE' } });
  });

  it('run waits for a Kafka that is not there and still leaves at SIGTERM', async () => {
    const process = await spawnDuolog(pair.file, ['run'], { ...pair.env, KAFKA_BROKERS: '127.0.0.1:1' });
    await eventually(async () => expect(process.output()).toContain('KAFKA_UNREACHABLE'));
    expect(await process.stop()).toBe(0);
    // Nothing but our own lines, one for each attempt.
    const others = logLines(process.output()).filter(({ msg }) => !msg.startsWith('not reached yet'));
    expect(others.map(({ msg }) => msg)).toEqual(['starting', 'API listens', 'stopped']);
  });
});
