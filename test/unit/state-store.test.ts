import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { compareKeys, STORE_FORMAT, type StateBacking } from '../../src/state/backing.js';
import type { StateCodec } from '../../src/state/contract.js';
import { takeStoreFolder } from '../../src/state/folder.js';
import { LmdbBacking } from '../../src/state/lmdb-backing.js';
import { LocalStore } from '../../src/state/local-store.js';
import { MemoryBacking } from '../../src/state/memory-backing.js';
import { STORE_LIMITS, StateStore, type StateChange, type StoreLimits } from '../../src/state/store.js';

interface Thing {
  readonly name: string;
  readonly tags: readonly string[];
}

const codec: StateCodec<Thing> = {
  encode: (thing) => Buffer.from(JSON.stringify(thing)),
  decode: (bytes) => JSON.parse(bytes.toString()) as Thing,
  indexEntries: ({ tags }) => tags,
  sameEntries: (left, right) => left.tags === right.tags,
};
const folders: string[] = [];
const open: StateBacking[] = [];

afterEach(async () => {
  for (const backing of open.splice(0)) await backing.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'duolog-store-'));
  folders.push(folder);
  return folder;
}

function lmdb(folder = temporaryFolder()): StateBacking {
  const backing = new LmdbBacking(folder);
  open.push(backing);
  return backing;
}

function storeOver(backing: StateBacking, flushTransactions = 1): StateStore<Thing> {
  const limits = { flushTransactions, flushRecords: 1000, flushBytes: 1e6, cachedRecords: 4, cachedBytes: 1e6 };
  return new StateStore(
    backing,
    codec,
    () => ({ cluster: 'c', birth: 'b', schemas: [1] }),
    () => 0,
    limits,
  );
}

describe('large records', () => {
  const large = (name: string): Thing => ({ name: name.repeat(200_000), tags: [] });
  function counting(limits: Partial<StoreLimits>) {
    let decoded = 0;
    const backing = new MemoryBacking();
    const counted = { ...codec, decode: (bytes: Buffer) => (decoded++, codec.decode(bytes)) };
    const identity = () => ({ cluster: 'c', birth: 'b', schemas: [1] });
    const all = { ...STORE_LIMITS, ...limits };
    return { backing, store: new StateStore<Thing>(backing, counted, identity, () => 0, all), decoded: () => decoded };
  }

  it('are written to the local store before there are many of them', () => {
    const { backing, store } = counting({ flushBytes: 500_000 });
    for (const [at, key] of ['a', 'b', 'c'].entries()) {
      store.put(key, large(key));
      store.seal();
      store.committed(at + 1);
    }
    expect(backing.meta()?.offset).toBe(3);
    expect(backing.get('a')?.length).toBeGreaterThan(200_000);
    store.put('d', large('d'));
    store.seal();
    store.committed(4);
    expect(backing.meta()?.offset).toBe(3);
  });

  it('are not kept at hand beyond a bound, and one that is alone too large not at all', () => {
    const { store, decoded } = counting({ flushBytes: 1, cachedBytes: 900_000 });
    for (const [at, key] of ['a', 'b', 'c', 'd', 'e'].entries()) {
      store.put(key, large(key));
      store.put('small', { name: String(at), tags: [] });
      store.seal();
      store.committed(at + 1);
    }
    const before = decoded();
    expect(store.get('e')).toEqual(large('e'));
    expect(decoded()).toBe(before);
    expect(store.get('a')).toEqual(large('a'));
    expect(decoded()).toBe(before + 1);
    store.put('f', { name: 'f'.repeat(600_000), tags: [] });
    store.seal();
    store.committed(6);
    expect(store.get('f')?.name.length).toBe(600_000);
    expect(store.get('f')?.name.length).toBe(600_000);
    expect(decoded()).toBe(before + 3);
    expect(store.get('small')?.name).toBe('4');
  });

  it('tell how much of them was read for a transaction', () => {
    const { store } = counting({ flushBytes: 1, cachedBytes: 0 });
    store.put('a', large('a'));
    store.put('small', { name: 's', tags: [] });
    store.seal();
    store.committed(1);
    expect(store.touchedBytes).toBe(0);
    store.get('small');
    expect(store.touchedBytes).toBe(0);
    store.get('a');
    expect(store.touchedBytes).toBeGreaterThan(200_000);
    store.seal();
    expect(store.touchedBytes).toBe(0);
    store.get('a');
    store.discard();
    expect(store.touchedBytes).toBe(0);
  });
});

describe.each([
  ['memory', () => new MemoryBacking()],
  ['lmdb', () => lmdb()],
])('the store over %s', (_name, backingOf) => {
  it('shows what was put at once, and puts it nowhere before Kafka has it (I3)', () => {
    const backing = backingOf();
    const store = storeOver(backing);
    store.put('a', { name: 'a', tags: ['t'] });
    expect(store.get('a')).toEqual({ name: 'a', tags: ['t'] });
    expect(store.indexed('t')).toEqual(['a']);
    store.seal();
    expect(store.get('a')).toBeDefined();
    expect(backing.get('a')).toBeUndefined();
    expect(backing.meta()).toBeNull();
    store.committed(7);
    expect(backing.get('a')).toBeDefined();
    expect(backing.meta()).toMatchObject({ format: STORE_FORMAT, cluster: 'c', birth: 'b', offset: 7 });
  });

  it('forgets what Kafka may not have, and keeps what it has', () => {
    const store = storeOver(backingOf(), 10);
    store.put('a', { name: 'first', tags: ['t'] });
    store.seal();
    store.committed(1);
    store.put('a', { name: 'second', tags: ['u'] });
    store.seal();
    store.put('b', { name: 'b', tags: ['t'] });
    store.discard();
    expect(store.get('a')).toEqual({ name: 'first', tags: ['t'] });
    expect(store.get('b')).toBeUndefined();
    expect(store.indexed('t')).toEqual(['a']);
    expect(store.indexed('u')).toEqual([]);
    expect(store.changelogOffset).toBe(1);
  });

  it('pages through an index in one order, layers and backing together', () => {
    const store = storeOver(backingOf());
    for (const key of ['k1', 'k3', 'k5', 'k7']) store.put(key, { name: key, tags: ['t'] });
    store.seal();
    store.committed(1);
    store.put('k4', { name: 'k4', tags: ['t'] });
    store.delete('k3');
    store.put('k5', { name: 'k5', tags: [] });
    expect(store.indexed('t')).toEqual(['k1', 'k4', 'k7']);
    expect(store.indexed('t', { limit: 2 })).toEqual(['k1', 'k4']);
    expect(store.indexed('t', { after: 'k1', limit: 1 })).toEqual(['k4']);
    expect(store.indexed('t', { after: 'k4' })).toEqual(['k7']);
  });

  it('takes keys and entries of any length', () => {
    const store = storeOver(backingOf());
    const long = 'x'.repeat(5000);
    for (const end of ['1', '2']) store.put(long + end, { name: end, tags: [`${long}t`] });
    store.seal();
    store.committed(1);
    expect(store.indexed(`${long}t`).sort()).toEqual([`${long}1`, `${long}2`]);
    expect(store.get(`${long}2`)).toMatchObject({ name: '2' });
  });

  it('gives the changelog each change once, deletions as tombstones', () => {
    const store = storeOver(backingOf());
    store.put('a', { name: 'a', tags: [] });
    store.put('a', { name: 'b', tags: [] });
    store.delete('z');
    expect(store.seal().map(({ key, bytes }) => [key, bytes?.toString() ?? null])).toEqual([
      ['a', '{"name":"b","tags":[]}'],
      ['z', null],
    ]);
    expect(store.seal()).toEqual([]);
  });
});

/** Anything that can happen to a store, in any order. */
const key = fc.constantFrom('a', 'b', 'c', 'Ω', '𝄞', '\uffee', 'ab');
const tag = fc.constantFrom('t', 'u');
const action = fc.oneof(
  fc.record({ do: fc.constant('put' as const), key, tags: fc.uniqueArray(tag) }),
  fc.record({ do: fc.constant('delete' as const), key }),
  fc.record({ do: fc.constant('commit' as const) }),
  fc.record({ do: fc.constant('seal' as const) }),
  fc.record({ do: fc.constant('discard' as const) }),
  fc.record({ do: fc.constant('restart' as const) }),
);

describe('a disk that is nearly full', () => {
  it('is told before the memory map would end the process, and nothing is written', async () => {
    let free = Number.POSITIVE_INFINITY;
    const backing = new LmdbBacking(temporaryFolder(), () => free);
    open.push(backing);
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

describe('whatever happens', () => {
  it.each([
    ['memory', 300, () => new MemoryBacking()],
    ['lmdb', 40, () => lmdb()],
  ])('a store over %s with its changelog says what a plain map says', (_name, runs, backingOf) => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (actions, flush) => {
        const backing = backingOf();
        let store = storeOver(backing, flush);
        const log: StateChange[] = [];
        let committed = new Map<string, Thing>();
        let sealed: { changes: StateChange[]; after: Map<string, Thing> }[] = [];
        let present = new Map<string, Thing>();
        const lose = () => {
          sealed = [];
          present = new Map(committed);
        };
        for (const step of actions) {
          switch (step.do) {
            case 'put':
              store.put(step.key, { name: step.key, tags: step.tags });
              present.set(step.key, { name: step.key, tags: step.tags });
              break;
            case 'delete':
              store.delete(step.key);
              present.delete(step.key);
              break;
            case 'seal':
              sealed.push({ changes: store.seal(), after: new Map(present) });
              break;
            case 'commit': {
              const oldest = sealed.shift();
              if (oldest === undefined) break;
              log.push(...oldest.changes);
              committed = oldest.after;
              store.committed(log.length);
              break;
            }
            case 'discard':
              store.discard();
              lose();
              break;
            case 'restart':
              store = storeOver(backing, flush);
              store.restore(log.slice(store.changelogOffset), log.length);
              lose();
              break;
          }
          const sorted = [...present.keys()].sort(compareKeys);
          for (const each of ['t', 'u']) {
            expect(store.indexed(each)).toEqual(sorted.filter((name) => present.get(name)!.tags.includes(each)));
          }
          for (const name of ['a', 'b', 'Ω']) expect(store.get(name)).toEqual(present.get(name));
        }
      }),
      { numRuns: runs },
    );
  });

  it('keys are in the order of their UTF-8 bytes', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 6 }),
        fc.string({ unit: 'binary', maxLength: 6 }),
        (left, right) => {
          const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right));
          expect(Math.sign(compareKeys(left, right))).toBe(bytes);
        },
      ),
    );
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
