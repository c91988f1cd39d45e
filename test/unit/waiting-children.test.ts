import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TASK_LIMITS } from '../../src/tasks/task.js';
import { WaitingChildren } from '../support/waiting-children.js';

/** docs/proof.md has the figures with a million: DUOLOG_TEST_CHILDREN=1000000. */
const CHILDREN = Number(process.env['DUOLOG_TEST_CHILDREN'] ?? 12_000);
/** What is kept at hand whatever waits: the cache of records, changes not yet in the local store. */
const FLAT_BYTES = 40 << 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let children: WaitingChildren;

beforeEach(async () => {
  children = await WaitingChildren.open();
});

afterEach(() => children.close());

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

it('children of a parent that does not come wait outside of memory; when it comes they all go, some at a time', async () => {
  await children.invoices(1, CHILDREN / 20);
  const before = heapBytes();
  for (const [from, to] of [
    [CHILDREN / 20, CHILDREN / 2],
    [CHILDREN / 2, CHILDREN],
  ] as const) {
    const began = performance.now();
    await children.invoices(from + 1, to);
    tell(`${to} wait`, to - from, began);
  }
  expect(heapBytes() - before).toBeLessThan(FLAT_BYTES);
  expect(children.told).toEqual([]);
  expect(children.held().get('parent-missing')).toBe(Math.min(CHILDREN, 10_000));

  const saidBefore = children.said.length;
  const began = performance.now();
  await children.customer();
  tell('all gone', CHILDREN, began);
  expect(children.told[0]).toEqual({ entity: 'customer', client: null });
  const invoices = children.told.slice(1);
  expect(invoices.length).toBe(CHILDREN);
  expect(new Set(invoices.map(({ client }) => client))).toEqual(new Set([91]));
  expect(children.held().size).toBe(0);
  const said = children.said.slice(saidBefore);
  // A step of the decision may go over the bound by what a hundred links say.
  for (const { commands } of said) expect(commands).toBeLessThan(TASK_LIMITS.batchOutputs + 1000);
  expect(said.filter(({ commands }) => commands > 0).length).toBeGreaterThan(CHILDREN / TASK_LIMITS.batchOutputs);
  // The test's own lists are not what is looked at.
  for (const list of [children.told, children.said, invoices, said]) list.length = 0;
  expect(heapBytes() - before).toBeLessThan(FLAT_BYTES);
});

function tell(what: string, count: number, beganMs: number): void {
  if (process.env['DUOLOG_TEST_CHILDREN'] === undefined) return;
  const micros = ((performance.now() - beganMs) * 1000) / count;
  const megabytes = (bytes: number) => Math.round(bytes / (1 << 20));
  const heap = megabytes(heapBytes());
  // The rest of what is resident are pages of the local store's file, which the system takes back when it wants.
  const own = Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
  const memory = `heap ${heap} MB, memory of its own ${megabytes(own)} MB, resident ${megabytes(process.memoryUsage.rss())} MB`;
  console.log(`${what}: ${micros.toFixed(0)} µs each, ${memory}`);
}
