import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../deploy/dev/paths.js';

interface Figures {
  readonly workload: string;
  readonly path: string;
  readonly processes: number;
  readonly changesPerSecond: number;
  readonly latencyMs: { readonly p50: number | null };
  readonly cpuMicrosPerChange: number;
  readonly peakMegabytes: number;
  readonly equal: boolean;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'duolog-bench-test-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `npm run bench` to its end, on a hundredth of the work and less. How fast it was is nobody's business here. */
async function bench(name: string, ...options: readonly string[]): Promise<readonly Figures[]> {
  const file = join(folder, `${name}.json`);
  const args = [join(packageRoot(), 'scripts/bench.mjs'), '--json', file, '--alone', ...options];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)));
  }
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code, output).toBe(0);
  return JSON.parse(await readFile(file, 'utf8')) as readonly Figures[];
}

function expectWhole(figures: readonly Figures[]): void {
  for (const each of figures) {
    expect(each.equal).toBe(true);
    expect(each.changesPerSecond).toBeGreaterThan(0);
    expect(each.cpuMicrosPerChange).toBeGreaterThan(0);
    expect(each.peakMegabytes).toBeGreaterThan(0);
  }
}

it('the bench brings both sides together, a process a role, both ways', async () => {
  const options = ['--workload', 'backlog,steady', '--path', 'two-way', '--processes', '3', '--scale', '0.002'];
  const figures = await bench('two-way', ...options);
  expect(figures).toMatchObject([
    { workload: 'backlog', path: 'two-way', processes: 3 },
    { workload: 'steady', path: 'two-way', processes: 3 },
  ]);
  expectWhole(figures);
  expect(figures[1]!.latencyMs.p50).toBeGreaterThan(0);
}, 400_000);

it('what the bench counts to Kafka is what a subscriber was told', async () => {
  const figures = await bench('to-kafka', '--workload', 'first-copy', '--path', 'to-kafka', '--scale', '0.002');
  expect(figures).toMatchObject([{ workload: 'first-copy', path: 'to-kafka', processes: 1 }]);
  expectWhole(figures);
}, 400_000);
