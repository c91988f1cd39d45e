import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FAIL_POINTS, type FailPoint } from '../../src/failpoints.js';
import { type DuologProcess, spawnDuolog } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { repositoryFiles, textOf } from '../support/source-files.js';
import { startPair, type Pair } from './tasks-fixture.js';

/** A target that is only written to, so that a sink publishes outcomes. */
const NOTES = `
      note:
        fields: { text: string }
        match: none
        delete: hard
        systems:
          crm: { table: public.note, write: false, map: { text: note_text } }
          erp: { table: public.memo, capture: false, map: { text: body } }
http:`;

const configured = (text: string, folder: string) =>
  text
    .replace('sessionTimeout: 6s', 'sessionTimeout: 1s')
    .replace(/^http:/m, NOTES.slice(1))
    .replace(/^syncs:/m, `limits: { trimEvery: 500ms }\nstate: { folder: "${folder}/state" }\nsyncs:`);

describe('kill -9 at every fail point', () => {
  let pair: Pair;
  let folder = '';
  let file: string;
  let edits = 0;
  /** Companies whose city somebody has set in the CRM: where every process dies early, some come there late. */
  const located = new Set<string>();
  const started: DuologProcess[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'duolog-points-'));
    pair = await startPair();
    await pair.crm.query(`CREATE TABLE note (note_id bigserial PRIMARY KEY, note_text text NOT NULL);
      ALTER TABLE note REPLICA IDENTITY FULL`);
    await pair.erp.query(
      `CREATE TABLE memo (id text PRIMARY KEY DEFAULT 'M' || gen_random_uuid(), body text NOT NULL)`,
    );
    await pair.erp.query(
      `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(1, 20) n`,
    );
    file = join(folder, 'duolog.yaml');
    let text = '';
    pair.changed((original) => (text = configured(original, folder)));
    await writeFile(file, text);
  });
  afterAll(async () => {
    for (const process of started) process.kill('SIGKILL');
    await Promise.all(started.map(({ exited }) => exited));
    await pair?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (failPoints: string) => {
    const process = await spawnDuolog(file, ['run'], { DUOLOG_FAIL_POINTS: failPoints });
    started.push(process);
    return process;
  };

  /** Work for every task. */
  const edit = async () => {
    const round = `round ${++edits}`;
    const [moved] = await Promise.all([
      pair.crm.query<{ vat: string }>(
        `UPDATE company SET comp_city = $1 WHERE comp_vat LIKE 'V%' RETURNING comp_vat AS vat`,
        [round],
      ),
      pair.erp.query(`UPDATE customer SET name = name || '.' WHERE vat LIKE 'V%'`),
      pair.erp.query(`INSERT INTO customer (name, vat) VALUES ($1, $1)`, [round]),
      pair.crm.query(`INSERT INTO note (note_text) VALUES ($1)`, [round]),
    ]);
    for (const { vat } of moved.rows) located.add(vat);
  };

  /** The snapshot comes first, while it still runs. */
  const points = FAIL_POINTS.toSorted((one, other) => Number(isSnapshot(other)) - Number(isSnapshot(one)));

  it.each(points)('%s', { timeout: 240_000 }, async (point: FailPoint) => {
    const victim = await run(`${point}=kill`);
    let end: NodeJS.Signals | null | undefined;
    void victim.exited.then(({ signal }) => (end = signal));
    const died = async () => {
      await edit();
      return end !== undefined;
    };
    await eventually(died, { what: `${point} to be passed`, timeoutMs: 120_000, intervalMs: 100 });
    expect(end).toBe('SIGKILL');
  });

  it('and afterwards both sides are equal, with everything there once', { timeout: 240_000 }, async () => {
    await run('');
    await pair.equal(120_000);
    const count = async (pool: Pair['crm'], text: string) => (await pool.query<{ n: string }>(text)).rows[0]!.n;
    expect(await count(pair.erp, 'SELECT count(*) AS n FROM customer')).toBe(String(20 + edits));
    const { rows: lost } = await pair.crm.query('SELECT FROM company WHERE comp_city IS NULL AND comp_vat = ANY($1)', [
      [...located],
    ]);
    expect(lost).toEqual([]);
    // Whatever died: the next edit arrives as ever.
    await edit();
    await pair.equal(120_000);
    const { rows: arrived } = await pair.erp.query(`SELECT FROM customer WHERE vat LIKE 'V%' AND city = $1`, [
      `round ${edits}`,
    ]);
    expect(arrived).toHaveLength(20);
    const notes = async () =>
      (await count(pair.erp, "SELECT count(*) || ' ' || count(DISTINCT body) AS n FROM memo")) === `${edits} ${edits}`;
    await eventually(notes, { what: 'every note to be there once' });
  });
});

describe('the list of fail points', () => {
  it('names every place in the product, and every name has its place', () => {
    const named = new Set<string>();
    for (const path of repositoryFiles().filter((each) => /^(src|connectors)\/.*\.ts$/.test(each))) {
      if (path === 'src/failpoints.ts') continue;
      for (const [, text = ''] of textOf(path).matchAll(/failPoint\(\s*[`'"]([^`'"]+)[`'"]/g)) named.add(text);
    }
    const steps = [...named].flatMap((name) =>
      name.startsWith('$')
        ? ['source', 'stream'].map((task) => name.replace(/^\$\{[^}]+\}(\.commit)?/, `${task}.commit`))
        : [name],
    );
    expect(steps.toSorted()).toEqual([...FAIL_POINTS].toSorted());
  });
});

function isSnapshot(point: FailPoint): boolean {
  return point.includes('snapshot');
}
