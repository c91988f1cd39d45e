import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Kafka, logLevel } from '../../src/kafka/kafkajs.js';
import { eventually } from '../support/eventually.js';
import { startDamagedPair, type DamagedPair } from './resync-fixture.js';

/** As long as a broker lets a transaction stand open. */
const TRANSACTION_TIMEOUT_MS = 900_000;
/** Long for a takeover, and less than anybody waits who reads behind an open transaction (90 s). */
const TAKEOVER_WITHIN_MS = 60_000;

describe('a stream task whose holder dies in the middle of a transaction', () => {
  let pair: DamagedPair;
  beforeAll(async () => {
    pair = await startDamagedPair();
    await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('Before', 'V1')`);
    const duolog = await pair.start();
    await pair.equal();
    await duolog.stop();
  });
  afterAll(() => pair?.close());

  it('is taken over by its standby at once, which ends the transaction that it was reading behind', async () => {
    const { brokers, loaded, log, names, prefix } = pair;
    const id = `${prefix}.stream.customers`;
    const tenure = await log.lease(id).acquire(new AbortController().signal);
    const holder = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).producer({
      transactionalId: id,
      idempotent: true,
      maxInFlightRequests: 1,
      transactionTimeout: TRANSACTION_TIMEOUT_MS,
    });
    await holder.connect();
    try {
      const transaction = await holder.transaction();
      await transaction.send({ topic: names.state('customers'), messages: [{ key: 'never committed', value: null }] });

      const standby = await pair.start();
      // The standby opens its store first and then reads, as far as the open transaction lets it.
      const stores = join(loaded.configuration.state.folder, prefix, 'customers');
      const isOpen = () =>
        readdirSync(stores).some(
          (name) => name.startsWith('owned-') && readdirSync(join(stores, name)).includes('data.mdb'),
        );
      await eventually(isOpen, { what: 'the standby to read the changelog' });
      const stream = () => standby.status().tasks.find(({ name }) => name === 'stream customers')!;
      await eventually(() => standby.status().tasks.every((task) => task === stream() || task.phase === 'running'));
      expect(stream().phase).toBe('waiting');

      await tenure.release();
      await eventually(() => stream().phase === 'running', { timeoutMs: TAKEOVER_WITHIN_MS, what: 'the takeover' });
      await pair.erp.query(`INSERT INTO customer (name, vat) VALUES ('After', 'V2')`);
      await pair.equal();
      await standby.stop();
    } finally {
      await holder.disconnect();
    }
  }, 240_000);
});
