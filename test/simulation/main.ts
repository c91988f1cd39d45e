import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { APART, CONFIGURATIONS } from './configurations.js';
import { judge } from './judge.js';
import { campaign, type Campaign, type Failure } from './campaign.js';
import { generateScenario } from './workload.js';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    config: { type: 'string', multiple: true },
    failures: { type: 'string', default: '3' },
    out: { type: 'string' },
    play: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const USAGE = `npm run simulate -- [options]

Plays random scenarios against the shipped tasks and decision, with databases and a broker in memory.

  --runs N       how many (10000)
  --seed S       the first seed; run n has seed S + n (1)
  --config NAME  only this configuration (may be given several times): ${CONFIGURATIONS.join(', ')}
  --failures N   shrink and print so many failing seeds of each configuration (3)
  --out FOLDER   write their traces there as well
  --play         print the trace of one run: that of --seed and --config, failing or not
`;

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const configurations = values.config ?? CONFIGURATIONS;
  const seed = Number(values.seed);
  if (values.play) {
    const verdict = await judge(generateScenario(configurations[0]!, seed));
    for (const line of verdict.trace()) process.stdout.write(`${line}\n`);
    for (const { rule, message } of verdict.violations) process.stdout.write(`VIOLATED ${rule}: ${message}\n`);
    return verdict.violations.length === 0 ? 0 : 1;
  }
  const result = await campaign({
    configurations,
    runs: Number(values.runs),
    seed,
    shrunkPerConfiguration: Number(values.failures),
    onProgress: (text) => process.stderr.write(`${text}\n`),
    onFailure: tellFailure,
  });
  report(result);
  const counted = result.byConfiguration.filter(({ configuration }) => !APART.has(configuration));
  return counted.every(({ failed }) => failed === 0) ? 0 : 1;
}

function tellFailure({ configuration, seed, text }: Failure): void {
  process.stdout.write(`\n${text}\n`);
  if (values.out) {
    mkdirSync(values.out, { recursive: true });
    writeFileSync(`${values.out}/${configuration}-${seed}.txt`, `${text}\n`);
  }
}

function report(result: Campaign): void {
  const width = Math.max(...result.byConfiguration.map(({ configuration }) => configuration.length));
  for (const { configuration, runs, failed, holds, rules } of result.byConfiguration) {
    const reasons = Object.entries(holds).map(([reason, count]) => `${reason} ${count}`);
    const broken = Object.entries(rules).map(([rule, count]) => `${rule} ${count}`);
    const apart = APART.has(configuration) ? ', counted apart' : '';
    const line = `${configuration.padEnd(width)}  ${runs} runs, ${failed} failed${broken.length > 0 ? ` (${broken.join(', ')})` : ''}${apart}`;
    process.stdout.write(`${line}${reasons.length > 0 ? `; held at the end: ${reasons.join(', ')}` : ''}\n`);
  }
  const { runs, failed, cpuSeconds } = result;
  process.stdout.write(`${runs} runs, ${failed} failed, ${(runs / cpuSeconds).toFixed(0)} runs per processor second\n`);
}

process.exitCode = await main();
