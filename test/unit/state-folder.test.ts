import { readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { STORE_FORMAT } from '../../src/state/backing.js';
import { takeStoreFolder } from '../../src/state/folder.js';
import { LmdbBacking } from '../../src/state/lmdb-backing.js';
import { LocalStore } from '../../src/state/local-store.js';
import { closedLater, lmdb, removeStores, storeOver, temporaryFolder } from '../support/state-stores.js';

afterEach(removeStores);

describe('a disk that is nearly full', () => {
  it('is told before the memory map would end the process, and nothing is written', async () => {
    let free = Number.POSITIVE_INFINITY;
    const backing = closedLater(new LmdbBacking(temporaryFolder(), () => free));
    const meta = { format: STORE_FORMAT, cluster: 'c', birth: 'b', offset: 1, writtenAtMs: 1, schemas: [] };
    const batch = (text: string) => ({ records: new Map([['key', Buffer.from(text)]]), index: new Map() });
    backing.write(batch('before'), meta);
    free = 1 << 20;
    expect(() => backing.write(batch('full'), meta)).toThrow(expect.objectContaining({ code: 'STATE_DISK_FULL' }));
    expect(backing.get('key')?.toString()).toBe('before');
    free = Number.POSITIVE_INFINITY;
    backing.write(batch('after'), meta);
    expect(backing.get('key')?.toString()).toBe('after');
  });

  it('is told by whoever opens the store, and what is in the store is there once there is room', async () => {
    const base = temporaryFolder();
    const first = await takeStoreFolder(base);
    await filled(first.path).close();
    await first.release();
    let free = 1 << 20;
    const local = new LocalStore(base, () => free);
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(local.open()).rejects.toMatchObject({ code: 'STATE_DISK_FULL', retry: 'backoff' });
    }
    free = Number.POSITIVE_INFINITY;
    const backing = await local.open();
    expect(backing.meta()).toMatchObject({ offset: 3 });
    await backing.close();
    await local.release();
    expect(readdirSync(base)).toEqual(['closed-0']);
  });
});

describe('a folder that cannot be used', () => {
  it('is named, and used once it can be', async () => {
    const base = join(temporaryFolder(), 'state');
    writeFileSync(base, 'in its place');
    const local = new LocalStore(join(base, 'sync'));
    await expect(local.open()).rejects.toMatchObject({
      code: 'STATE_FOLDER_UNUSABLE',
      message: expect.stringContaining(base),
    });
    rmSync(base);
    const backing = await local.open();
    expect(backing.meta()).toBeNull();
    await backing.close();
    await local.release();
  });
});

describe('the folder of a store', () => {
  it('goes to one process at a time, and to the next one after it', async () => {
    const base = temporaryFolder();
    const first = await takeStoreFolder(base);
    const second = await takeStoreFolder(base);
    expect(second.path).not.toBe(first.path);
    await filled(first.path).close();
    await first.release();
    expect(readdirSync(base)).toContain('closed-0');
    const third = await takeStoreFolder(base);
    expect(readdirSync(base)).not.toContain('closed-0');
    await second.release();
    await third.release();
    expect(readdirSync(base)).toEqual(['closed-0']);
  });

  it('is taken over from a process that was killed', async () => {
    const base = temporaryFolder();
    const taken = await takeStoreFolder(base);
    const backing = new LmdbBacking(taken.path);
    const store = storeOver(backing);
    store.put('a', { name: 'a', tags: ['t'] });
    store.seal();
    store.committed(3);
    await backing.close();
    const boot = /owned-([0-9a-f]+)-/.exec(taken.path)![1]!;
    renameSync(taken.path, join(base, `owned-${boot}-999999999-1-0`));
    const heir = await takeStoreFolder(base);
    expect(lmdb(heir.path).meta()).toMatchObject({ offset: 3 });
  });

  const damages: readonly (readonly [string, (path: string) => void])[] = [
    ['cut short', (path) => truncateSync(path, 10 * 4096)],
    ['cut to nothing that LMDB would know', (path) => truncateSync(path, 5000)],
    ['garbage', (path) => writeFileSync(path, Buffer.alloc(statSync(path).size, 'garbage'))],
  ];
  const torn = [...damages, ['torn in its middle', tearMiddle] as const];

  // The second time its next process was killed while it read whether the store is whole.
  it.each(torn)('is removed unread if it was closed in order and is now %s', async (_how, damage) => {
    for (const taker of [null, '999999999-1-0']) {
      const base = temporaryFolder();
      const taken = await takeStoreFolder(base);
      await filled(taken.path).close();
      await taken.release();
      const boot = /owned-([0-9a-f]+)-/.exec(taken.path)![1]!;
      const left = join(base, taker === null ? 'closed-0' : `owned-${boot}-${taker}`);
      if (taker !== null) renameSync(join(base, 'closed-0'), left);
      damage(join(left, 'data.mdb'));
      expect(lmdb((await takeStoreFolder(base)).path).meta()).toBeNull();
      expect(readdirSync(base)).toHaveLength(1);
    }
  });

  it.each(damages)('is removed unread if its process was killed and it is %s', async (_how, damage) => {
    const base = temporaryFolder();
    const taken = await takeStoreFolder(base);
    await filled(taken.path).close();
    const boot = /owned-([0-9a-f]+)-/.exec(taken.path)![1]!;
    const left = join(base, `owned-${boot}-999999999-1-0`);
    renameSync(taken.path, left);
    damage(join(left, 'data.mdb'));
    expect(lmdb((await takeStoreFolder(base)).path).meta()).toBeNull();
  });

  it('is believed after a close in order, again and again', async () => {
    const base = temporaryFolder();
    const first = await takeStoreFolder(base);
    await filled(first.path).close();
    await first.release();
    for (let round = 0; round < 2; round++) {
      const again = await takeStoreFolder(base);
      const backing = new LmdbBacking(again.path);
      expect(backing.meta()).toMatchObject({ offset: 3 });
      await backing.close();
      await again.release();
    }
  });

  it('is vouched for while everything else goes on', async () => {
    const base = temporaryFolder();
    const taken = await takeStoreFolder(base);
    await filled(taken.path).close();
    let turns = 0;
    const turn = () => void (++turns, (next = setImmediate(turn)));
    let next = setImmediate(turn);
    await taken.release();
    const whileReleased = turns;
    await takeStoreFolder(base);
    clearImmediate(next);
    expect(whileReleased).toBeGreaterThan(0);
    expect(turns).toBeGreaterThan(whileReleased);
  });

  it('is left as by a killed process where there is no time to vouch for it', async () => {
    const base = temporaryFolder();
    const taken = await takeStoreFolder(base);
    await filled(taken.path).close();
    await taken.release(AbortSignal.abort());
    expect(readdirSync(base)).toEqual([basename(taken.path)]);
    const boot = /owned-([0-9a-f]+)-/.exec(taken.path)![1]!;
    renameSync(taken.path, join(base, `owned-${boot}-999999999-1-0`));
    expect(lmdb((await takeStoreFolder(base)).path).meta()).toMatchObject({ offset: 3 });
  });

  it('is removed unread if the machine has restarted without a clean end', async () => {
    const base = temporaryFolder();
    const taken = await takeStoreFolder(base);
    renameSync(taken.path, join(base, 'owned-0123456789abcdef-1-1-0'));
    await takeStoreFolder(base);
    expect(readdirSync(base)).not.toContain('owned-0123456789abcdef-1-1-0');
  });
});

/** A store with enough in it to fill some hundred pages. */
function filled(path: string): LmdbBacking {
  const backing = new LmdbBacking(path);
  const store = storeOver(backing);
  for (let number = 0; number < 2000; number++) {
    store.put(`record ${number}`, { name: 'x'.repeat(200), tags: [`tag ${number % 7}`] });
  }
  store.seal();
  store.committed(3);
  store.flush();
  return backing;
}

/** What LMDB itself does not notice: it would give wrong answers. */
function tearMiddle(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0x5a, 20 * 4096, 40 * 4096);
  writeFileSync(path, bytes);
}
