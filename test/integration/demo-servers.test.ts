import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import { agree, compare } from '../../examples/northwind/compare.js';
import { loadCrm, loadErp } from '../../examples/northwind/load.js';
import { openLog } from '../../src/kafka/index.js';
import { createLogger } from '../../src/logging/logger.js';
import { serversNaming, startDemo } from '../support/demo-process.js';
import { type FreshDatabase, freshDatabase, openPool, sharedRegistry, testedPostgres } from '../support/shared.js';

/** A broker of its own for each run: the demo's topics have fixed names. */
describe('npm run demo on servers that are there already', () => {
  let folder: string;
  let kafka: LocalKafka;
  let databases: readonly [FreshDatabase, FreshDatabase];
  let erp: pg.Pool;
  let crm: pg.Pool;
  let env: Readonly<Record<'KAFKA_BROKERS' | 'SCHEMA_REGISTRY_URL' | 'ERP_URL' | 'CRM_URL', string>>;

  beforeEach(async () => {
    folder = await temporaryFolder('demo-servers-test');
    kafka = await startKafka();
    databases = await Promise.all([freshDatabase(testedPostgres[0]), freshDatabase(testedPostgres.at(-1))]);
    [erp, crm] = [openPool(databases[0].url), openPool(databases[1].url)];
    env = {
      KAFKA_BROKERS: kafka.brokers.join(','),
      SCHEMA_REGISTRY_URL: await sharedRegistry(),
      ERP_URL: databases[0].url,
      CRM_URL: databases[1].url,
    };
  });
  afterEach(async () => {
    await Promise.all([erp?.end(), crm?.end()]);
    await Promise.all((databases ?? []).map((database) => database.drop()));
    await kafka?.destroy();
    await removeFolder(folder);
  });

  /** To its end, with the servers that it was ever seen to start. */
  async function demo(): Promise<{ readonly code: number | null; readonly text: string; readonly started: string[] }> {
    const process = await startDemo(['--once'], { folder, env });
    const started = new Set<string>();
    let ended = false;
    const exited = process.exited.finally(() => {
      ended = true;
    });
    while (!ended) {
      for (const server of serversNaming(folder)) started.add(server);
      await Promise.race([exited, delay(250)]);
    }
    return { code: await exited, text: process.output(), started: [...started] };
  }

  it('uses them, starts none of its own, and ends with 0', { timeout: 480_000 }, async () => {
    const { code, text, started } = await demo();
    expect(code, text).toBe(0);
    expect(started).toEqual([]);
    const comparisons = await compare(erp, crm);
    expect(agree(comparisons), JSON.stringify(comparisons)).toBe(true);
    expect(comparisons.find(({ entity }) => entity === 'order_line')).toMatchObject({ inErp: 2157, equal: 2157 });
    expect(await lengthOf('northwind.canonical.order_line')).toBeGreaterThan(2157);
    // A list of all subjects ends at a thousand, and other tests use this registry.
    const subject = 'northwind.canonical.order_line-value';
    expect((await fetch(`${env.SCHEMA_REGISTRY_URL}/subjects/${subject}/versions`)).status).toBe(200);
    // Somebody's own databases keep a log for us: the demo says how to end that.
    for (const system of ['erp', 'crm'])
      expect(text).toContain(`pg_drop_replication_slot('duolog_northwind_${system}')`);
  });

  it('ends with 1 and names what differs where a database refuses an edit', { timeout: 480_000 }, async () => {
    await Promise.all([loadErp(env.ERP_URL), loadCrm(env.CRM_URL)]);
    // With the order that the demo plays a product changes too, which the CRM has not.
    await erp.query(`CREATE FUNCTION rename_product() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN UPDATE product SET product_name = 'Refused' WHERE product_id = '77'; RETURN NULL; END $$;
      CREATE TRIGGER rename_product AFTER INSERT ON sales_order EXECUTE FUNCTION rename_product()`);
    await crm.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'Not this one'; END $$;
      CREATE TRIGGER refuse BEFORE UPDATE ON product FOR EACH ROW WHEN (NEW.prod_name = 'Refused') EXECUTE FUNCTION refuse()`);
    const { code, text } = await demo();
    expect(code, text).toBe(1);
    expect(text).toMatch(/product +77 +77 +76 +different: 77$/m);
    expect(text).toMatch(/held: product in the crm, failed: /);
    expect(text).toMatch(/company +\d+ +\d+ +\d+$/m);
  });

  async function lengthOf(topic: string): Promise<number> {
    const logger = createLogger({ level: 'silent', format: 'json' });
    const log = await openLog({ brokers: [...kafka.brokers], clientId: 'demo-test', logger });
    try {
      const { earliest, end } = await log.bounds(topic);
      return end - earliest;
    } finally {
      await log.close();
    }
  }
});
