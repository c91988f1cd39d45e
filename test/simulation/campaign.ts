import { judge } from './judge.js';
import { shrink } from './shrink.js';
import { generateScenario, type Scenario } from './workload.js';

export interface CampaignOptions {
  readonly configurations: readonly string[];
  readonly runs: number;
  /** Run n has seed `seed` + n; configurations take turns. */
  readonly seed: number;
  /** How many failing seeds of a configuration are shrunk: it takes a thousand runs each. */
  readonly shrunkPerConfiguration: number;
  readonly onProgress?: (text: string) => void;
  /** Told as soon as it is shrunk. */
  readonly onFailure?: (failure: Failure) => void;
}

export interface Failure {
  readonly configuration: string;
  readonly seed: number;
  /** What was broken, the shrunk scenario and its trace. */
  readonly text: string;
}

export interface ConfigurationResult {
  readonly configuration: string;
  readonly runs: number;
  readonly failed: number;
  /** Runs by the first rule that they broke. */
  readonly rules: Readonly<Record<string, number>>;
  readonly holds: Readonly<Record<string, number>>;
}

export interface Campaign {
  readonly runs: number;
  readonly failed: number;
  /** Processor time of the runs themselves, shrinking left out: other work on the machine does not count. */
  readonly cpuSeconds: number;
  readonly byConfiguration: readonly ConfigurationResult[];
  readonly failures: readonly Failure[];
}

interface Tally {
  runs: number;
  failed: number;
  shrunk: number;
  readonly rules: Record<string, number>;
  readonly holds: Record<string, number>;
}

/** Plays many scenarios; those that fail are counted, and the first of each configuration are shrunk and told. */
export async function campaign(options: CampaignOptions): Promise<Campaign> {
  const tallies = new Map<string, Tally>();
  for (const configuration of options.configurations) {
    tallies.set(configuration, { runs: 0, failed: 0, shrunk: 0, rules: {}, holds: {} });
  }
  const failures: Failure[] = [];
  let playedMicros = 0;
  for (let run = 0; run < options.runs; run++) {
    const configuration = options.configurations[run % options.configurations.length]!;
    const scenario = generateScenario(configuration, options.seed + run);
    const tally = tallies.get(configuration)!;
    const began = process.cpuUsage();
    const { violations, holds } = await judge(scenario);
    const { user, system } = process.cpuUsage(began);
    playedMicros += user + system;
    tally.runs += 1;
    for (const [reason, count] of Object.entries(holds)) tally.holds[reason] = (tally.holds[reason] ?? 0) + count;
    const violation = violations[0];
    if (violation) {
      tally.failed += 1;
      tally.rules[violation.rule] = (tally.rules[violation.rule] ?? 0) + 1;
      if (tally.shrunk < options.shrunkPerConfiguration) {
        tally.shrunk += 1;
        const failure = await explain(scenario, violation.rule);
        failures.push(failure);
        options.onFailure?.(failure);
      }
    }
    if (options.onProgress && (run + 1) % 2000 === 0) {
      const failed = [...tallies.values()].reduce((sum, each) => sum + each.failed, 0);
      options.onProgress(
        `${run + 1} runs, ${failed} failed, ${((run + 1) / (playedMicros / 1e6)).toFixed(0)} runs per processor second`,
      );
    }
  }
  return {
    runs: options.runs,
    failed: [...tallies.values()].reduce((sum, { failed }) => sum + failed, 0),
    cpuSeconds: playedMicros / 1e6,
    byConfiguration: [...tallies].map(([configuration, tally]) => ({ configuration, ...tally })),
    failures,
  };
}

/** Shrinks a failing scenario and tells it. */
async function explain(scenario: Scenario, rule: string): Promise<Failure> {
  const { configuration, seed } = scenario;
  const shrunk = await shrink(scenario, async (candidate) => {
    const { violations } = await judge(candidate);
    return violations.some((violation) => violation.rule === rule);
  });
  const verdict = await judge(shrunk);
  const lines = [
    `--config ${configuration} --seed ${seed}`,
    ...verdict.violations.map((violation) => `VIOLATED ${violation.rule}: ${violation.message}`),
    `world: ${JSON.stringify(shrunk.world)}`,
    ...verdict.trace(),
  ];
  return { configuration, seed, text: lines.join('\n') };
}
