import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/**
 * The proof that the corrections are needed and that their tests can fail: the same tests on the package as it is, in
 * their processes and in those that they start (uncorrected-kafkajs.cjs).
 */
it('kafkajs without our corrections fails their tests', { timeout: 600_000 }, async () => {
  const { failed, passed } = await runUncorrected(['test/conformance/kafka-corrections.test.ts']);
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

it('and loses transactions whose EndTxn was lost', { timeout: 600_000 }, async () => {
  const { failed, passed } = await runUncorrected(
    ['test/conformance/kafka-transactions.test.ts'],
    'has one producer the one before|frozen at source.commit.before-end|EndTxn|request 0 comes',
  );
  expect(failed).toEqual([
    'EndTxn (lose-answer) is sent again: committed once',
    'EndTxn (lose-request) is sent again: committed once',
    'the broker, killed when request 0 comes, and back a moment later: committed once',
  ]);
  expect(passed).toEqual([
    // Without an answer we say "unknown" whatever the package does: that is our own code, not a correction of it.
    'EndTxn that never arrived, and then nobody answers: unknown, and aborted by the successor',
    'EndTxn that was carried out, and then nobody answers: unknown, and committed',
    // Fencing needs no correction: the broker does it by the epoch that each new producer of an id is given, and the
    // package sends that epoch and hands on the broker's refusal. What fences is when we open a producer (I4).
    'a process frozen at source.commit.before-end wakes up as a zombie that commits nothing',
    'the answer to an EndTxn that was carried out, until a successor came: unknown, not "fenced"',
    'the one before is fenced and can write nothing more',
  ]);
});

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

async function runUncorrected(
  files: readonly string[],
  names: string | null = null,
): Promise<Record<'failed' | 'passed', string[]>> {
  const folder = await mkdtemp(join(tmpdir(), 'duolog-uncorrected-'));
  try {
    const report = join(folder, 'report.json');
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'conformance', '--reporter=json'];
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST')));
    const options = `${env.NODE_OPTIONS ?? ''} --require=${join(import.meta.dirname, 'uncorrected-kafkajs.cjs')}`;
    await new Promise<void>((resolve) => {
      // It ends with 1, as it should; the report says why.
      execFile(
        process.execPath,
        [...args, `--outputFile=${report}`, ...(names === null ? [] : ['-t', names]), ...files],
        { env: { ...env, NODE_OPTIONS: options } },
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
