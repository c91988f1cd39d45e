import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ListedHold } from '../../src/cli/holds.js';
import { spawnDuolog } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { companyPair, duolog, type CompanyPair } from './cli-fixture.js';

/** What `duolog holds` tells while, before and after records wait. */
let pair: CompanyPair;
beforeAll(async () => {
  pair = await companyPair();
}, 240_000);
afterAll(() => pair.close());

interface Told {
  readonly held: number;
  readonly holds: readonly ListedHold[];
  readonly leftOut: number;
}

async function told(...words: readonly string[]): Promise<Told> {
  const { code, text } = await duolog(pair, 'holds', '--json', ...words);
  expect(code, text).toBe(0);
  return JSON.parse(text) as Told;
}

async function untilHeld(count: number): Promise<readonly ListedHold[]> {
  return eventually(async () => {
    const { held, holds } = await told();
    expect(held, JSON.stringify(holds)).toBe(count);
    return holds;
  });
}

const beginning = ({ since }: ListedHold) => Date.parse(since ?? '');

it('says before the first start that nothing waits, and of a name that there is none such', async () => {
  expect(await duolog(pair, 'holds')).toEqual({ code: 0, text: 'Nothing is held.\n' });
  const wrong = await duolog(pair, 'holds', '--entity', 'compny');
  expect(wrong.text).toContain('Did you mean "company"?');
  expect(wrong.code).toBe(2);
});

it('lists what waits by system and key with its reason, until it is over, and also while no process runs', async () => {
  await pair.crm.query(`ALTER TABLE company ADD CONSTRAINT unwanted
    CHECK (comp_name NOT IN ('Alfreds Futterkiste', 'Only in the ERP'))`);
  await pair.erp.query(`ALTER TABLE customer ADD CONSTRAINT foreign_to_us CHECK (name <> 'Only in the CRM')`);
  const process = await spawnDuolog(pair.file, ['run'], pair.env);
  try {
    const holds = await untilHeld(3);
    const texts = holds.map(({ entity, system, key, reason, detail }) =>
      [entity, system, key, reason, /unwanted|foreign_to_us/.exec(detail)?.[0]].join(' '),
    );
    expect(texts.sort()).toEqual([
      'company crm  failed unwanted',
      'company crm 1 failed unwanted',
      'company erp  failed foreign_to_us',
    ]);
    for (const held of holds) expect(beginning(held)).toBeLessThan(Date.now());
    expect(holds.map(beginning)).toEqual(holds.map(beginning).sort((left, right) => left - right));
    await pair.crm.query(`UPDATE company SET comp_name = 'Welcome' WHERE comp_name = 'Only in the CRM'`);
    await untilHeld(2);
  } finally {
    expect(await process.stop(), process.output()).toBe(0);
  }
  expect((await told('--system', 'erp')).holds).toEqual([]);
  expect(await told('--system', 'crm', '--entity', 'company', '--limit', '1')).toMatchObject({
    held: 2,
    holds: [{ system: 'crm' }],
    leftOut: 1,
  });
  const { code, text } = await duolog(pair, 'holds', '--limit', '1');
  expect(code).toBe(0);
  expect(text).toMatch(/^company crm (1|\(no key\)) {2}link \S+\n {2}failed since \d{4}-\S+Z: .*unwanted/);
  expect(text).toMatch(/^2 held\.\n1 of them not listed; --limit 2 shows them\.$/m);
}, 300_000);
