import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { SourceStatus } from '../../src/connector/contract.js';
import { DuologMetrics } from '../../src/tasks/metrics.js';
import type { TaskPhase } from '../../src/tasks/task-loop.js';

const NOW_MS = 1_700_000_100_000;
const LABELS = { stage: 'sink', sync: 's', system: 'crm' } as const;

describe('metrics', () => {
  it('are the ones that the documentation lists, with the same types and labels', async () => {
    const metrics = new DuologMetrics(() => NOW_MS);
    const stage = metrics.stage(LABELS);
    stage.committed(1, 1, 1);
    const shown = await metrics.registry.getMetricsAsJSON();
    const own = shown.filter(({ name }) => name.startsWith('duolog_')).map(({ name, type }) => `${name} ${type}`);
    const documented = readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(duolog_\w+)` \| (\w+) \|/gm);
    expect(Array.from(documented, ([, name, type]) => `${name} ${type}`).sort()).toEqual(own.sort());
  });

  it('show a lag that grows while a task is stuck and is 0 when it has caught up', async () => {
    let nowMs = NOW_MS;
    const metrics = new DuologMetrics(() => nowMs);
    const stage = metrics.stage(LABELS);
    const lag = async () => /^duolog_lag_seconds{.*} (\S+)$/m.exec(await metrics.registry.metrics())?.[1];
    stage.behind('crm', NOW_MS * 1000 - 2_000_000);
    expect(await lag()).toBe('2');
    nowMs += 5000;
    expect(await lag()).toBe('7');
    stage.behind('crm', null);
    expect(await lag()).toBe('0');
  });

  it('show a lag that grows from when a task got into trouble, and none for one that another process has', async () => {
    let nowMs = NOW_MS;
    const metrics = new DuologMetrics(() => nowMs);
    const stage = metrics.stage(LABELS);
    const lag = async () => /^duolog_lag_seconds{.*} (\S+)$/m.exec(await metrics.registry.metrics())?.[1];
    const enter = (phase: TaskPhase) => metrics.taskPhase(LABELS, phase);
    enter('running');
    stage.behind('crm', null);
    stage.inFlight(3);
    for (let round = 1; round <= 3; round++) {
      for (const phase of ['closing', 'pausing'] as const) enter(phase);
      nowMs += 10_000;
      expect(await lag()).toBe(String(round * 10));
      expect(await metrics.registry.metrics()).toMatch(/^duolog_commands_in_flight\{.*\} 3$/m);
      for (const phase of ['waiting', 'opening'] as const) {
        enter(phase);
        expect(await lag()).toBe(String(round * 10));
      }
      stage.inFlight(3);
    }
    enter('waiting');
    expect(await metrics.registry.metrics()).not.toContain('duolog_commands_in_flight{');
    expect(await lag()).toBe('30');
    metrics.taskElsewhere(LABELS);
    expect(await lag()).toBeUndefined();
    nowMs += 3_600_000;
    enter('opening');
    expect(await lag()).toBeUndefined();
    stage.behind('crm', null);
    expect(await lag()).toBe('0');
  });

  it('show the lag of a task that could not even begin', async () => {
    let nowMs = NOW_MS;
    const metrics = new DuologMetrics(() => nowMs);
    metrics.taskPhase(LABELS, 'opening');
    metrics.taskPhase(LABELS, 'pausing');
    nowMs += 4_000;
    expect(await metrics.registry.metrics()).toContain('duolog_lag_seconds{stage="sink",sync="s",system="crm"} 4');
  });

  it('show what a system keeps for us and how far it is read while its source is open here, and no longer', async () => {
    const metrics = new DuologMetrics(() => NOW_MS);
    const progress = { rows: 7, estimate: null, done: false };
    const open = { phase: 'snapshot', detail: null, newestCommitTimeMicros: null } as const;
    let status: SourceStatus = { ...open, snapshot: { company: progress }, retainedBytes: 5_000 };
    metrics.watchSource('crm', () => status);
    expect(await metrics.registry.metrics()).toContain('duolog_source_retained_bytes{system="crm"} 5000');
    expect(await metrics.registry.metrics()).toContain('duolog_snapshot_rows{system="crm",entity="company"} 7');
    status = { ...open, phase: 'closed', snapshot: {}, retainedBytes: null };
    expect(await metrics.registry.metrics()).not.toMatch(/duolog_(source_retained_bytes|snapshot_rows)\{/);
  });

  it('count holds when somebody looks, and no longer once another process has the sync', async () => {
    const metrics = new DuologMetrics(() => NOW_MS);
    metrics.countHolds('s', () => new Map([['company', new Map([['failed', 3]] as const)]]));
    expect(await metrics.registry.metrics()).toContain('duolog_holds{sync="s",entity="company",reason="failed"} 3');
    metrics.countHolds('s', null);
    expect(await metrics.registry.metrics()).not.toContain('duolog_holds{');
  });
});
