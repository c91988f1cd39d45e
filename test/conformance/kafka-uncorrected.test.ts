import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** The proof that the corrections are needed and that their tests can fail: the same tests on the package as it is. */
it('kafkajs without our corrections fails their tests', { timeout: 180_000 }, async () => {
  const { failed, passed } = await runUncorrected('test/conformance/kafka-corrections.test.ts');
  // Its sending loop happens to try this one again.
  expect(passed).toEqual(['when addPartitions meets it']);
  expect(failed).toEqual([
    'although a key is four zero bytes, as in an abort marker',
    'although several were open before the first record that is read',
    'although they are listed in the order of their aborts',
    'an idle connection arms no timer',
    "ends the package's consumer instead of making it jump",
    'over a batch at the end of a segment of which only the first record is left, in a few fetches',
    'over a batch at the end of a segment that is kept empty for its producer',
    'requests that meet at a closed connection open it once',
    'when addOffsets meets it',
    'when endTxn meets it',
    'when txnOffsetCommit meets it',
  ]);
});

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: 'passed' | 'failed' }[];
  }[];
}

async function runUncorrected(file: string): Promise<Record<'failed' | 'passed', string[]>> {
  const folder = await mkdtemp(join(tmpdir(), 'duolog-uncorrected-'));
  try {
    const report = join(folder, 'report.json');
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'conformance', '--reporter=json'];
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
    await new Promise<void>((resolve) => {
      // It ends with 1, as it should; the report says why.
      execFile(
        process.execPath,
        [...args, `--outputFile=${report}`, file],
        { env: { ...env, DUOLOG_KAFKAJS_UNCORRECTED: '1' } },
        () => resolve(),
      );
    });
    const { testResults } = JSON.parse(await readFile(report, 'utf8')) as Report;
    const results = testResults.flatMap(({ assertionResults }) => assertionResults);
    const named = (wanted: 'failed' | 'passed') =>
      results
        .filter(({ status }) => status === wanted)
        .map(({ title }) => title)
        .toSorted();
    return { failed: named('failed'), passed: named('passed') };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
