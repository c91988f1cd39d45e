import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { takeStoreFolder } from '../../src/state/folder.js';
import { LmdbBacking } from '../../src/state/lmdb-backing.js';
import { doubles, startDamagedPair, type DamagedPair } from './resync-fixture.js';

/** The local store is a cache of the changelog: whatever is put in its place is rebuilt, never believed. */

async function edit(pair: DamagedPair, round: string): Promise<void> {
  await pair.erp.query(`UPDATE customer SET city = $1 WHERE vat IN ('V1', 'V2')`, [round]);
  await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ($1, $1)`, [round]);
  await pair.crm.query(`UPDATE company SET comp_name = $1 WHERE comp_vat = 'V3'`, [round]);
  await pair.crm.query(
    `UPDATE company SET comp_deleted = 1 WHERE comp_vat = (SELECT max(comp_vat) FROM company WHERE comp_deleted = 0 AND comp_vat LIKE 'V%')`,
  );
}

describe('a local store', () => {
  let pair: DamagedPair;
  let folder: string;
  let copy: string;

  /** The one store that is there. */
  function store(): string {
    const names = readdirSync(folder);
    expect(names).toHaveLength(1);
    return join(folder, names[0]!);
  }

  async function live(round: string): Promise<void> {
    const duolog = await pair.start();
    await edit(pair, round);
    await pair.equal();
    await duolog.stop();
  }

  beforeAll(async () => {
    pair = await startDamagedPair();
    folder = join(pair.loaded.configuration.state.folder, pair.prefix, 'customers');
    copy = mkdtempSync(join(tmpdir(), 'duolog-copy-'));
    await pair.erp.query(
      `INSERT INTO customer (name, vat) SELECT 'Company ' || n, 'V' || n FROM generate_series(100, 130) n`,
    );
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('1', 'V1'), ('2', 'V2'), ('3', 'V3')`);
    await live('first');
    cpSync(store(), copy, { recursive: true });
    await live('second');
  });
  afterAll(async () => {
    await pair?.close();
    if (copy !== undefined) rmSync(copy, { recursive: true, force: true });
  });

  const replaced = (): string => {
    const path = store();
    rmSync(path, { recursive: true });
    return path;
  };
  const damages: readonly (readonly [string, () => void | Promise<void>])[] = [
    ['that is gone', () => rmSync(folder, { recursive: true })],
    ['whose older copy was put back', () => cpSync(copy, replaced(), { recursive: true })],
    ['cut short', () => truncateSync(join(store(), 'data.mdb'), 64 * 1024)],
    ['full of garbage', () => writeFileSync(join(store(), 'data.mdb'), Buffer.alloc(1 << 20, 'garbage'))],
    ['of another cluster, in good order', () => foreign(folder, { cluster: 'another' })],
    ['of another state of the sync, in good order', () => foreign(folder, { birth: 'another' })],
    ['further than the changelog', () => foreign(folder, { offset: 1e9 })],
  ];

  it.each(damages)('%s is not believed: everything is equal, nothing doubled', async (what, damage) => {
    await damage();
    await live(what);
    expect(await doubles(pair.crm, 'company', 'comp_vat', 'comp_deleted = 0')).toEqual([]);
    expect(await doubles(pair.erp, 'customer', 'vat')).toEqual([]);
    const { rows } = await pair.crm.query(`SELECT FROM company WHERE comp_vat = $1 AND comp_deleted = 0`, [what]);
    expect(rows).toHaveLength(1);
  });
});

/** A store without a record, that says of itself what is given and else what the true one said. */
async function foreign(
  folder: string,
  claim: { readonly cluster?: string; readonly birth?: string; readonly offset?: number },
): Promise<void> {
  const taken = await takeStoreFolder(folder);
  const backing = new LmdbBacking(taken.path);
  const meta = { ...backing.meta()!, ...claim };
  backing.clear();
  backing.write({ records: new Map(), index: new Map() }, meta);
  await backing.close();
  await taken.release();
  mkdirSync(folder, { recursive: true });
}
