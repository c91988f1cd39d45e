import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits until `condition` gives something truthy, and returns that. A condition that throws is not fulfilled yet.
 * @throws Error naming `what` and the last answer or error.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly intervalMs?: number; readonly what?: string | (() => string) } = {},
): Promise<NonNullable<T>> {
  const { timeoutMs = 60_000, intervalMs = 50, what = 'the condition' } = options;
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      const answer = last instanceof Error ? last.message : JSON.stringify(last);
      const named = typeof what === 'string' ? what : what();
      throw new Error(`Waited ${timeoutMs} ms for ${named}; the last answer was: ${answer}`, { cause: last });
    }
    await delay(intervalMs);
  }
}
