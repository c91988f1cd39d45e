import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { compareKeys, STORE_FORMAT } from '../../src/state/backing.js';
import { MemoryBacking } from '../../src/state/memory-backing.js';
import { STORE_LIMITS, StateStore, type StateChange, type StoreLimits } from '../../src/state/store.js';
import { codec, lmdb, removeStores, storeOver, type Thing } from '../support/state-stores.js';

afterEach(removeStores);

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
