import { describe, expect, it } from 'vitest';
import { Conversation, planOf } from '../../support/decision-fixtures.js';

const plan = planOf({
  leading: ['erp', 'crm'],
  entities: {
    company: {
      fields: { name: 'string', vat: 'string' },
      match: [['vat']],
      conflict: { policy: 'newest', withinMicros: 0 },
      systems: { crm: {}, erp: {} },
    },
  },
});
const company = (id: string, name: string, vat: string) => ({ id, crm_name: name, crm_vat: vat });

describe('the common path', () => {
  it('an insert here becomes an insert there, with the match value expected absent', () => {
    const talk = new Conversation(plan).begin();
    talk.insert('crm', 'company', company('1', 'Acme', 'V1'));
    expect(talk.command('erp')).toMatchObject({
      operation: 'insert',
      key: null,
      set: { erp_name: 'Acme', erp_vat: 'V1' },
      absent: [{ erp_vat: 'V1' }],
    });
    talk.apply('erp', { id: '7' });
    expect(talk.commands).toEqual([]);
    expect(talk.link('crm', 'company', '1').members['erp']).toMatchObject({ key: '7', agreed: {} });
  });

  it('an edit becomes one command with the values seen as expectation', () => {
    const talk = new Conversation(plan).begin();
    talk.insert('crm', 'company', company('1', 'Acme', 'V1'));
    talk.settle();
    talk.update('crm', 'company', null, company('1', 'Acme Ltd', 'V1'));
    expect(talk.command('erp')).toMatchObject({
      operation: 'update',
      set: { erp_name: 'Acme Ltd' },
      expect: { erp_name: 'Acme' },
    });
    const outputs = talk.apply('erp');
    expect(outputs).toEqual([]);
  });

  it('a deletion becomes a deletion, and the link a tombstone', () => {
    const talk = new Conversation(plan).begin();
    talk.insert('crm', 'company', company('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', company('1', 'Acme', 'V1'));
    expect(talk.command('erp')).toMatchObject({ operation: 'delete', expect: { erp_name: 'Acme', erp_vat: 'V1' } });
    talk.settle();
    expect(talk.state.links()).toMatchObject([{ existence: 'deleted' }]);
    expect(talk.state.links()[0]!.tombstoneMicros).not.toBeNull();
  });
});
