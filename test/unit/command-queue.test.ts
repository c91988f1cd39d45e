import { describe, expect, it } from 'vitest';
import type { Command } from '../../src/connector/contract.js';
import { CommandQueue } from '../../src/tasks/command-queue.js';

/** I4: whatever a restart reads again, each command is answered once, and none is forgotten. */

const command = (id: string): Command => ({
  id,
  link: 'l',
  entity: 'company',
  operation: 'update',
  key: id,
  set: {},
  expect: {},
  absent: [],
  madeAtMicros: 0,
});
const placeOf = (table: string) => ({ table, key: ['id'] });
const offsetsOf = (queue: CommandQueue) => queue.batch(0, 100).map(({ offset }) => offset);
const queueAt = (lowest: number, answered: number[]) => new CommandQueue({ lowest, answered }, placeOf);

describe('after a restart', () => {
  it('nothing is ahead until the lowest unanswered command has been read again: the bound must not bar it', () => {
    const queue = queueAt(5, [6, 7, 8]);
    expect(queue.answeredAhead).toBe(0);
    queue.add(5, command('five'));
    expect(queue.answeredAhead).toBe(3);
    for (const offset of [6, 7, 8, 9]) queue.add(offset, command(`c${offset}`));
    expect(offsetsOf(queue)).toEqual([5, 9]);
  });

  it('an answered command not read again yet stays answered when all before it are', () => {
    const queue = queueAt(5, [6, 7]);
    queue.add(5, command('five'));
    const progress = queue.progressAfter([5]);
    const next = new CommandQueue(progress, placeOf);
    for (const offset of [6, 7, 8]) if (offset >= progress.lowest) next.add(offset, command(`c${offset}`));
    expect(offsetsOf(next)).toEqual([8]);
  });
});

describe('a row under two keys', () => {
  it('goes alone with its old and its new one: what a batch has done there could not be told apart', () => {
    const queue = queueAt(0, []);
    queue.add(0, { ...command('3'), operation: 'delete' });
    queue.add(1, { ...command('1'), set: { id: '3' } });
    queue.add(2, { ...command('1'), set: { name: 'x' } });
    queue.add(3, command('2'));
    expect(offsetsOf(queue)).toEqual([0, 3]);
    queue.settle([0, 3], [], 0);
    expect(offsetsOf(queue)).toEqual([1]);
    queue.settle([1], [], 0);
    expect(offsetsOf(queue)).toEqual([2]);
  });
});

describe('large commands', () => {
  const filled = () => {
    const queue = queueAt(0, []);
    for (let offset = 0; offset < 6; offset++) queue.add(offset, command(`c${offset}`), offset === 3 ? 500 : 100);
    return queue;
  };

  it('go few at a time, the first one however large it is, and in their order', () => {
    const queue = filled();
    const next = () => queue.batch(0, 100, 250).map(({ offset }) => offset);
    expect(next()).toEqual([0, 1]);
    queue.settle([0, 1], [], 0);
    expect(next()).toEqual([2]);
    queue.settle([2], [], 0);
    expect(next()).toEqual([3]);
    queue.settle([3], [], 0);
    expect(next()).toEqual([4, 5]);
  });

  it('count until they are answered', () => {
    const queue = filled();
    expect(queue.bytes).toBe(1000);
    queue.settle([3], [0], 0);
    expect(queue.bytes).toBe(500);
    queue.settle([0, 1, 2, 4, 5], [], 0);
    expect(queue.bytes).toBe(0);
  });
});
