import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { armFailPoints, FAIL_POINTS, type FailPoint } from '../../src/failpoints.js';
import type { Duolog } from '../../src/runtime.js';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';

/** The CRM is only written to: what becomes of commands is told by the outcome topic. */
describe('a target that is not captured', () => {
  let pair: Pair;
  let duolog: Duolog;

  const restarts = () => duolog.status().tasks.reduce((sum, task) => sum + task.restarts, 0);

  beforeAll(async () => {
    pair = await startPair();
    await pair.erp.query(
      `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 20) n`,
    );
    const loaded = pair.changed((text) =>
      text.replace(/(table: public\.(company|person))\n/g, '$1\n            capture: false\n'),
    );
    duolog = await pair.start({ loaded });
    await pair.equal();
  });
  afterAll(async () => {
    armFailPoints('');
    await pair?.close();
  });

  it('gets inserts, updates, references and deletions', async () => {
    await pair.erp.query(`UPDATE customer SET city = 'Bern' WHERE vat = 'V1'`);
    await pair.erp.query(
      `INSERT INTO contact (customer, name, email) SELECT id, 'Ann', 'ann@v1' FROM customer WHERE vat = 'V1'`,
    );
    await pair.erp.query(`DELETE FROM customer WHERE vat = 'V2'`);
    await pair.equal();
    const { rows } = await pair.crm.query(`SELECT comp_vat FROM person JOIN company ON comp_id = pers_company`);
    expect(rows).toEqual([{ comp_vat: 'V1' }]);
  });

  it('counts the outcomes that it publishes as messages', async () => {
    const metrics = await duolog.metrics.registry.metrics();
    const sum = (figure: RegExp) => Array.from(metrics.matchAll(figure), ([, value]) => Number(value)).reduce(add, 0);
    const published = sum(/^duolog_messages_total\{stage="sink",sync="customers",system="crm"\} (\d+)$/gm);
    expect(published).toBeGreaterThanOrEqual(20);
    expect(published).toBe(sum(/^duolog_outcomes_total\{sync="customers",system="crm",.*\} (\d+)$/gm));
  });

  const publishing = FAIL_POINTS.filter((point) => /^sink\.(publish\.|commit\.after-commit)/.test(point));

  it.each(publishing)('is told of once, whatever breaks off at %s', async (point: FailPoint) => {
    const before = restarts();
    armFailPoints(`${point}=throw`);
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ($1, $1)`, [point]);
    await pair.erp.query(`UPDATE customer SET city = $1 WHERE vat LIKE 'V%'`, [point]);
    await eventually(() => restarts() > before, { what: `a restart by ${point}` });
    await pair.equal();
    // Nothing is in flight any more: the next edit goes through as well.
    await pair.erp.query(`UPDATE customer SET city = 'after ' || $1 WHERE vat = $1`, [point]);
    await pair.equal();
    const { rows } = await pair.crm.query<{ count: string }>('SELECT count(*) FROM company WHERE comp_vat = $1', [
      point,
    ]);
    expect(rows).toEqual([{ count: '1' }]);
  });
});

const add = (left: number, right: number) => left + right;

describe('an opening that breaks off', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await startPair();
    await pair.erp.query(
      `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 20) n`,
    );
  });
  afterAll(async () => {
    armFailPoints('');
    await pair?.close();
  });

  it('is begun again: at each step of each task, a first snapshot included', async () => {
    const points = FAIL_POINTS.filter((point) => /\.open\.|snapshot/.test(point));
    armFailPoints(points.map((point) => `${point}=throw`).join(','));
    const duolog = await pair.start();
    await pair.equal();
    const { tasks } = duolog.status();
    const ofStage = (stage: string) =>
      tasks.filter(({ name }) => name.startsWith(stage)).reduce((sum, { restarts }) => sum + restarts, 0);
    // Each point breaks off whoever passes it first, once.
    for (const stage of ['source', 'stream', 'sink']) {
      const ofThis = points.filter((point) => point.startsWith(`${stage}.`)).length;
      expect(ofThis).toBeGreaterThan(0);
      expect({ stage, restarts: ofStage(stage) }).toEqual({ stage, restarts: ofThis });
    }
  });
});
