import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spawnDuolog } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { companyPair, type CompanyPair } from './cli-fixture.js';

/** A small file system in memory, where one may be mounted. */
const folder = mkdtempSync(join(tmpdir(), 'duolog-full-'));
const isMounted = mounted();
let pair: CompanyPair;

function mounted(): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

beforeAll(async () => {
  pair = await companyPair();
  await pair.configure((text) => text.replace('./state', folder));
}, 240_000);
afterAll(async () => {
  await pair?.close();
  if (isMounted) execFileSync('umount', ['-l', folder]);
  rmSync(folder, { recursive: true, force: true });
});

describe('a disk that is nearly full at the start', () => {
  it.skipIf(!isMounted)(
    'is waited for and named, and the work goes on once there is room',
    async () => {
      const process = await spawnDuolog(pair.file, ['run'], pair.env);
      const url = await eventually(() => /"url":"(http:[^"]+)"/.exec(process.output())?.[1]);
      await eventually(
        async () => {
          const answer = await fetch(`${url}/readyz`);
          expect(answer.status).toBe(503);
          const { waitingFor } = (await answer.json()) as { readonly waitingFor: readonly string[] };
          expect(waitingFor).toContainEqual(expect.stringMatching(/^stream customers: .*STATE_DISK_FULL/));
          return true;
        },
        { timeoutMs: 60_000, what: () => `readyz to name the disk: ${process.output()}` },
      );
      expect(process.output()).toContain('"code":"STATE_DISK_FULL"');
      execFileSync('mount', ['-o', 'remount,size=256m', folder]);
      await pair.equal();
      await eventually(async () => (await fetch(`${url}/readyz`)).ok, { what: 'readyz to be content' });
      expect(await process.stop()).toBe(0);
    },
    300_000,
  );
});
