import { describe, expect, it } from 'vitest';
import { crm, decisions, erp, talkOf } from '../../support/city-companies.js';

/** Records that existed apart and become one, or that a policy had kept: what gives way stands in a decision (I10). */

describe('a first link of two existing records', () => {
  it.each([
    ['leading', 'leading', 'Köln', 'Ulm', 'Ulm'],
    ['leading, although empty', 'leading', 'Köln', null, null],
    ['empty fields filled', 'fill', 'Köln', null, 'Köln'],
    ['newest without times: leading', 'newest', 'Köln', 'Ulm', 'Ulm'],
  ] as const)('%s', (_, first, left, right, city) => {
    const talk = talkOf({ first });
    talk.snapshot('crm', 'company', [crm(left)]);
    talk.snapshot('erp', 'company', [erp(right)]);
    expect(talk.link('crm', 'company', 'c').canonical['city']).toBe(city);
  });

  it('what two systems had cleared is filled with a decision (I10)', () => {
    const talk = talkOf({ first: 'fill' }, { systems: { crm: {}, erp: {}, web: {} } });
    talk.snapshot('crm', 'company', [crm('Bonn')]);
    talk.snapshot('erp', 'company', [erp('Bonn')]);
    talk.update('crm', 'company', null, crm(null));
    talk.apply('erp');
    const outputs = talk.snapshot('web', 'company', [{ id: 'w', web_name: 'Acme', web_city: 'Ulm', web_zip: '1' }]);
    expect(decisions(outputs)).toMatchObject([{ decision: 'first-link', group: 'city', winner: 'web' }]);
  });

  it('so is what was cleared while the record was on its way to another system (I10)', () => {
    const talk = talkOf({ first: 'fill' }, { systems: { crm: {}, erp: {}, web: {} } }).begin();
    talk.insert('crm', 'company', crm('Bonn'));
    talk.update('crm', 'company', null, crm(null));
    talk.insert('erp', 'company', erp('Ulm'));
    const outputs = talk.refuse('erp');
    expect(decisions(outputs)).toMatchObject([{ decision: 'first-link', group: 'city', winner: 'erp' }]);
  });

  it('so is what was cleared in a record that a policy had kept (I10)', () => {
    const talk = talkOf(
      { policy: 'newest', first: 'fill' },
      { systems: { crm: {}, erp: {}, web: { written: false } } },
    );
    talk.begin();
    talk.insert('web', 'company', { id: 'w', web_name: 'Acme', web_city: 'Bonn', web_zip: '1' });
    talk.apply('crm');
    talk.apply('erp');
    const keyIn = (system: string) => talk.state.links()[0]!.members[system]!.key!;
    talk.delete('crm', 'company', { ...crm('Bonn'), id: keyIn('crm') });
    talk.update('web', 'company', null, { id: 'w', web_name: 'Acme', web_city: null, web_zip: '1' });
    const outputs = talk.update('erp', 'company', null, { ...erp('Ulm'), id: keyIn('erp') });
    expect(decisions(outputs).map(({ decision, group }) => [decision, group])).toContainEqual(['first-link', 'city']);
  });

  it('an edit made before the two met is none that had seen what the other side cleared since (I10)', () => {
    const talk = talkOf({ first: 'leading' });
    talk.snapshot('erp', 'company', [erp('Ulm')]);
    talk.snapshot('crm', 'company', [crm('Bonn')]);
    talk.update('erp', 'company', null, erp(null));
    const outputs = talk.update('crm', 'company', null, crm('Köln'));
    expect(decisions(outputs)).toMatchObject([
      { decision: 'conflict', group: 'city', winner: 'erp', fields: [{ agreed: null }] },
    ]);
    expect(talk.link('crm', 'company', 'c').canonical['city']).toBeNull();
  });

  it('newest by a mapped updated-date', () => {
    const talk = talkOf(
      { first: 'newest' },
      { systems: { crm: { updatedColumn: 'changed' }, erp: { updatedColumn: 'changed' } } },
    );
    talk.snapshot('crm', 'company', [{ ...crm('Köln'), changed: 200 }]);
    talk.snapshot('erp', 'company', [{ ...erp('Ulm'), changed: 100 }]);
    expect(talk.link('crm', 'company', 'c').canonical['city']).toBe('Köln');
  });
});
