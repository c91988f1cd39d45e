import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../deploy/dev/paths.js';
import { DuologReplicator } from './duolog.js';
import type { Measurement } from './figures.js';
import { plot, type Curve } from './plot.js';
import { startServers } from './servers.js';
import { runBacklog } from './workloads/backlog.js';
import { runFirstCopy } from './workloads/first-copy.js';

/** What a change costs as the work grows: the shipped process, one way, the target not captured. */

const LINKS = [10_000, 100_000, 1_000_000];
const CHANGES = 100_000;
const NOTES_BYTES = [10, 1_000, 10_000, 100_000];
/** Of all rows together, so that large ones do not take the day. */
const COPIED_BYTES = 100_000_000;
const MOST_ROWS = 50_000;
const SYNCS = [1, 2, 4, 8];
/** Of all syncs together. */
const SYNCED_ROWS = 80_000;

interface Point {
  readonly curve: string;
  readonly x: number;
  readonly measurement: Measurement;
}

/** Measures every point, and keeps figures and a plot in bench/results. @returns whether both sides were equal each time. */
export async function runCurves(scale: number): Promise<boolean> {
  const points: Point[] = [];
  const folder = join(packageRoot(), 'bench/results');
  await mkdir(folder, { recursive: true });
  for (const { curve, x, measure } of [...linkPoints(scale), ...rowPoints(scale), ...syncPoints(scale)]) {
    const measurement = await measure();
    points.push({ curve, x, measurement });
    const { changesPerSecond, cpuMicrosPerChange, peakMegabytes, equal } = measurement.figures;
    console.log(
      `${curve} ${x}: ${changesPerSecond}/s, ${cpuMicrosPerChange} µs CPU a change, ${peakMegabytes} MB${equal ? '' : ', NOT EQUAL'}`,
    );
    await writeFile(join(folder, 'curves.json'), `${JSON.stringify(points, null, 2)}\n`);
    await writeFile(join(folder, 'curves.svg'), plot(curvesOf(points)));
  }
  return points.every(({ measurement }) => measurement.figures.equal);
}

function linkPoints(scale: number) {
  return LINKS.map((links) => ({
    curve: 'links',
    x: Math.ceil(links * scale),
    measure: () =>
      withReplicator((servers, replicator) =>
        runBacklog(servers, replicator, {
          preloaded: Math.ceil(links * scale),
          changes: Math.min(CHANGES, links * 3) * scale,
        }),
      ),
  }));
}

function rowPoints(scale: number) {
  return NOTES_BYTES.map((notesBytes) => ({
    curve: 'bytes a row',
    x: notesBytes + 130,
    measure: () =>
      withReplicator((servers, replicator) =>
        runFirstCopy(servers, replicator, {
          rows: Math.ceil(Math.min(MOST_ROWS, COPIED_BYTES / notesBytes) * scale),
          notesBytes,
        }),
      ),
  }));
}

function syncPoints(scale: number) {
  return SYNCS.map((syncs) => ({
    curve: 'syncs',
    x: syncs,
    measure: () =>
      withReplicator(
        (servers, replicator) =>
          runFirstCopy(servers, replicator, { rows: Math.ceil(SYNCED_ROWS * scale), parts: syncs }),
        syncs,
      ),
  }));
}

type Measure = (
  servers: Awaited<ReturnType<typeof startServers>>,
  replicator: DuologReplicator,
) => Promise<Measurement>;

async function withReplicator(measure: Measure, syncs = 1): Promise<Measurement> {
  const servers = await startServers();
  try {
    const wanted = { path: 'one-way', processes: 1, captured: false, syncs } as const;
    const replicator = await DuologReplicator.create(servers, wanted);
    try {
      return await measure(servers, replicator);
    } finally {
      await replicator.destroy();
    }
  } finally {
    await servers.destroy();
  }
}

function curvesOf(points: readonly Point[]): readonly Curve[] {
  const shown = [
    ['CPU µs a change', (figures: Measurement['figures']) => figures.cpuMicrosPerChange],
    ['MB at the most', (figures: Measurement['figures']) => figures.peakMegabytes],
  ] as const;
  return ['links', 'bytes a row', 'syncs'].flatMap((curve) =>
    shown.map(([title, read]) => ({
      title,
      axis: curve,
      points: points
        .filter((point) => point.curve === curve)
        .map(({ x, measurement }) => [x, read(measurement.figures)] as const),
    })),
  );
}
