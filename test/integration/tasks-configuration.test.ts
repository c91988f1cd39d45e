import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kafkaLogOptions } from '../../src/config/kafka-connection.js';
import { openLog } from '../../src/kafka/index.js';
import { TopicNames } from '../../src/log/topics.js';
import { createLogger } from '../../src/logging/logger.js';
import { eventually } from '../support/eventually.js';
import { startPair, type Pair } from './tasks-fixture.js';
import { topicRecords } from './topic-records.js';

/** A decision, as far as the test looks at it. */
interface DecisionRecord {
  readonly decision: string;
  readonly winner: string | null;
  readonly fields: readonly {
    readonly field: string;
    readonly sides: readonly { readonly system: string; readonly value: unknown }[];
  }[];
}

const withoutCity = (text: string) =>
  text.replace(', city: "string?"', '').replace(', city: comp_city', '').replace(', city: city', '');

describe('another configuration', () => {
  let pair: Pair;
  beforeEach(async () => {
    pair = await startPair();
    await pair.erp.query(
      `INSERT INTO customer (name, vat, city) VALUES ('Alfreds', 'DE1', 'Berlin'), ('Berglunds', 'SE2', NULL)`,
    );
    await pair.crm.query(`INSERT INTO company (comp_name, comp_vat, comp_city, comp_territory)
      VALUES ('Alfreds', 'DE1', 'Wien', 'x'), ('Berglunds', 'SE2', 'Lund', 'x')`);
  });
  afterEach(() => pair?.close());

  it('may have a field more: what both sides have of it is merged and goes on', async () => {
    const first = await pair.start({ loaded: pair.changed(withoutCity) });
    const names = async () => (await pair.crm.query(`SELECT 1 FROM company WHERE comp_name = 'Renamed'`)).rowCount;
    await pair.erp.query(`UPDATE customer SET name = 'Renamed' WHERE vat = 'DE1'`);
    await eventually(async () => (await names()) === 1);
    const { rows } = await pair.crm.query(`SELECT comp_city FROM company ORDER BY comp_vat`);
    expect(rows).toEqual([{ comp_city: 'Wien' }, { comp_city: 'Lund' }]);
    await first.stop();
    await pair.start();
    await pair.equal();
    // Nobody ever agreed on them: the leading system's stand, as on a first start, an empty one too.
    const merged = [
      { vat: 'DE1', city: 'Berlin' },
      { vat: 'SE2', city: null },
    ];
    expect(await cities('crm')).toEqual(merged);
    expect(await cities('erp')).toEqual(merged);
    // What gave way stands in a decision, by system (I10).
    expect(await aboutCity()).toEqual([
      { decision: 'first-link', winner: 'erp', crm: 'Lund', erp: null },
      { decision: 'first-link', winner: 'erp', crm: 'Wien', erp: 'Berlin' },
    ]);
    await pair.crm.query(`UPDATE company SET comp_city = 'Linz' WHERE comp_vat = 'SE2'`);
    await pair.erp.query(`UPDATE customer SET city = 'Bonn' WHERE vat = 'DE1'`);
    const edited = [
      { vat: 'DE1', city: 'Bonn' },
      { vat: 'SE2', city: 'Linz' },
    ];
    await eventually(async () => {
      for (const system of ['crm', 'erp'] as const) expect(await cities(system)).toEqual(edited);
      return true;
    });
    // Both sides had agreed by then: nothing lost by these.
    expect(await aboutCity()).toHaveLength(2);
  });

  async function cities(system: 'crm' | 'erp'): Promise<unknown[]> {
    const query = {
      crm: 'SELECT comp_vat AS vat, comp_city AS city FROM company ORDER BY 1',
      erp: 'SELECT vat, city FROM customer ORDER BY 1',
    };
    return (await pair[system].query<Record<string, unknown>>(query[system])).rows;
  }

  /** The decisions about a city, with the values of both sides. */
  async function aboutCity(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const logger = createLogger({ level: 'silent', format: 'json' });
    const log = await openLog(kafkaLogOptions(pair.loaded.configuration.kafka, logger));
    try {
      const records = await topicRecords(log, pair.registry, new TopicNames(pair.prefix).decision('company'));
      const told = records.flatMap(({ value }) => {
        const { decision, winner, fields } = value as unknown as DecisionRecord;
        const city = fields.find(({ field }) => field === 'city');
        if (city === undefined) return [];
        const of = (system: string) => city.sides.find((side) => side.system === system)?.value;
        return [{ decision, winner, crm: of('crm'), erp: of('erp') }];
      });
      return told.toSorted((one, other) => String(one.crm).localeCompare(String(other.crm)));
    } finally {
      await log.close();
    }
  }

  it('is refused where anything else has changed, and says what', async () => {
    const first = await pair.start();
    await pair.equal();
    await first.stop();
    const other = pair.changed((text) => text.replace('erp: hard }', 'erp: never }'));
    const second = await pair.start({ loaded: other });
    const error = await eventually(() => second.status().tasks.find(({ name }) => name.startsWith('stream'))?.error);
    expect(error).toMatchObject({ code: 'CONFIG_CHANGED', retry: 'operator' });
    expect(error.message).toContain('entity.company');
  });
});
