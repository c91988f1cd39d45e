import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SourceEvent } from '../../src/connector/contract.js';
import type { PostgresSource } from '../../connectors/postgres/source.js';
import { type FreshDatabase, freshDatabase, testedPostgres, uniquePrefix } from '../support/shared.js';
import { captured, connect, sourceOf } from './source-fixture.js';

/** A million on one version shows it; the others show that they do the same. */
const rowsOn = (version: number) => (version === testedPostgres.at(-1) ? 1_000_000 : 200_000);
/** Kept as objects, the rows would need some 300 MB. */
const FLAT_BYTES = 150 << 20;

describe.each(testedPostgres)('memory stays flat with Postgres %i', (version) => {
  const rows = rowsOn(version);
  let database: FreshDatabase;
  let client: pg.Client;
  let source: PostgresSource;
  beforeEach(async () => {
    database = await freshDatabase(version);
    client = await connect(database.url);
    await client.query(`CREATE TABLE item (id int PRIMARY KEY, body text, more text)`);
    source = sourceOf({
      url: database.url,
      prefix: uniquePrefix(),
      entities: [captured('item', 'item')],
      maxBatchEvents: 1000,
    });
  });
  afterEach(async () => {
    await source.close();
    await client.end();
    await database.drop();
  });

  const fill = () =>
    client.query(`INSERT INTO item SELECT n, repeat('x', 200), repeat('y', 200) FROM generate_series(1, ${rows}) n`);

  /** Reads more slowly than the server sends, up to an event; gives how many changes came and how far memory rose. */
  async function read(
    last: (event: SourceEvent) => boolean,
  ): Promise<{ readonly changes: number; readonly rose: number }> {
    let changes = 0;
    let highest = 0;
    const before = process.memoryUsage().rss;
    for (;;) {
      const batch = await source.next(120_000);
      if (batch === null) throw new Error(`Nothing more after ${changes} changes`);
      await source.acknowledge(batch.position);
      if (batch.kind !== 'events') continue;
      expect(batch.events.length).toBeLessThanOrEqual(1000);
      changes += batch.events.filter((event) => event.kind === 'change').length;
      highest = Math.max(highest, process.memoryUsage().rss - before);
      if (last(batch.events.at(-1)!)) return { changes, rose: highest };
      await delay(1);
    }
  }

  it('over a snapshot', async () => {
    await fill();
    await source.open({ position: null, heartbeat: null });
    const { changes, rose } = await read((event) => event.kind === 'end' && event.end === 'snapshot');
    expect(changes).toBe(rows);
    expect(rose).toBeLessThan(FLAT_BYTES);
  });

  it('over transactions larger than many batches', async () => {
    await source.open({ position: null, heartbeat: null });
    await read((event) => event.kind === 'end' && event.end === 'snapshot');
    await fill();
    await client.query(`DELETE FROM item`);
    const { changes, rose } = await read((event) => event.kind === 'end' && event.end === 'transaction');
    expect(changes).toBe(2 * rows);
    expect(rose).toBeLessThan(FLAT_BYTES);
  });
});
