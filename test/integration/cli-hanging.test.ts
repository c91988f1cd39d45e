import { afterAll, beforeAll, expect, it } from 'vitest';
import { startKafka, type LocalKafka } from '../../deploy/dev/kafka.js';
import { spawnDuolog } from '../support/duolog-process.js';
import { companyPair, type CompanyPair } from './cli-fixture.js';

let pair: CompanyPair;
let kafka: LocalKafka;
beforeAll(async () => {
  [pair, kafka] = await Promise.all([companyPair(), startKafka()]);
}, 240_000);
afterAll(async () => {
  await kafka?.kill('SIGCONT');
  await kafka?.destroy();
  await pair?.close();
});

/** What SIGTERM is promised, and a little for a machine that is busy. */
const LEAVES_WITHIN_MS = 10_000 + 2_000;

it('leaves within ten seconds of SIGTERM also where a broker hangs, and loses nothing by it', async () => {
  const env = { ...pair.env, KAFKA_BROKERS: kafka.brokers.join(',') };
  const first = await spawnDuolog(pair.file, ['run'], env);
  await pair.equal();
  await kafka.kill('SIGSTOP');
  await pair.erp.query(`UPDATE customer SET name = 'Changed while the broker hung' WHERE id = 'C1'`);
  const askedMs = Date.now();
  const code = await first.stop();
  expect(Date.now() - askedMs).toBeLessThan(LEAVES_WITHIN_MS);
  // What hangs is given up before the process would be cut short (3).
  expect(first.output()).not.toContain('cut short');
  expect(code).toBe(0);
  await kafka.kill('SIGCONT');
  const second = await spawnDuolog(pair.file, ['run'], env);
  await pair.equal();
  expect((await pair.crm.query(`SELECT FROM company WHERE comp_name LIKE 'Changed%'`)).rowCount).toBe(1);
  expect(await second.stop()).toBe(0);
}, 300_000);
