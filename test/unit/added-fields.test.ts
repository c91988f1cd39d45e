import { describe, expect, it } from 'vitest';
import { adoptConfiguration } from '../../src/decision/added-fields.js';
import { CONFIGURATION_KEY, initialState, SYNC_KEY, syncRecord, type StateRecord } from '../../src/decision/state.js';
import type { EntityPlan, SyncPlan } from '../../src/plan/plan.js';
import type { State } from '../../src/state/contract.js';

const company = { name: 'company', systems: { crm: {}, erp: {} } } as unknown as EntityPlan;
const plan: SyncPlan = {
  name: 's',
  prefix: 'p',
  leading: ['erp', 'crm'],
  systems: ['crm', 'erp'],
  entities: [company],
  fingerprint: 'new',
  fingerprintParts: { sync: '1', 'field.company.name': '2', 'field.company.city': '3' },
};

function stateOf(fingerprintParts: Readonly<Record<string, string>>): State<StateRecord> & Map<string, StateRecord> {
  const records = new Map<string, StateRecord>();
  const state = Object.assign(records, {
    put: (key: string, record: StateRecord) => void records.set(key, record),
    indexed: () => [],
  });
  initialState(state, { birth: 'b', fingerprint: 'old', fingerprintParts });
  return state;
}

describe('a state and the configuration it is used with (I16)', () => {
  it('takes added fields over from each system, the leading one first', () => {
    const state = stateOf({ sync: '1', 'field.company.name': '2' });
    adoptConfiguration(state, plan);
    expect(syncRecord(state)).toMatchObject({ fingerprint: 'new', nextCursor: 1, lastCursor: 2 });
    expect(state.get(CONFIGURATION_KEY)).toMatchObject({ parts: plan.fingerprintParts });
    const works = [...state.values()].flatMap((record) => (record.kind === 'cursor' ? [record.work] : []));
    expect(works).toEqual([
      { what: 'added-fields', system: 'erp', entity: 'company', fields: ['city'] },
      { what: 'added-fields', system: 'crm', entity: 'company', fields: ['city'] },
    ]);
  });

  it('is refused with anything else that changed, by name', () => {
    const state = stateOf({ sync: '0', 'field.company.name': '2', 'field.company.fax': '4' });
    const before = new Map(state);
    expect(() => adoptConfiguration(state, plan)).toThrowError(/field\.company\.city, field\.company\.fax, sync/);
    expect(new Map(state)).toEqual(before);
  });

  it('is left alone under its own', () => {
    const state = stateOf(plan.fingerprintParts);
    state.put(SYNC_KEY, { ...syncRecord(state)!, fingerprint: 'new' });
    const before = new Map(state);
    adoptConfiguration(state, plan);
    expect(new Map(state)).toEqual(before);
  });
});
