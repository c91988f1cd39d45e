import { describe, expect, it } from 'vitest';
import { Encoders } from '../../src/avro/codec.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { requestEncoder, type RequestRecord } from '../../src/avro/progress-codec.js';
import type { EndSeen } from '../../src/decision/events.js';
import type { Log } from '../../src/log/contract.js';
import { TopicNames } from '../../src/log/topics.js';
import type { SyncPlan, VanishedLimit } from '../../src/plan/plan.js';
import type { TaskContext } from '../../src/tasks/task.js';
import { VanishedBrake } from '../../src/tasks/resync/vanished-brake.js';
import { Conversation, planOf } from '../support/decision-fixtures.js';

/** Which readings a person is asked about; what the answers do is shown on real parts. */
const plan = planOf({
  leading: ['erp', 'crm'],
  entities: {
    company: { fields: { name: 'string', vat: 'string' }, match: [['vat']], systems: { crm: {}, erp: {} } },
  },
});

const registry = new MemorySchemaRegistry();
const topics = new TopicNames('p');

/** A log in which nobody has asked for anything but these. */
function contextOf(...requests: readonly RequestRecord[]): TaskContext {
  const log: Pick<Log, 'bounds' | 'readToEnd'> = {
    bounds: async () => ({ earliest: 0, end: requests.length }),
    readToEnd: async (topic, _offset, onRecords) => {
      const encoder = await requestEncoder(new Encoders(registry), topic);
      const records = requests.map((request, offset) => ({
        topic,
        offset,
        key: null,
        value: encoder.encode(request),
        timestampMs: 0,
      }));
      await onRecords(records);
      return requests.length;
    },
  };
  return { log, registry, topics } as unknown as TaskContext;
}

const context = contextOf();

const END: EndSeen = {
  kind: 'end',
  system: 'crm',
  entity: 'company',
  end: 'snapshot',
  commitTimeMicros: null,
  transaction: 't',
  position: '',
};

const crm = (at: number) => ({ id: `c${at}`, crm_name: `Company ${at}`, crm_vat: `V${at}` });
const erp = (at: number) => ({ id: `e${at}`, erp_name: `Company ${at}`, erp_vat: `V${at}` });

/** So many companies on both sides, and some in the crm alone; a resync of the crm has shown all but the first `gone`. */
function readAgain(linked: number, gone: number, alone = 0): Conversation {
  const talk = new Conversation(plan);
  const all = Array.from({ length: linked + alone }, (_, at) => at);
  talk.snapshot('crm', 'company', all.map(crm));
  talk.snapshot('erp', 'company', all.slice(0, linked).map(erp));
  talk.end('crm', 'company', 'gap', 'answered');
  talk.end('crm', 'company', 'snapshot-begin');
  for (const at of all.slice(gone, linked)) talk.read('crm', 'company', crm(at));
  return talk;
}

function limitedTo(vanished: VanishedLimit): SyncPlan {
  const [company] = plan.entities;
  const systems = { ...company!.systems, crm: { ...company!.systems['crm']!, vanished } };
  return { ...plan, entities: [{ ...company!, systems }] };
}

const judge = ({ state }: Conversation, of: SyncPlan = plan, within: TaskContext = context) =>
  new VanishedBrake(within, of).judge(state, END);

describe('a reading that misses linked records', () => {
  it('is believed up to a fifth of them, however many they are, and not beyond', async () => {
    expect(await judge(readAgain(1200, 240))).toBe('decide');
    await expect(judge(readAgain(1200, 241))).rejects.toMatchObject({
      code: 'RECORDS_VANISHED',
      retry: 'operator',
      message: expect.stringContaining('no longer shows 241 of 1200 linked records of company (20.1 %)'),
      hint: expect.stringContaining('duolog resync crm --allow-deletes'),
    });
  });

  it('is believed where they are few, and not from twenty on', async () => {
    expect(await judge(readAgain(30, 19))).toBe('decide');
    await expect(judge(readAgain(30, 20))).rejects.toMatchObject({ code: 'RECORDS_VANISHED' });
  });

  it('is measured by records that another system has too', async () => {
    // What is the crm's alone is nowhere to be deleted.
    expect(await judge(readAgain(30, 0, 60))).toBe('decide');
  });

  it('is measured as the configuration says', async () => {
    await expect(judge(readAgain(10, 1), limitedTo({ records: 1, percent: 0 }))).rejects.toMatchObject({
      code: 'RECORDS_VANISHED',
    });
    expect(await judge(readAgain(100, 100), limitedTo({ records: 1, percent: 100 }))).toBe('decide');
  });

  it('is decided, or left to the reading to come, where a request says so that this entity has been asked for with', async () => {
    const asked = (request: Partial<RequestRecord>) => {
      const ends = { [topics.change('crm', 'company')]: 7 };
      const whole = { system: 'crm', id: 'r', entities: null, time: 0, ends, allowDeletes: false, taken: null };
      return judge(readAgain(30, 30), plan, contextOf({ ...whole, ...request }));
    };
    expect(await asked({})).toBe('leave');
    expect(await asked({ allowDeletes: true })).toBe('decide');
    // The request of the very gap that the reading began with.
    await expect(asked({ id: 'answered' })).rejects.toMatchObject({ code: 'RECORDS_VANISHED' });
    // No reading of this entity will come of these.
    for (const allowDeletes of [false, true]) {
      for (const other of [{ entities: ['person'] }, { ends: {} }, { system: 'erp' }]) {
        await expect(asked({ ...other, allowDeletes })).rejects.toMatchObject({ code: 'RECORDS_VANISHED' });
      }
    }
  });

  it('is no matter where it is the first one, or nobody reads what is edited there', () => {
    const first = new Conversation(plan);
    first.end('crm', 'company', 'snapshot-begin');
    expect(new VanishedBrake(context, plan).concerns(first.state, END)).toBe(false);
    const again = readAgain(1, 1);
    expect(new VanishedBrake(context, plan).concerns(again.state, END)).toBe(true);
    const [company] = plan.entities;
    const columns = company!.systems['crm']!.columns.map((column) => ({ ...column, read: false }));
    const systems = { ...company!.systems, crm: { ...company!.systems['crm']!, columns } };
    const unread = { ...plan, entities: [{ ...company!, systems }] };
    expect(new VanishedBrake(context, unread).concerns(again.state, END)).toBe(false);
  });
});
