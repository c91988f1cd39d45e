// npm test [-- vitest's arguments]: every test, on real servers. The last line is "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepare, root } from './bootstrap.mjs';

prepare({ servers: true });

const folder = mkdtempSync(join(tmpdir(), 'duolog-report-'));
const report = join(folder, 'report.json');
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
// Ctrl-C: vitest ends its workers and servers; we go on to remove the report.
process.on('SIGINT', () => undefined);
const { status, signal } = spawnSync(process.execPath, [vitest, 'run', ...reporters, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
if (signal) console.log(`vitest was ended by ${signal}`);
const { passed, failed } = counts(status);
rmSync(folder, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** A file that could not be loaded, or an error outside of any test, counts as one failure. */
function counts(exitCode) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const broken = testResults.filter(
      ({ status: result, assertionResults }) =>
        result === 'failed' && !assertionResults.some((assertion) => assertion.status === 'failed'),
    );
    const failures = numFailedTests + broken.length;
    for (const { name } of broken) console.log(`Could not be run: ${name}`);
    return { passed: numPassedTests, failed: failures === 0 && exitCode !== 0 ? 1 : failures };
  } catch {
    return { passed: 0, failed: 1 };
  }
}
