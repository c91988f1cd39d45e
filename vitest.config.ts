import { defineConfig } from 'vitest/config';

// Limits for what never comes, far beyond what a busy machine takes: conditions are awaited, not moments.
const servers = { globalSetup: ['test/support/global-setup.ts'], testTimeout: 240_000, hookTimeout: 240_000 };

export default defineConfig({
  test: {
    pool: 'forks',
    // The servers under test want the processors too.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          testTimeout: 600_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'conformance',
          include: ['test/conformance/**/*.test.ts'],
          ...servers,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          ...servers,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
