import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import { demoScript, processesNaming, runDemo, serversNaming, startDemo } from '../support/demo-process.js';
import { eventually } from '../support/eventually.js';
import { expectConnectionsWork, expectEveryEdit } from './demo-output.js';

/** Its temporary files are below a folder of the test's own, so that what it leaves behind can be seen. */
describe('npm run demo', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder('demo-test');
  });
  afterEach(() => removeFolder(folder));

  // That --once ends with 0 where both sides are equal, else with 1, is in demo-servers.test.ts.
  it('shows every edit arriving, finds both sides equal, says how to connect, and leaves nothing behind', {
    timeout: 240_000,
  }, async () => {
    const demo = await start([]);
    const stays = () => demo.output().includes('Ctrl-C ends it all.');
    const ended = { now: false };
    void demo.exited.then(() => (ended.now = true));
    await eventually(() => stays() || ended.now, { timeoutMs: 200_000, what: () => `its last line\n${demo.output()}` });
    expect(stays(), demo.output()).toBe(true);
    expectEveryEdit(demo.output());
    expect(demo.output()).toMatch(/order_line +2157 +2157 +2157/);
    await expectConnectionsWork(demo.output());
    demo.kill('SIGINT');
    expect(await demo.exited, demo.output()).toBe(0);
    await nothingIsLeft();
  });

  it('leaves nothing behind after Ctrl-C twice', async () => {
    const demo = await start([]);
    await serversAreStarting();
    demo.kill('SIGINT');
    demo.kill('SIGINT');
    expect(await demo.exited).toBe(130);
    await nothingIsLeft();
  });

  it('leaves nothing behind after Ctrl-C twice at its terminal, while edits are played', {
    timeout: 240_000,
  }, async () => {
    // A terminal sends Ctrl-C to all of them: npm, its shell and the demo.
    const demo = runDemo('npm', ['run', 'demo'], { folder, detached: true });
    const played = () => demo.output().includes('A company is renamed in the CRM');
    await eventually(played, { timeoutMs: 200_000, what: 'the first edits' });
    for (const _ of ['once', 'twice']) process.kill(-demo.pid, 'SIGINT');
    expect(await demo.exited).not.toBe(0);
    await nothingIsLeft();
  });

  it('leaves nothing behind when nobody reads its output any more', { timeout: 240_000 }, async () => {
    const pipe = `"${process.execPath}" "${await demoScript()}" 2>&1 | head -n 3`;
    const demo = runDemo('sh', ['-c', pipe], { folder, detached: true });
    await demo.exited;
    expect(demo.output().trim().split('\n')).toHaveLength(3);
    expect(demo.output()).not.toContain('EPIPE');
    await nothingIsLeft(120_000);
  });

  it('names the Kafka and the registry that do not answer', async () => {
    const demo = await start(['--once'], { KAFKA_BROKERS: '127.0.0.1:1' });
    expect(await demo.exited).toBe(1);
    expect(demo.output()).toContain('No Kafka answers at 127.0.0.1:1 (KAFKA_BROKERS).');
    await nothingIsLeft();
  });

  it('leaves nothing behind after a kill -9', async () => {
    const demo = await start([]);
    await serversAreStarting();
    demo.kill('SIGKILL');
    expect(await demo.exited).toBeNull();
    await nothingIsLeft();
  });

  const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    startDemo(args, { folder, env });

  async function serversAreStarting(): Promise<void> {
    const starting = () => serversNaming(folder).length > 2;
    await eventually(starting, { timeoutMs: 60_000, what: 'servers of the demo' });
  }

  async function nothingIsLeft(timeoutMs = 60_000): Promise<void> {
    await eventually(() => processesNaming(folder).length === 0 && readdirSync(folder).length === 0, {
      timeoutMs,
      what: () => `the end of ${processesNaming(folder).join('\n')} and ${readdirSync(folder).join(', ')}`,
    });
  }
});
