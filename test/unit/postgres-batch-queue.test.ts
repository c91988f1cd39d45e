import { describe, expect, it } from 'vitest';
import { BatchQueue } from '../../connectors/postgres/stream/batch-queue.js';
import type { Change } from '../../src/connector/contract.js';

describe('what is handed out of a transaction', () => {
  const event = { kind: 'change', key: '1' } as Change;
  const queue = () => new BatchQueue('cluster', { cluster: 'cluster', lsn: 10, ordinal: null, reads: 0, tables: {} });
  const standing = (position: string) => JSON.parse(position) as { lsn: string; ordinal: number | null };

  it('is all of it, with its commit, where it fits exactly', () => {
    const waiting = queue();
    waiting.event(event, 100, 20, 1);
    expect(waiting.take(1, 1_000)).toBeNull();
    expect(waiting.take(10, 100)).toBeNull();
    waiting.commit(20);
    const taken = waiting.take(1, 100)!;
    expect(taken.events).toHaveLength(1);
    expect(standing(taken.position)).toMatchObject({ lsn: '0/14', ordinal: null });
  });

  it('is a part of it, before its commit, where there are more events or bytes than fit', () => {
    for (const [maxEvents, maxBytes] of [
      [1, 1_000],
      [10, 100],
    ] as const) {
      const waiting = queue();
      waiting.event(event, 100, 20, 1);
      waiting.event(event, 100, 20, 3);
      const taken = waiting.take(maxEvents, maxBytes)!;
      expect(taken.events).toHaveLength(1);
      expect(standing(taken.position)).toMatchObject({ lsn: '0/14', ordinal: 1 });
    }
  });

  it('is a row larger than a batch at once', () => {
    const waiting = queue();
    waiting.event(event, 5_000, 20, 1);
    expect(waiting.take(10, 1_000)!.events).toHaveLength(1);
  });
});
