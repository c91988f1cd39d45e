import { describe, expect, it } from 'vitest';
import { cursorKey, linkKey, SYNC_KEY, syncRecord } from '../../../src/decision/state.js';
import { begin, crm, holds, paired } from '../../support/vat-companies.js';
import { Conversation, planOf } from '../../support/decision-fixtures.js';

/** What was too large for a message is not known, and not null (I13). */

describe('I13: nothing is dropped, however large', () => {
  const tooLarge = { unchanged: ['crm_name'], oversize: ['crm_name'] };

  it('a row too large for a message is held, and gets no command, until it fits again', () => {
    const talk = paired();
    expect(holds(talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge))).toEqual(['crm oversize']);
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Elsewhere', erp_vat: 'V1' });
    expect(talk.commands).toEqual([]);
    const outputs = talk.update('crm', 'company', null, crm('1', 'Fits'));
    expect(holds(outputs)).toEqual(['crm ends']);
    expect(talk.take('erp').command.set).toEqual({ erp_name: 'Fits' });
  });

  it('a new record too large for a message is inserted nowhere until it fits', () => {
    const talk = begin();
    const outputs = talk.insert('crm', 'company', { id: '1', crm_vat: 'V1' }, tooLarge);
    expect(holds(outputs)).toEqual(expect.arrayContaining(['crm oversize', 'erp oversize']));
    expect(talk.commands).toEqual([]);
    talk.update('crm', 'company', null, crm('1', 'Fits'));
    expect(talk.take('erp').command).toMatchObject({ operation: 'insert', set: { erp_name: 'Fits' } });
  });

  it('what is too large for a message stays held while other columns change', () => {
    const talk = paired();
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Elsewhere', erp_vat: 'V1' });
    const later = talk.update('crm', 'company', null, { id: '1', crm_vat: 'V2' }, { unchanged: ['crm_name'] });
    expect(holds(later)).toEqual([]);
    expect(talk.commands.map(({ system, command }) => [system, command.set])).toEqual([['erp', { erp_vat: 'V2' }]]);
  });

  it('a record too large for a message takes nothing from the one that it joins', () => {
    const talk = begin();
    talk.insert('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    talk.refuse('crm', null, null);
    talk.insert('crm', 'company', { id: '1', crm_vat: 'V1' }, tooLarge);
    expect(talk.commands).toEqual([]);
    expect(talk.link('erp', 'company', '1000').canonical['name']).toBe('Acme');
  });

  it('a write of ours that comes back without what we wrote, for its size, is as we wrote it', () => {
    const talk = paired();
    talk.update('crm', 'company', null, crm('1', 'Large'));
    const { command } = talk.take('erp');
    const origin = { sync: talk.plan.name, command: command.id, link: command.link };
    const unsent = { unchanged: ['erp_name'], oversize: ['erp_name'] };
    talk.update('erp', 'company', null, { id: '1000', erp_vat: 'V1' }, { ...unsent, origin });
    expect(talk.seen('erp', 'company', '1000')).toMatchObject({ erp_name: 'Large' });
    expect(talk.commands).toEqual([]);
  });

  it('is not deleted either: who deleted its other has not seen what it holds', () => {
    const talk = paired();
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    expect(talk.commands).toEqual([]);
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V2' }, { unchanged: ['crm_name'] });
    expect(talk.commands.map(({ system }) => system)).toEqual(['erp']);
    talk.apply('erp');
    talk.update('crm', 'company', null, { id: '1', crm_name: 'Fits', crm_vat: 'V2' });
    expect(talk.commands.map(({ system, command }) => [system, command.set])).toEqual([['erp', { erp_name: 'Fits' }]]);
  });

  it('keeps its hold where the policy parts it from its link', () => {
    const talk = paired({ crm: { delete: 'unlink' }, erp: {} });
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    expect(talk.link('crm', 'company', '1').members['crm']!.holds).toMatchObject([{ reason: 'oversize' }]);
    expect(talk.commands).toEqual([]);
  });

  it('a value that was never told is as unknown as one that was too large', () => {
    const talk = begin({ crm: { softDelete: true, delete: 'soft' }, erp: {} });
    const unsent = { unchanged: ['crm_name'] };
    const outputs = talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1', gone: 0 }, unsent);
    expect(holds(outputs)).toEqual(expect.arrayContaining(['crm oversize', 'erp oversize']));
    expect(talk.commands).toEqual([]);
  });

  it('what a write of ours leaves too large to be sent is unknown, but for what we wrote', () => {
    const talk = paired();
    talk.update('crm', 'company', null, { id: '1', crm_name: 'Acme', crm_vat: 'V2' });
    const { command } = talk.take('erp');
    const origin = { sync: talk.plan.name, command: command.id, link: command.link };
    const unsent = { unchanged: ['erp_name', 'erp_vat'], oversize: ['erp_name', 'erp_vat'] };
    expect(holds(talk.update('erp', 'company', null, { id: '1000' }, { ...unsent, origin }))).toEqual(['erp oversize']);
    expect(talk.seen('erp', 'company', '1000')).toEqual({ id: '1000', erp_vat: 'V2' });
  });

  it('a column that came to the table after its rows were seen is empty, not unknown', () => {
    const talk = paired();
    const link = talk.link('crm', 'company', '1');
    const { crm_vat: _, ...seen } = link.members['crm']!.seen!;
    talk.state.put(linkKey(link.id), {
      ...link,
      members: { ...link.members, crm: { ...link.members['crm']!, seen } },
    });
    const sync = syncRecord(talk.state)!;
    const number = sync.lastCursor + 1;
    const work = { what: 'added-fields', system: 'crm', entity: 'company', fields: ['vat'] } as const;
    talk.state.put(cursorKey(number), { kind: 'cursor', number, work, after: null });
    talk.state.put(SYNC_KEY, { ...sync, lastCursor: number });
    talk.tell({ kind: 'continue' });
    expect(talk.seen('crm', 'company', '1')).toEqual({ id: '1', crm_name: 'Acme', crm_vat: null });
    expect(talk.link('crm', 'company', '1').members['crm']!.holds).toEqual([]);
  });

  it('the hold ends with whatever tells the value: our own write, too', () => {
    const talk = paired();
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Acme', erp_vat: 'V2' });
    const { command } = talk.take('crm');
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    const origin = { sync: talk.plan.name, command: command.id, link: command.link };
    talk.update('crm', 'company', null, { id: '1', crm_name: 'Long', crm_vat: 'V2' }, { origin });
    expect(talk.link('crm', 'company', '1').members['crm']!.holds).toEqual([]);
  });

  it('bars an insert only where nobody else has told the value', () => {
    const talk = begin({ crm: {}, erp: {}, shop: {} });
    talk.insert('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    talk.fail('shop');
    talk.fail('crm');
    talk.insert('crm', 'company', { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Better', erp_vat: 'V1' });
    expect(talk.commands.map(({ system, command }) => [system, command.operation, command.set])).toEqual([
      ['shop', 'insert', { shop_name: 'Better', shop_vat: 'V1' }],
    ]);
  });

  it('a group of which one value was unknown is taken whole once it is known', () => {
    const columns = { city: { column: 'crm_city', read: false } };
    const talk = new Conversation(
      planOf({
        entities: {
          place: {
            fields: { street: 'string', city: 'string' },
            groups: { address: ['street', 'city'] },
            systems: { crm: { columns }, erp: {} },
          },
        },
      }),
    ).begin();
    const unsent = { unchanged: ['crm_city'], oversize: ['crm_city'] };
    talk.insert('crm', 'place', { id: '1', crm_street: 'Dam' }, unsent);
    expect(talk.commands).toEqual([]);
    talk.update('crm', 'place', null, { id: '1', crm_street: 'Dam', crm_city: 'Amsterdam' });
    expect(talk.take('erp').command.set).toEqual({ erp_street: 'Dam', erp_city: 'Amsterdam' });
  });
});
