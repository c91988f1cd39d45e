import { expect, it } from 'vitest';
import { SHARE, type Share } from '../../src/decision/settle.js';
import { StepShare } from '../../src/tasks/step-share.js';

it('a step walks over few links until it is known how large they are, and over few again after large ones', () => {
  const share = new StepShare();
  const store = { touchedBytes: 0 };
  const step = (bytes: number): Share =>
    share.of(store, (given) => {
      store.touchedBytes += bytes;
      return given;
    });
  const few = step(0);
  expect(few.visits).toBeLessThan(5);
  expect(few.consequences).toBeGreaterThan(0);
  for (let steps = 0; steps < 10; steps++) step(100_000);
  expect(step(0)).toEqual(SHARE);
  step(24 << 20);
  expect(step(24 << 20)).toEqual(few);
  expect(step(0)).toEqual(few);
});
