import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { markPrefix, readMark, syncOfMark } from '../../connectors/postgres/marks.js';
import type { PostgresSink } from '../../connectors/postgres/sink.js';
import type { Outcome } from '../../src/connector/contract.js';
import {
  apply,
  BIRTH,
  insert,
  type SinkFixture,
  sinkFixture,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TABLE company (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, big bigint);
  INSERT INTO company (name, big) SELECT 'Company ' || n, 9007199254740993 FROM generate_series(1, 3000) n;
  CREATE TABLE note (id bigint PRIMARY KEY, body text);
  CREATE TABLE audit (id bigint);
  CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END $$;
  CREATE CONSTRAINT TRIGGER audit AFTER UPDATE ON company DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit();`;

type Entry = { readonly message: string; readonly prefix: string } | { readonly row: string };

describe.each(testedPostgres)('marks in the log of Postgres %s', (version) => {
  let fixture: SinkFixture;
  let sink: PostgresSink;

  beforeAll(async () => {
    fixture = await sinkFixture(version, SCHEMA);
    const company = await fixture.plan('company', { generatesKey: true });
    const note = await fixture.plan('note', { captured: false });
    sink = await fixture.opened(company, note);
    await fixture.sql(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, [fixture.prefix]);
  });
  afterAll(() => fixture?.end());

  /** What the log tells of the transactions since the last time: each as its messages and rows, in their order. */
  async function transactions(): Promise<Entry[][]> {
    const rows = await fixture.sql(
      `SELECT data FROM pg_logical_slot_get_changes($1, NULL, NULL, 'include-xids', 'false')`,
      [fixture.prefix],
    );
    const found: Entry[][] = [];
    for (const { data } of rows as { data: string }[]) {
      const message = /^message: transactional: 1 prefix: (\S+), sz: \d+ content:(.*)$/s.exec(data);
      if (data.startsWith('BEGIN')) found.push([]);
      else if (message !== null) found.at(-1)!.push({ prefix: message[1]!, message: message[2]! });
      else if (!data.startsWith('COMMIT') && !data.startsWith('table duolog.sink')) found.at(-1)!.push({ row: data });
    }
    return found.filter((entries) => entries.length > 0);
  }

  test('the first message comes before every row, the last after them, deferred triggers included', async () => {
    const batch = [
      update('company', '1', { name: 'Company 1' }, { name: 'One' }),
      update('company', '2', { name: 'unexpected' }, { name: 'Two' }),
      insert('company', { name: 'New' }),
      update('company', '3', { name: 'Company 3' }, { name: null }),
      insert('company', { name: 'Bad', big: 'no number' }),
    ];
    const outcomes = await apply(sink, batch);
    expect(statuses(outcomes)).toEqual(['applied', 'refused', 'applied', 'applied', 'failed']);
    const [entries, ...others] = await transactions();
    expect(others).toEqual([]);
    const first = entries![0]!;
    const last = entries!.at(-1)!;
    if (!('message' in first) || !('message' in last))
      throw new Error('the transaction does not begin and end with messages');
    expect(syncOfMark(first.prefix, fixture.prefix)).toBe('customers');
    expect(last.prefix).toBe(markPrefix(fixture.prefix, 'customers'));
    expect(readMark(first.message)).toEqual({ kind: 'first', commands: 5 });
    expect(readMark(last.message)).toEqual({ kind: 'last', part: 1, parts: 1, outcomes });
    const between = entries!.slice(1, -1).map((entry) => ('row' in entry ? entry.row.split(':')[0] : 'message'));
    expect(between.filter((table) => table === 'table public.company')).toHaveLength(3);
    expect(between.filter((table) => table === 'table public.audit')).toHaveLength(2);
  });

  test('a batch that passes at the first try ends with its last message too', async () => {
    const outcomes = await apply(sink, [update('company', '5', { name: 'Company 5' }, { name: 'Five' })]);
    expect(statuses(outcomes)).toEqual(['applied']);
    const [entries] = await transactions();
    expect(entries!.map((entry) => ('row' in entry ? entry.row.split(':')[0] : 'message'))).toEqual([
      'message',
      'table public.company',
      'table public.audit',
      'message',
    ]);
  });

  test('the image met keeps a bigint exactly', async () => {
    await apply(sink, [update('company', '4', { name: 'unexpected' }, { name: 'x' })]);
    const [entries] = await transactions();
    const last = entries!.at(-1)!;
    const mark = readMark('message' in last ? last.message : '');
    expect(mark.kind === 'last' && mark.outcomes[0]).toMatchObject({ met: { id: 4, big: 9007199254740993n } });
  });

  test('many outcomes come in several parts, told apart and complete', async () => {
    const name = 'y'.repeat(300);
    const batch = Array.from({ length: 2_000 }, (_, index) =>
      update('company', String(1_001 + index), { name: index % 2 === 0 ? name : `Company ${1_001 + index}` }, { name }),
    );
    await fixture.sql(`ALTER TABLE company ADD COLUMN filler text DEFAULT repeat('z', 300)`);
    await sink.close();
    sink = await fixture.opened(
      await fixture.plan('company', { generatesKey: true }),
      await fixture.plan('note', { captured: false }),
    );
    const outcomes = await apply(sink, batch);
    expect(statuses(outcomes).filter((status) => status === 'refused')).toHaveLength(1_000);
    const entries = (await transactions()).at(-1)!;
    const marks = entries.flatMap((entry) => ('message' in entry ? [readMark(entry.message)] : []));
    const told: Outcome[] = [];
    for (const [index, mark] of marks.slice(1).entries()) {
      expect(mark).toMatchObject({ kind: 'last', part: index + 1, parts: marks.length - 1 });
      if (mark.kind === 'last') told.push(...mark.outcomes);
    }
    expect(marks.length).toBeGreaterThan(2);
    expect(told).toEqual(outcomes);
  });

  test('outcomes of an entity that is not captured are kept beside the progress, not in the log', async () => {
    const outcomes = await apply(sink, [
      insert('note', { id: 1, body: 'first' }, [], '1'),
      update('note', '9', {}, { body: 'none' }),
    ]);
    expect(statuses(outcomes)).toEqual(['applied', 'refused']);
    const entries = (await transactions()).at(-1)!;
    expect(entries.some((entry) => 'message' in entry)).toBe(false);
    const again = await fixture.sink([await fixture.plan('note', { captured: false })]).open(BIRTH);
    expect(again.unpublished).toEqual(outcomes);
  });
});
