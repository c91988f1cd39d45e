import { beforeEach, describe, expect, it } from 'vitest';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { initialState, SYNC_KEY, syncRecord } from '../../src/decision/state.js';
import type { Log, LogRecord } from '../../src/log/contract.js';
import type { SyncPlan } from '../../src/plan/plan.js';
import type { StateBacking } from '../../src/state/backing.js';
import { Changelog } from '../../src/state/changelog.js';
import { MemoryBacking } from '../../src/state/memory-backing.js';

const plan: SyncPlan = {
  name: 's',
  prefix: 'p',
  leading: [],
  systems: [],
  entities: [],
  fingerprint: 'f',
  fingerprintParts: {},
};
const HOUR_MS = 3_600_000;

/** A changelog topic in memory: all that a `Changelog` asks of Kafka. */
class Topic {
  records: LogRecord[] = [];
  cluster = 'one';
  earliest = 0;
  read: number[] = [];

  append(changes: readonly { key: string; bytes: Buffer | null }[]): number {
    for (const { key, bytes } of changes) {
      const offset = this.end;
      this.records.push({ topic: 't', offset, key: Buffer.from(key), value: bytes, timestampMs: 0 });
    }
    return this.end;
  }

  get end(): number {
    return (this.records.at(-1)?.offset ?? -1) + 1;
  }

  log(): Log {
    const asked: Pick<Log, 'clusterId' | 'bounds' | 'readToEnd'> = {
      clusterId: () => Promise.resolve(this.cluster),
      bounds: () => Promise.resolve({ earliest: this.earliest, end: this.end }),
      readToEnd: async (_topic, from, onRecords) => {
        this.read.push(from);
        const found = this.records.filter(({ offset }) => offset >= from);
        if (found.length > 0) await onRecords(found);
        return this.end;
      },
    };
    return asked as Log;
  }
}

describe('the changelog', () => {
  let topic: Topic;
  let backing: StateBacking;
  let nowMs: number;
  let rebuilt: string[];
  const registry = new MemorySchemaRegistry();
  const limits = { flushTransactions: 1, flushRecords: 1, flushBytes: 1e6, cachedRecords: 10, cachedBytes: 1e6 };

  const changelog = () =>
    new Changelog({
      log: topic.log(),
      registry,
      topic: 't',
      plan,
      openBacking: async () => backing,
      nowMs: () => nowMs,
      limits,
      onRebuild: (reason) => rebuilt.push(reason),
    });

  /** A first life that makes a state and commits it. */
  async function live(birth: string): Promise<void> {
    const first = changelog();
    await first.catchUp(null);
    initialState(first.store, { birth, fingerprint: 'f', fingerprintParts: {} });
    first.store.committed(topic.append(first.store.seal()));
  }

  beforeEach(async () => {
    topic = new Topic();
    backing = new MemoryBacking();
    nowMs = 0;
    rebuilt = [];
    await live('birth');
  });

  it('goes on from the local store with what came after it', async () => {
    const again = changelog();
    await again.catchUp('birth');
    expect(topic.read.at(-1)).toBe(2);
    expect(rebuilt).toEqual([]);
    expect(syncRecord(again.store)).toMatchObject({ birth: 'birth' });
  });

  it('is whole without a local store', async () => {
    backing = new MemoryBacking();
    const again = changelog();
    await again.catchUp('birth');
    expect(topic.read.at(-1)).toBe(0);
    expect(syncRecord(again.store)).toMatchObject({ birth: 'birth' });
  });

  it('takes what a transaction left uncommitted for nothing', async () => {
    const again = changelog();
    await again.catchUp('birth');
    again.store.put(SYNC_KEY, { ...syncRecord(again.store)!, lastLink: 9 });
    again.store.seal();
    await again.catchUp('birth');
    expect(syncRecord(again.store)).toMatchObject({ lastLink: 0 });
  });

  it.each([
    ['of another cluster', () => (topic.cluster = 'two'), 'it belongs to another Kafka cluster'],
    ['ahead of the changelog', () => (topic.records = []), 'the changelog does not reach to where it stands'],
    ['behind its beginning', () => (topic.earliest = 5), 'the changelog does not reach to where it stands'],
    [
      'too old for its tombstones',
      () => (nowMs = 13 * HOUR_MS),
      'it is older than the deletions kept in the changelog',
    ],
  ])('does not believe a local store %s', async (_what, change, reason) => {
    change();
    const again = changelog();
    await again.catchUp('birth');
    expect(rebuilt).toEqual([reason]);
    expect(topic.read.at(-1)).toBe(0);
  });

  it('does not believe a local store of another birth', async () => {
    topic.records = [];
    const old = backing;
    backing = new MemoryBacking();
    await live('reborn');
    backing = old;
    const again = changelog();
    await again.catchUp('reborn');
    expect(rebuilt).toEqual(['it belongs to another state of this sync']);
    expect(syncRecord(again.store)).toMatchObject({ birth: 'reborn' });
  });

  it('follows a store again and again, as a standby does', async () => {
    const standby = changelog();
    await standby.catchUp('birth');
    const owner = changelog();
    await owner.catchUp('birth');
    owner.store.put(SYNC_KEY, { ...syncRecord(owner.store)!, lastLink: 3 });
    topic.append(owner.store.seal());
    await standby.catchUp('birth');
    expect(syncRecord(standby.store)).toMatchObject({ lastLink: 3 });
  });
});
