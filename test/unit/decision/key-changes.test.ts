import { describe, expect, it } from 'vitest';
import type { DecisionOutput, Output } from '../../../src/decision/outputs.js';
import { Conversation, planOf, type EntityOptions } from '../../support/decision-fixtures.js';

/** Rule 11, and what may come between the two halves of a key change. */

function talkOf(entity: Partial<EntityOptions> = {}) {
  const systems = { crm: {}, erp: {} };
  return new Conversation(
    planOf({
      leading: ['erp', 'crm'],
      entities: { company: { fields: { name: 'string', vat: 'string' }, match: [['vat']], systems, ...entity } },
    }),
  );
}

const crm = (id: string, name: string, vat: string | null) => ({ id, crm_name: name, crm_vat: vat });
const erp = (id: string, name: string, vat: string | null) => ({ id, erp_name: name, erp_vat: vat });
const decisions = (outputs: readonly Output[]) =>
  outputs.filter((one): one is DecisionOutput => one.kind === 'decision');

describe('rule 11: key changes', () => {
  it('a delete and an insert in one transaction with equal match values are one', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'), { transaction: 'one', open: true });
    talk.insert('crm', 'company', crm('2', 'Renamed', 'V1'), { transaction: 'one' });
    talk.end('crm', 'company', 'transaction', 'one');
    expect(talk.commands.map(({ command }) => command.set)).toEqual([{ erp_name: 'Renamed' }]);
    expect(talk.link('crm', 'company', '2').members['crm']?.formerKeys).toEqual(['1']);
  });

  it('between its two halves another system deletes its record: the second half is an edit against that deletion', () => {
    const talk = talkOf({ conflict: { policy: 'newest' } }).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.apply('erp', { id: '7' });
    talk.delete('erp', 'company', erp('7', 'Acme', 'V1'), { transaction: 'one', open: true });
    const { timeMicros } = talk;
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    const second = erp('8', 'Edited', 'V1');
    const outputs = talk.insert('erp', 'company', second, { transaction: 'one', commitTimeMicros: timeMicros });
    expect(decisions(outputs)).toMatchObject([
      {
        decision: 'update-delete',
        winner: 'crm',
        fields: [
          {
            field: 'name',
            sides: [
              { system: 'crm', key: '1', absent: true },
              { key: '8', value: 'Edited' },
            ],
          },
        ],
      },
    ]);
    talk.end('erp', 'company', 'transaction', 'one');
    expect(talk.command('erp')).toMatchObject({ operation: 'delete', key: '8' });
  });

  it('no delete command leaves before the end of the transaction', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'), { transaction: 'one', open: true });
    expect(talk.commands).toEqual([]);
    talk.end('crm', 'company', 'transaction', 'one');
    expect(talk.command('erp').operation).toBe('delete');
  });

  it('a key change that the system tells keeps the link', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'), { keyChange: { to: '2' }, transaction: 'one', open: true });
    talk.update('crm', 'company', null, crm('2', 'Acme', 'V1'), { keyChange: { from: '1' }, transaction: 'one' });
    talk.end('crm', 'company', 'transaction', 'one');
    expect(talk.link('crm', 'company', '2').members['erp']?.key).toBe('1000');
    expect(talk.commands).toEqual([]);
  });

  it("so does one of our own, whose first half has no command: it is nobody's deletion", () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle().update('crm', 'company', null, crm('1', 'Acme 2', 'V1'));
    const { command } = talk.take('erp');
    const before = erp('1000', 'Acme', 'V1');
    const beside = { sync: 'sync', command: null, link: null };
    talk.delete('erp', 'company', before, {
      keyChange: { to: '1001' },
      origin: beside,
      transaction: 'one',
      open: true,
    });
    expect(talk.link('erp', 'company', '1000').existence).toBe('present');
    talk.update('erp', 'company', null, erp('1001', 'Acme 2', 'V1'), {
      keyChange: { from: '1000' },
      origin: { sync: 'sync', command: command.id, link: command.link },
      transaction: 'one',
    });
    const outputs = talk.end('erp', 'company', 'transaction', 'one');
    const link = talk.link('erp', 'company', '1001');
    expect([link.existence, link.deletions, link.members['erp']?.formerKeys]).toEqual(['present', [], ['1000']]);
    expect([talk.commands, decisions(outputs)]).toEqual([[], []]);
  });
});
