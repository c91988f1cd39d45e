import { describe, expect, it } from 'vitest';
import type { DecisionOutput, Output } from '../../../src/decision/outputs.js';
import { Conversation, planOf } from '../../support/decision-fixtures.js';

/** Rule 10 and the gate I12: first snapshots, and resyncs that stop nothing. */

const plan = planOf({
  leading: ['erp', 'crm'],
  entities: {
    company: {
      fields: { name: 'string', vat: 'string' },
      match: [['vat']],
      conflict: { policy: 'newest', first: 'leading' },
      systems: { crm: {}, erp: {} },
    },
  },
});
const crm = (id: string, name: string, vat: string) => ({ id, crm_name: name, crm_vat: vat });
const erp = (id: string, name: string, vat: string) => ({ id, erp_name: name, erp_vat: vat });
const decisions = (outputs: readonly Output[]) =>
  outputs.filter((one): one is DecisionOutput => one.kind === 'decision');
const links = (talk: Conversation) =>
  talk.state
    .links()
    .map(({ existence, members }) => [existence, members['crm']?.key ?? null, members['erp']?.key ?? null]);

describe('rule 10: the first snapshot', () => {
  it('no match and no command before its end', () => {
    const talk = new Conversation(plan);
    talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
    talk.end('crm', 'company', 'snapshot-begin');
    expect(talk.read('crm', 'company', crm('1', 'ACME', 'V1')).filter(({ kind }) => kind !== 'hold')).toEqual([]);
    expect(links(talk)).toHaveLength(2);
    const outputs = talk.end('crm', 'company', 'snapshot');
    expect(links(talk)).toEqual([['present', '1', '7']]);
    expect(decisions(outputs)).toMatchObject([{ decision: 'first-link', winner: 'erp', group: 'name' }]);
    expect(talk.command('crm').set).toEqual({ crm_name: 'Acme' });
  });

  it('subscribers see a record once it is matched, never doubles', () => {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1')]);
    talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
    const told = talk.outputs.filter(({ kind }) => kind === 'canonical');
    expect(new Set(told.map((one) => one.kind === 'canonical' && one.link)).size).toBe(1);
  });

  it('matches by the present value, then by the first one seen', () => {
    const talk = new Conversation(plan);
    talk.end('crm', 'company', 'snapshot-begin');
    talk.update('crm', 'company', crm('1', 'Acme', 'V1'), crm('1', 'Acme', 'V9'));
    talk.end('crm', 'company', 'snapshot');
    talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
    expect(links(talk)).toEqual([['present', '1', '7']]);
  });

  it('then the deletions seen meanwhile, under the delete policy', () => {
    const talk = new Conversation(plan);
    talk.end('crm', 'company', 'snapshot-begin');
    talk.read('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.end('crm', 'company', 'snapshot');
    const outputs = talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
    expect(talk.command('erp').operation).toBe('delete');
    expect(decisions(outputs)).toMatchObject([{ decision: 'update-delete', winner: 'crm' }]);
  });

  it('what was created meanwhile is not meant by such a deletion', () => {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', []);
    talk.end('erp', 'company', 'snapshot-begin');
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'New', 'V1'));
    talk.end('erp', 'company', 'snapshot');
    expect(talk.command('crm').operation).toBe('insert');
  });

  it('a first event with a before-image is that image followed by the edit', () => {
    const talk = new Conversation(plan);
    talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
    talk.snapshot('crm', 'company', []);
    talk.settle();
    talk.delete('crm', 'company', { id: '1000', crm_name: 'Acme', crm_vat: 'V1' });
    talk.settle();
    const outputs = talk.update('crm', 'company', crm('5', 'Old', 'V5'), crm('5', 'New', 'V5'));
    expect(outputs.find(({ kind }) => kind === 'command')).toMatchObject({ command: { set: { erp_name: 'New' } } });
  });

  it('many links go in steps of one event each, by continue', () => {
    const talk = new Conversation(plan);
    const rows = Array.from({ length: 350 }, (_, at) => String(at));
    talk.snapshot(
      'crm',
      'company',
      rows.map((at) => crm(at, `crm ${at}`, `V${at}`)),
    );
    talk.snapshot(
      'erp',
      'company',
      rows.map((at) => erp(at, `erp ${at}`, `V${at}`)),
    );
    expect(links(talk)).toHaveLength(350);
    expect(talk.commands).toHaveLength(350);
  });
});

describe('I12: no insert before the first snapshots have ended', () => {
  it('before all of a two-way entity have, on the very first start', () => {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1')]);
    talk.insert('crm', 'company', crm('2', 'Other', 'V2'));
    expect(talk.commands).toEqual([]);
    talk.snapshot('erp', 'company', []);
    expect(talk.commands.map(({ command }) => command.operation)).toEqual(['insert', 'insert']);
  });

  it('a target without capture counts as ended', () => {
    const oneWay = planOf({
      entities: {
        company: { fields: { name: 'string', vat: 'string' }, systems: { crm: {}, erp: { captured: false } } },
      },
    });
    const talk = new Conversation(oneWay);
    talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1')]);
    expect(talk.commands).toHaveLength(1);
  });
});

describe('rule 10: a resync stops nothing', () => {
  it('its rows merge; only keys that vanished wait for its end', () => {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1'), crm('2', 'Other', 'V2')]);
    talk.snapshot('erp', 'company', []);
    talk.settle();
    talk.end('crm', 'company', 'snapshot-begin');
    talk.read('crm', 'company', crm('1', 'Acme, missed', 'V1'));
    talk.insert('crm', 'company', crm('3', 'Third', 'V3'));
    expect(talk.commands.map(({ command }) => command.set['erp_name'])).toEqual(['Acme, missed', 'Third']);
    talk.settle();
    talk.end('crm', 'company', 'snapshot');
    expect(talk.commands).toMatchObject([{ command: { operation: 'delete', expect: { erp_name: 'Other' } } }]);
  });
});
