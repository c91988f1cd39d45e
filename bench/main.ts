import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type BenchCase, casesOf, type Selection } from './cases.js';
import { runCurves } from './curves.js';
import { header, line, type Measurement } from './figures.js';
import { runCase } from './run-case.js';

const usage = `npm run bench -- [options]: how fast Duolog is, beside PostgreSQL's own replication on the same work.

  --workload NAME    backlog, steady or first-copy; several with commas. Default: all.
  --path NAME        to-kafka, one-way or two-way; several with commas. Default: all.
  --processes N      1, 3 (a process a role), or 1,3. Default: both.
  --target NAME      one-way: captured, uncaptured, or both with a comma. Default: both.
  --scale N          share of the work, for a quick look: 0.01 is a hundredth. Default: 1.
  --peers            also Debezium with the JDBC sink on Kafka Connect; fetches them the first time.
  --alone            nothing beside it.
  --curves           instead: what a change costs with more links, larger rows, more syncs; into bench/results.
  --json FILE        Duolog's figures as JSON.
  --report FILE      the figures of all, with more about each, as JSON.
`;

const { values } = parseArgs({
  options: {
    workload: { type: 'string', default: 'backlog,steady,first-copy' },
    path: { type: 'string', default: 'to-kafka,one-way,two-way' },
    processes: { type: 'string', default: '1,3' },
    target: { type: 'string', default: 'uncaptured,captured' },
    scale: { type: 'string', default: '1' },
    peers: { type: 'boolean', default: false },
    alone: { type: 'boolean', default: false },
    curves: { type: 'boolean', default: false },
    json: { type: 'string' },
    report: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(usage);
else if (values.curves) process.exitCode = (await runCurves(selection().scale)) ? 0 : 1;
else process.exitCode = await main();

async function main(): Promise<number> {
  const cases = casesOf(selection());
  const measurements: Measurement[] = [];
  console.log(header());
  for (const wanted of cases) {
    const measurement = await attempt(wanted);
    if (measurement === null) continue;
    measurements.push(measurement);
    console.log(line(measurement));
    if (measurement.problem !== null) console.log(`  ${measurement.problem}`);
    await write(measurements);
  }
  const whole = measurements.length === cases.length && measurements.every(({ figures }) => figures.equal);
  return whole ? 0 : 1;
}

async function attempt(wanted: BenchCase): Promise<Measurement | null> {
  try {
    return await runCase(wanted);
  } catch (error) {
    console.error(error);
    return null;
  }
}

async function write(measurements: readonly Measurement[]): Promise<void> {
  const own = measurements.filter(({ replicator }) => replicator === 'duolog').map(({ figures }) => figures);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(own, null, 2)}\n`);
  if (values.report !== undefined) await writeFile(values.report, `${JSON.stringify(measurements, null, 2)}\n`);
}

function selection(): Selection {
  const list = (text: string) => text.split(',').map((each) => each.trim());
  const scale = Number(values.scale);
  if (!(scale > 0)) throw new Error(`--scale has to be a number above 0, not ${values.scale}`);
  return {
    workloads: list(values.workload),
    paths: list(values.path),
    processes: list(values.processes).map(Number),
    targets: list(values.target),
    peers: values.peers,
    alone: values.alone,
    scale,
  };
}
