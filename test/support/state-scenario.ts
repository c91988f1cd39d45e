import { decide } from '../../src/decision/decide.js';
import type { StateRecord } from '../../src/decision/state.js';
import { Conversation, planOf } from './decision-fixtures.js';

/** A plan with what a state can hold: references, groups, conflicts held for a person. */
export const scenarioPlan = planOf({
  leading: ['erp', 'crm'],
  entities: {
    company: {
      fields: { name: 'string', vat: 'string', city: 'string', street: 'string' },
      groups: { address: ['city', 'street'] },
      match: [['vat']],
      conflict: { policy: 'hold', first: 'leading' },
      systems: { crm: {}, erp: {} },
    },
    person: {
      fields: { name: 'string', company: { kind: 'reference', entity: 'company' } },
      match: [['name']],
      systems: { crm: {}, erp: {} },
    },
  },
});

const crm = (id: string, name: string, vat: string | null, city: string | null = null) => ({
  id,
  crm_name: name,
  crm_vat: vat,
  crm_city: city,
  crm_street: null,
});
const erp = (id: string, name: string, vat: string | null, city: string | null = null) => ({
  id,
  erp_name: name,
  erp_vat: vat,
  erp_city: city,
  erp_street: null,
});

/** A state with a record of every kind, and links in every stage of their lives; each time the same. */
export function scenario(): Conversation {
  const talk = new Conversation(scenarioPlan);
  talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1'), crm('2', 'Beta', 'V2'), crm('3', 'Gamma', 'V3')]);
  talk.snapshot('erp', 'company', [
    erp('7', 'Acme Ltd', 'V1', 'Bonn'),
    erp('8', 'Beta', 'V2'),
    erp('9', 'Delta', 'V4'),
  ]);
  talk.snapshot('crm', 'person', [{ id: '1', crm_name: 'Ann', crm_company: '1' }]);
  talk.snapshot('erp', 'person', [{ id: '5', erp_name: 'Bob', erp_company: '99' }]);
  talk.settle();
  // A conflict that is held, a failed command, a deletion that is not over, one that is, and a tombstone.
  talk.update('crm', 'company', null, crm('1', 'Acme of the crm', 'V1', 'Bonn'));
  talk.update('erp', 'company', null, erp('7', 'Acme of the erp', 'V1', 'Bonn'));
  talk.refuse('erp');
  talk.insert('erp', 'company', erp('20', 'Epsilon', 'V20', 'Köln'));
  talk.fail('crm', { constraint: 'company_name', code: '23514' });
  talk.delete('erp', 'company', erp('8', 'Beta', 'V2'), { open: true });
  talk.delete('erp', 'company', erp('9', 'Delta', 'V4'));
  talk.apply('crm');
  // Two links that turn out to be one, and a command that is still to come.
  talk.insert('crm', 'company', crm('31', 'Zeta', 'V30'));
  talk.settle();
  talk.insert('crm', 'company', crm('32', 'Eta', null));
  talk.insert('erp', 'company', erp('33', 'Eta', 'V33'));
  talk.update('crm', 'company', crm('32', 'Eta', null), crm('32', 'Eta', 'V33'));
  talk.insert('erp', 'company', erp('40', 'Theta', 'V40', 'Ulm'));
  // A record that waits for the outcome of an insert that it may be.
  talk.insert('crm', 'company', crm('41', 'Theta of a user', 'V40'));
  talk.insert('crm', 'person', { id: '2', crm_name: 'Cleo', crm_company: '41' });
  // Work that is left for later: more links than one event may touch.
  const end = { system: 'crm', entity: 'person', commitTimeMicros: null, position: '00009999', transaction: 'r' };
  decide(talk.state, { kind: 'end', ...end, end: 'snapshot-begin' }, scenarioPlan);
  decide(talk.state, { kind: 'end', ...end, end: 'snapshot' }, scenarioPlan, { visits: 0, consequences: 0 });
  return talk;
}

export function recordsOf(talk: Conversation): readonly StateRecord[] {
  return talk.state.all();
}
