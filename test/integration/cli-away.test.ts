import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DuologProcess } from '../support/duolog-process.js';
import { spawnDuolog } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { companyPair, duolog, type CompanyPair } from './cli-fixture.js';

/** What a process and `check` do while a part of the whole is away. */
let pair: CompanyPair;
let withoutCrm: Readonly<Record<string, string>>;
beforeAll(async () => {
  pair = await companyPair();
  withoutCrm = { ...pair.env, CRM_URL: 'postgres://me:hunter2@127.0.0.1:1/x' };
}, 240_000);
afterAll(() => pair.close());

interface Finding {
  readonly place: string;
  readonly check: string;
  readonly severity: string;
}

async function findings(env: Readonly<Record<string, string>>): Promise<readonly Finding[]> {
  const { text } = await duolog({ ...pair, env }, 'check', '--json');
  return (JSON.parse(text) as { readonly findings: readonly Finding[] }).findings;
}

function checksOf(place: string, of: readonly Finding[]): ReadonlySet<string> {
  return new Set(of.filter((finding) => finding.place === place).map(({ check }) => check));
}

async function apiOf(process: DuologProcess): Promise<string> {
  return eventually(() => /"url":"(http:[^"]+)"/.exec(process.output())?.[1]);
}

async function answer(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.json() };
}

describe('check', () => {
  it('tells of a system all that it would, while the other one is away', async () => {
    const whole = checksOf('erp', await findings(pair.env));
    expect(whole).toContain('wal-level');
    const part = await findings(withoutCrm);
    expect(checksOf('erp', part)).toEqual(whole);
    expect(checksOf('crm', part)).toEqual(new Set(['tables']));
  });

  it('says of a registry that is away that it is, and names no schema that nobody has', async () => {
    const env = { ...pair.env, SCHEMA_REGISTRY_URL: 'http://me:hunter2@127.0.0.1:1' };
    const { code, text } = await duolog({ ...pair, env }, 'check');
    expect(code).toBe(1);
    expect(text).toMatch(/REGISTRY_UNREACHABLE The schema registry at 127\.0\.0\.1:1 did not answer \(.+\)\./);
    expect(text).not.toMatch(/2147483647|hunter2/);
  });

  it('names a table that is not there, and still tells of the rest', async () => {
    const erp = checksOf('erp', await findings(pair.env));
    await pair.configure((text) => text.replace('public.company', 'public.compny'));
    try {
      const part = await findings(pair.env);
      expect(part.filter(({ place, severity }) => place === 'crm' && severity === 'error')).toMatchObject([
        { check: 'tables' },
      ]);
      expect(checksOf('crm', part)).toContain('version');
      expect(checksOf('erp', part)).toEqual(erp);
    } finally {
      await pair.configure((text) => text);
    }
  });
});

describe('run', () => {
  it('answers for its health and says what it waits for, while a system is away at the first start', async () => {
    const process = await spawnDuolog(pair.file, ['run'], withoutCrm);
    const url = await apiOf(process);
    expect(await answer(`${url}/healthz`)).toEqual({ status: 200, body: { healthy: true } });
    await eventually(async () =>
      expect(await answer(`${url}/readyz`)).toEqual({
        status: 503,
        body: { ready: false, waitingFor: ['start: SOURCE_UNREACHABLE'] },
      }),
    );
    const { text } = await duolog(pair, 'status', '--url', url);
    expect(text).toContain('SOURCE_UNREACHABLE');
    expect(text + process.output()).not.toContain('hunter2');
    expect(await process.stop()).toBe(0);
  });

  it('ends a look that has seen nothing yet with 3, not as if it were done', async () => {
    const process = await spawnDuolog(pair.file, ['run', '--observe', '--json'], withoutCrm);
    await eventually(() => process.output().includes('SOURCE_UNREACHABLE'));
    expect(await process.stop()).toBe(3);
    expect(process.output()).not.toContain('"entities"');
  });

  it('works with the systems that are there, once it has seen the one that is away', async () => {
    const first = await spawnDuolog(pair.file, ['run'], pair.env);
    await pair.equal();
    expect(await first.stop()).toBe(0);

    const second = await spawnDuolog(pair.file, ['run'], withoutCrm);
    const url = await apiOf(second);
    await eventually(
      async () => {
        const { body } = await answer(`${url}/status`);
        const { tasks } = body as { readonly tasks: readonly { readonly name: string; readonly phase: string }[] };
        return tasks.some(({ name, phase }) => name === 'source erp' && phase === 'running');
      },
      { timeoutMs: 60_000 },
    );
    await pair.erp.query(`UPDATE customer SET name = 'Read while the CRM was away' WHERE id = 'C1'`);
    await eventually(async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return /^duolog_messages_total\{stage="source",sync="",system="erp"\} [1-9]/m.test(metrics);
    });
    expect(await second.stop()).toBe(0);

    const third = await spawnDuolog(pair.file, ['run'], pair.env);
    await pair.equal();
    expect(await third.stop()).toBe(0);
  }, 300_000);

  it('ends a look with 3 that is told to stop while it waits for a system', async () => {
    const process = await spawnDuolog(pair.file, ['run', '--observe'], withoutCrm);
    const url = await apiOf(process);
    await eventually(async () => {
      const { body } = await answer(`${url}/status`);
      const { tasks } = body as { readonly tasks: readonly { readonly name: string; readonly phase: string }[] };
      return tasks.some(({ name, phase }) => name === 'source erp' && phase === 'running');
    });
    expect(await process.stop()).toBe(3);
    expect(process.output()).not.toContain('cut short');
  });
});
