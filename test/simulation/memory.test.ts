import { describe, expect, it } from 'vitest';
import { MemoryConnector } from '../../connectors/memory/connector.js';
import type { RoundTrip } from '../../connectors/memory/round-trip.js';
import type { Change, Command, SourceEvent } from '../../src/connector/contract.js';
import { MemoryBroker, type Client } from './log.js';
import { databaseOf, planOf, type EntitySystemConfig, type WorldConfig } from './world-config.js';

const CONFIG: EntitySystemConfig = {
  captured: true,
  written: true,
  delete: 'hard',
  softDelete: false,
  keys: 'sequence',
  identity: 'full',
  unique: 'none',
  notRead: [],
  notWritten: [],
  truncated: [],
  checked: [],
  trigger: null,
};

function world(config: Partial<EntitySystemConfig> = {}) {
  const description: WorldConfig = {
    systems: ['crm'],
    smallBatches: false,
    losses: false,
    entities: [
      {
        name: 'company',
        fields: [{ name: 'code', kind: 'code', group: 'code' }],
        conflict: {
          policy: 'leading',
          lead: null,
          withinMicros: 0,
          otherwise: 'leading',
          groups: {},
          first: 'leading',
        },
        normalise: [],
        systems: { crm: { ...CONFIG, ...config } },
      },
    ],
  };
  let micros = 0;
  const database = databaseOf(description, 'crm', () => (micros += 1));
  const table = database.table('crm.company');
  const plan = planOf(description).entities[0]!.systems['crm']!;
  const insert = (code: string) => database.transaction((transaction) => transaction.insert(table, { crm_code: code }));
  const open = async (roundTrip?: RoundTrip, position: string | null = null) => {
    const connector = new MemoryConnector('crm', database, roundTrip);
    const options = { system: 'crm', prefix: 'test', entities: [plan], maxBatchEvents: 100, maxBatchBytes: 1e6 };
    const source = connector.source(options);
    await source.open({ position, heartbeat: null });
    const sink = connector.sink({ system: 'crm', sync: 'main', prefix: 'test', entities: [plan], owner: 'test' });
    return { source, sink };
  };
  return { database, table, insert, open };
}

async function readAll(
  source: Awaited<ReturnType<ReturnType<typeof world>['open']>>['source'],
): Promise<SourceEvent[]> {
  const events: SourceEvent[] = [];
  for (let batch = await source.next(0); batch; batch = await source.next(0)) {
    if (batch.kind === 'events') events.push(...batch.events);
  }
  return events;
}

const told = (events: readonly SourceEvent[]) =>
  events
    .filter((event): event is Change => event.kind === 'change')
    .map(({ operation, key, after }) => `${operation} ${key} ${String(after?.['crm_code'])}`);

function command(id: string, rest: Partial<Command>): Command {
  return {
    id,
    link: 'L1',
    entity: 'company',
    operation: 'insert',
    key: null,
    set: {},
    expect: {},
    absent: [],
    madeAtMicros: 0,
    ...rest,
  };
}

describe('the memory connector', () => {
  it('reads rows between watermarks and drops those that changed meanwhile (I2)', async () => {
    const { database, table, insert, open } = world();
    for (const code of ['a', 'b', 'c']) insert(code);
    const { source } = await open(async (point) => {
      if (point !== 'source chunk read' || !table.rows.has('2') || table.rows.get('2')!['crm_code'] !== 'b') return;
      database.transaction((transaction) => transaction.update(table, '2', { crm_code: 'changed' }));
    });
    expect(told(await readAll(source))).toEqual(['update 2 changed', 'read 1 a', 'read 3 c']);
  });

  it('goes on after the position it is given, and says when the log no longer reaches back (I1)', async () => {
    const { insert, open } = world();
    insert('a');
    const { source } = await open();
    await readAll(source);
    insert('b');
    const batch = await source.next(0);
    insert('c');
    const { source: next } = await open(undefined, batch!.position);
    expect(told(await readAll(next))).toEqual(['insert 3 c']);
    insert('d');
    const later = await next.next(0);
    await next.acknowledge(later!.position);
    await expect(open(undefined, batch!.position)).rejects.toMatchObject({ code: 'SLOT_LOST' });
  });

  it('writes only where the expectation holds (I7) and tells its own writes from edits (I8)', async () => {
    const { database, table, insert, open } = world();
    insert('a');
    const { source, sink } = await open();
    await readAll(source);
    await sink.open('birth');
    const result = await sink.apply(
      [
        {
          offset: 0,
          command: command('c0', {
            operation: 'update',
            key: '1',
            set: { crm_code: 'x' },
            expect: { crm_code: 'other' },
          }),
        },
        { offset: 1, command: command('c1', { set: { crm_code: 'b' }, absent: [{ crm_code: 'b' }] }) },
        { offset: 2, command: command('c2', { set: { crm_code: 'a' }, absent: [{ crm_code: 'a' }] }) },
      ],
      (answered) => ({ lowest: answered.length, answered: [] }),
    );
    expect(result.outcomes.map(({ outcome }) => outcome.status)).toEqual(['refused', 'applied', 'refused']);
    expect(table.rows.get('1')!['crm_code']).toBe('a');
    database.transaction((transaction) => transaction.update(table, '2', { crm_code: 'c' }));
    const events = await readAll(source);
    const origins = events.map((event) => (event.kind === 'change' ? (event.origin?.command ?? null) : event.kind));
    expect(origins).toEqual(['c1', 'outcome', 'outcome', null]);
  });

  it('lets nobody write who has been taken over from (I4)', async () => {
    const { open } = world();
    const { sink: older } = await open();
    await older.open('birth');
    const { sink: newer } = await open();
    expect((await newer.open('birth')).epoch).toBe(2);
    await expect(older.apply([], () => ({ lowest: 0, answered: [] }))).rejects.toMatchObject({ code: 'SINK_FENCED' });
  });

  it('defers a command whose row is locked, or whose unique value a transaction holds back', async () => {
    const { database, insert, open } = world({ unique: 'all' });
    insert('a');
    const { sink } = await open();
    await sink.open('birth');
    database.begin([{ table: 'crm.company', key: '1' }], [{ table: 'crm.company', row: { crm_code: 'b' } }]);
    const { deferred } = await sink.apply(
      [
        { offset: 0, command: command('c0', { operation: 'delete', key: '1' }) },
        { offset: 1, command: command('c1', { set: { crm_code: 'b' } }) },
      ],
      () => ({ lowest: 0, answered: [] }),
    );
    expect(deferred).toEqual([0, 1]);
  });
});

describe('the memory broker', () => {
  const free: Client = {
    name: 'test',
    roundTrip: async () => {},
    fetchLimit: () => Number.POSITIVE_INFINITY,
    idle: async () => {},
    isMember: () => true,
  };
  const stuckAt = (stuck: string): Client => ({
    ...free,
    roundTrip: (point) => (point === stuck ? new Promise(() => {}) : Promise.resolve()),
  });
  const message = (value: string) => ({ key: Buffer.from('k'), value: Buffer.from(value) });
  const sends = (value: string) => [{ topic: 't', messages: [message(value)] }];

  it('holds readers back behind an open transaction until its id is fenced, and never shows what it had sent', async () => {
    const broker = new MemoryBroker(() => 0);
    broker.create({ name: 't', cleanup: 'delete', retentionMs: null });
    const crashing = await broker.connect(stuckAt('kafka source commit')).producer('a');
    void crashing.commit({ sends: sends('lost'), task: 'source' });
    await Promise.resolve();
    const other = await broker.connect(free).producer('b');
    await other.commit({ sends: sends('seen'), task: 'source' });
    const reader = await broker.connect(free).reader([{ topic: 't', offset: 0 }]);
    expect(await reader.poll({ maxRecords: 10, maxWaitMs: 0 })).toEqual([]);
    await broker.connect(free).producer('a');
    const polled = await reader.poll({ maxRecords: 10, maxWaitMs: 0 });
    expect(polled.map(({ offset, value }) => `${offset} ${String(value)}`)).toEqual(['1 seen']);
    expect((await broker.connect(free).bounds('t')).end).toBe(3);
  });

  it('fences an older producer of the same id', async () => {
    const broker = new MemoryBroker(() => 0);
    broker.create({ name: 't', cleanup: 'delete', retentionMs: null });
    const older = await broker.connect(free).producer('a');
    await broker.connect(free).producer('a');
    await expect(older.commit({ sends: sends('late'), task: 'stream' })).rejects.toMatchObject({
      code: 'KAFKA_FENCED',
    });
  });

  it('shows what was appended at once, and what an append that broke off had sent', async () => {
    const broker = new MemoryBroker(() => 0);
    broker.create({ name: 't', cleanup: 'delete', retentionMs: null });
    const appender = await broker.connect(free).appender();
    await appender.append(sends('one'));
    let trips = 0;
    const cut: Client = {
      ...free,
      roundTrip: async (point) => {
        if (point === 'kafka appended' && ++trips === 1) throw new Error('cut');
      },
    };
    const cutOff = await broker.connect(cut).appender();
    await expect(cutOff.append([{ topic: 't', messages: [message('two'), message('three')] }])).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
    });
    await appender.append(sends('four'));
    const reader = await broker.connect(free).reader([{ topic: 't', offset: 0 }]);
    const polled = await reader.poll({ maxRecords: 10, maxWaitMs: 0 });
    expect(polled.map(({ offset, value }) => `${offset} ${String(value)}`)).toEqual(['0 one', '1 two', '2 four']);
  });

  it('keeps the last record of each key when compacting, and refuses an offset that was trimmed', async () => {
    const broker = new MemoryBroker(() => 0);
    broker.create({ name: 't', cleanup: 'compact', retentionMs: null });
    const log = broker.connect(free);
    const producer = await log.producer('a');
    for (const value of ['one', 'two']) await producer.commit({ sends: sends(value), task: 'stream' });
    broker.compact();
    const read: string[] = [];
    await log.readToEnd('t', 0, (records) => void read.push(...records.map(({ value }) => String(value))));
    expect(read).toEqual(['two']);
    await log.trim('t', 2);
    const reader = await log.reader([{ topic: 't', offset: 1 }]);
    await expect(reader.poll({ maxRecords: 1, maxWaitMs: 0 })).rejects.toMatchObject({
      code: 'KAFKA_OFFSET_OUT_OF_RANGE',
    });
  });
});
