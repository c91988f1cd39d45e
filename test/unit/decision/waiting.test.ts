import { describe, expect, it } from 'vitest';
import type { WaitingRecord } from '../../../src/decision/state.js';
import { Conversation, planOf } from '../../support/decision-fixtures.js';

const company = () =>
  new Conversation(
    planOf({
      leading: ['erp', 'crm'],
      entities: {
        company: { fields: { name: 'string', vat: 'string' }, match: [['vat']], systems: { crm: {}, erp: {} } },
      },
    }),
  );
const crm = (id: string, name: string, vat: string) => ({ id, crm_name: name, crm_vat: vat });
const erp = (id: string, name: string, vat: string) => ({ id, erp_name: name, erp_vat: vat });

describe('rule 4: a record that may be our insert in flight waits', () => {
  it('with all that follows on it, and takes the link if the insert was refused', () => {
    const talk = company().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    expect(talk.insert('erp', 'company', erp('7', 'User', 'V1'))).toEqual([]);
    expect(talk.update('erp', 'company', null, erp('7', 'User 2', 'V1'))).toEqual([]);
    talk.refuse('erp', erp('7', 'User 2', 'V1'), '7');
    expect(talk.link('erp', 'company', '7').members['crm']?.key).toBe('1');
    expect(talk.state.all().some(({ kind }) => kind === 'waiting')).toBe(false);
  });

  it('and is a duplicate if the insert was applied', () => {
    const talk = company().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'User', 'V1'));
    expect(talk.apply('erp', { id: '8' })).toContainEqual(
      expect.objectContaining({ kind: 'hold', system: 'crm', hold: expect.objectContaining({ reason: 'duplicate' }) }),
    );
    expect(talk.link('erp', 'company', '8').members['crm']?.key).toBe('1');
  });

  it('bounded: at the limit updates are drawn together', () => {
    const talk = company().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'User', 'V1'));
    for (let at = 0; at < 300; at++) talk.update('erp', 'company', null, erp('7', `User ${at}`, 'V1'));
    expect(talk.state.all().find(({ kind }) => kind === 'waiting')).toMatchObject({ events: { length: 100 } });
    talk.refuse('erp');
    expect(talk.seen('erp', 'company', '7')).toMatchObject({ erp_name: 'User 299' });
  });

  it('bounded by what they hold, too', () => {
    const talk = company().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'User', 'V1'));
    for (const letter of 'abcdefgh') talk.update('erp', 'company', null, erp('7', letter.repeat(1 << 20), 'V1'));
    expect(talk.state.all().find(({ kind }) => kind === 'waiting')).toMatchObject({ events: { length: 4 } });
    talk.refuse('erp');
    expect(talk.seen('erp', 'company', '7')).toMatchObject({ erp_name: 'h'.repeat(1 << 20) });
  });

  it('bounded: what the second of two did not send is as the first has it', () => {
    const talk = company().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'User', 'V1'));
    for (let at = 0; at < 99; at++) talk.update('erp', 'company', null, erp('7', `User ${at}`, 'V1'));
    talk.update('erp', 'company', null, { id: '7', erp_vat: 'V2' }, { unchanged: ['erp_name'] });
    expect(talk.state.all().find(({ kind }) => kind === 'waiting')).toMatchObject({ events: { length: 100 } });
    talk.refuse('erp');
    expect(talk.seen('erp', 'company', '7')).toMatchObject({ erp_name: 'User 98', erp_vat: 'V2' });
  });

  it('bounded: what stood before a deletion goes first, and what was too large for a message stays unknown', () => {
    const talk = company().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'User', 'V1'));
    for (let at = 0; at < 98; at++) talk.update('erp', 'company', null, erp('7', `User ${at}`, 'V1'));
    talk.delete('erp', 'company', erp('7', 'User 97', 'V1'));
    talk.insert('erp', 'company', erp('7', 'Again', 'V1'));
    expect(talk.state.all().find(({ kind }) => kind === 'waiting')).toMatchObject({ events: { length: 1 } });
    for (let at = 0; at < 99; at++) talk.update('erp', 'company', null, erp('7', `Again ${at}`, 'V1'));
    const tooLarge = { unchanged: ['erp_name'], oversize: ['erp_name'] };
    talk.update('erp', 'company', null, { id: '7', erp_vat: 'V1' }, tooLarge);
    const waiting = talk.state.all().find(({ kind }) => kind === 'waiting');
    expect(waiting).toMatchObject({ events: { length: 100 } });
    expect((waiting as WaitingRecord).events.at(-1)).toMatchObject(tooLarge);
    expect((waiting as WaitingRecord).events.at(-1)!.after).not.toHaveProperty('erp_name');
  });
});
