import { describe, expect, it } from 'vitest';
import { campaign } from './campaign.js';
import { CONFIGURATIONS } from './configurations.js';

const RUNS = Number(process.env['SIMULATION_RUNS'] ?? 120);
const SEED = Number(process.env['SIMULATION_SEED'] ?? 1);

/**
 * Every rule in every configuration, without exception (docs/adr/0011-a-hundred-thousand-simulated-runs.md). `npm run simulate`
 * plays as many as one likes; here so many that a break of a rule shows at once.
 */
describe(`${RUNS} random runs of each configuration, from seed ${SEED}: equal or held, nothing lost`, () => {
  it.each(CONFIGURATIONS)('%s', async (configuration) => {
    const { runs, failed, failures } = await campaign({
      configurations: [configuration],
      runs: RUNS,
      seed: SEED,
      shrunkPerConfiguration: 1,
    });
    expect(failed, failures.map(({ text }) => text).join('\n')).toBe(0);
    expect(runs).toBe(RUNS);
  });
});
