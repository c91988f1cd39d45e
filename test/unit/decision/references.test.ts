import { describe, expect, it } from 'vitest';
import type { DecisionOutput, HoldOutput, Output } from '../../../src/decision/outputs.js';
import { Conversation, planOf, type SystemOptions } from '../../support/decision-fixtures.js';

/** Rules 12 and 14: references, in whatever order the topics of different entities come. */

function talkOf(
  conflict: 'newest' | 'leading' = 'newest',
  systems: Readonly<Record<string, SystemOptions>> = { crm: {}, erp: {} },
  leading = ['erp', 'crm'],
) {
  return new Conversation(
    planOf({
      leading,
      entities: {
        company: { fields: { name: 'string' }, match: [['name']], conflict: { policy: conflict }, systems },
        person: {
          fields: { email: 'string', company: { kind: 'reference', entity: 'company' } },
          match: [['email']],
          conflict: { policy: conflict },
          systems,
        },
      },
    }),
  ).begin();
}

const company = (id: string, name: string) => ({ id, crm_name: name });
const person = (id: string, email: string, of: string | null) => ({ id, crm_email: email, crm_company: of });
const decisions = (outputs: readonly Output[]) =>
  outputs.filter((one): one is DecisionOutput => one.kind === 'decision');
const reasons = (outputs: readonly Output[]) =>
  outputs
    .filter((one): one is HoldOutput => one.kind === 'hold')
    .map(({ system, hold }) => `${system} ${hold?.reason ?? 'ends'}`);

describe('rule 12: a child waits for its parent, no event does', () => {
  it('the reference is kept by key until the parent has a link, then by link', () => {
    const talk = talkOf();
    expect(reasons(talk.insert('crm', 'person', person('p1', 'a@x', 'c1')))).toEqual(['erp parent-missing']);
    expect(talk.link('crm', 'person', 'p1').canonical['company']).toEqual({
      system: 'crm',
      entity: 'company',
      key: 'c1',
    });
    talk.insert('crm', 'company', company('c1', 'Acme'));
    expect(talk.link('crm', 'person', 'p1').canonical['company']).toEqual({
      link: talk.link('crm', 'company', 'c1').id,
    });
    expect(talk.commands).toHaveLength(1);
    expect(reasons(talk.apply('erp', { id: 'e7' }))).toEqual(['erp ends']);
    expect(talk.command('erp').set).toEqual({ erp_email: 'a@x', erp_company: 'e7' });
  });

  it('more children than one event may touch go on with continue', () => {
    const talk = talkOf();
    for (let at = 0; at < 260; at++) talk.insert('crm', 'person', person(`p${at}`, `${at}@x`, 'c1'));
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e7' });
    expect(talk.commands).toHaveLength(260);
  });

  it('an update of other fields does not wait', () => {
    const talk = talkOf();
    talk.insert('crm', 'person', person('p1', 'a@x', null));
    talk.settle();
    talk.update('crm', 'person', null, person('p1', 'b@x', 'c9'));
    expect(talk.command('erp').set).toEqual({ erp_email: 'b@x' });
    expect(talk.link('crm', 'person', 'p1').members['erp']?.holds).toMatchObject([]);
    talk.apply('erp');
    expect(talk.link('crm', 'person', 'p1').members['erp']?.holds).toMatchObject([
      { reason: 'parent-missing', group: 'company' },
    ]);
  });

  it('an edit of a reference is translated by links', () => {
    const talk = talkOf();
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.insert('crm', 'company', company('c2', 'Other'));
    talk.apply('erp', { id: 'e1' });
    talk.apply('erp', { id: 'e2' });
    talk.insert('crm', 'person', person('p1', 'a@x', 'c1'));
    talk.settle();
    talk.update('crm', 'person', null, person('p1', 'a@x', 'c2'));
    expect(talk.command('erp')).toMatchObject({ set: { erp_company: 'e2' }, expect: { erp_company: 'e1' } });
  });
});

describe('observing', () => {
  it('a child of what would be inserted would follow it', () => {
    const talk = talkOf();
    talk.plan = { ...talk.plan, observe: true };
    talk.insert('crm', 'person', person('p1', 'a@x', 'c1'));
    const outputs = talk.insert('crm', 'company', company('c1', 'Acme'));
    expect(reasons(outputs)).toEqual(['erp paused', 'erp paused']);
    talk.plan = { ...talk.plan, observe: false };
    talk.heartbeat(talk.timeMicros + 1);
    talk.settle();
    expect(talk.link('crm', 'person', 'p1').members['erp']!.seen).toMatchObject({ erp_email: 'a@x' });
  });
});

describe('rule 12: deletions', () => {
  function family() {
    const talk = talkOf();
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.insert('crm', 'person', person('p1', 'a@x', 'c1'));
    talk.apply('erp', { id: 'f1' });
    return talk;
  }

  it("a parent's delete waits for the deletes of its known children", () => {
    const talk = family();
    expect(reasons(talk.delete('crm', 'company', company('c1', 'Acme')))).toEqual(['erp children-exist']);
    talk.delete('crm', 'person', person('p1', 'a@x', 'c1'));
    expect(talk.commands.map(({ command }) => command.entity)).toEqual(['person']);
    talk.apply('erp');
    expect(talk.commands.map(({ command }) => command.entity)).toEqual(['company']);
  });

  it('a delete that failed because of children is tried again when a child goes', () => {
    const talk = talkOf('leading', { crm: {}, erp: {} }, ['crm', 'erp']);
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.delete('crm', 'company', company('c1', 'Acme'));
    talk.insert('erp', 'person', { id: 'f9', erp_email: 'b@x', erp_company: 'e1' });
    expect(reasons(talk.fail('erp', { code: '23503', constraint: 'person_company_fkey' }))).toContain(
      'erp children-exist',
    );
    talk.delete('erp', 'person', { id: 'f9', erp_email: 'b@x', erp_company: 'e1' });
    expect(talk.command('erp')).toMatchObject({ operation: 'delete', entity: 'company' });
  });

  it('also where the child went while the delete was on its way: its failure is past, the next one holds it', () => {
    const talk = talkOf('leading', { crm: {}, erp: {} }, ['crm', 'erp']);
    const refused = { code: '23503', constraint: 'person_company_fkey' };
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.delete('crm', 'company', company('c1', 'Acme'));
    talk.insert('erp', 'person', { id: 'f9', erp_email: 'b@x', erp_company: 'e1' });
    talk.delete('erp', 'person', { id: 'f9', erp_email: 'b@x', erp_company: 'e1' });
    expect(reasons(talk.fail('erp', refused))).toEqual([]);
    expect(talk.command('erp')).toMatchObject({ operation: 'delete', entity: 'company' });
    expect(reasons(talk.fail('erp', refused))).toEqual(['erp children-exist']);
  });

  it('a child under a deleted parent is an edit of that parent', () => {
    const talk = talkOf('newest');
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.delete('crm', 'company', company('c1', 'Acme'));
    const outputs = talk.insert('erp', 'person', { id: 'f9', erp_email: 'b@x', erp_company: 'e1' });
    expect(outputs.find(({ kind }) => kind === 'decision')).toMatchObject({
      decision: 'revived',
      winner: 'erp',
      entity: 'company',
    });
    talk.fail('erp', { code: '23503', constraint: 'person_company_fkey' });
    talk.apply('crm', { id: 'c2' });
    expect(talk.command('crm')).toMatchObject({ operation: 'insert', set: { crm_email: 'b@x', crm_company: 'c2' } });
  });

  it('a parent that lives again lets go the children that waited for it', () => {
    const systems = { crm: {}, erp: {}, web: {} };
    const talk = talkOf('newest', systems, ['erp', 'crm', 'web']);
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.apply('web', { id: 'w1' });
    talk.delete('crm', 'company', company('c1', 'Acme'));
    talk.fail('erp', { code: '23503', constraint: 'person_company_fkey' });
    talk.fail('web', { code: '23503', constraint: 'person_company_fkey' });
    // Known before the deletion, but only now in the stream (rule 14); then somebody puts another child under the parent.
    const late = { commitTimeMicros: 1 };
    talk.insert('erp', 'person', { id: 'f1', erp_email: 'a@x', erp_company: 'e1' }, late);
    expect(talk.link('erp', 'person', 'f1').members['web']?.holds).toMatchObject([{ reason: 'parent-missing' }]);
    talk.insert('erp', 'person', { id: 'f2', erp_email: 'b@x', erp_company: 'e1' });
    expect(talk.link('erp', 'person', 'f1').members['web']).toMatchObject({
      holds: [],
      inFlight: { operation: 'insert' },
    });
  });

  it('rule 14: also where the deletion comes after the child, which its system had not seen', () => {
    const talk = talkOf('leading');
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.insert('erp', 'person', { id: 'f9', erp_email: 'b@x', erp_company: 'e1' });
    const outputs = talk.delete('crm', 'company', company('c1', 'Acme'));
    expect(outputs.find(({ kind }) => kind === 'decision')).toMatchObject({ decision: 'update-delete', winner: 'erp' });
    expect(talk.commands.at(-1)).toMatchObject({ system: 'crm', command: { operation: 'insert', entity: 'company' } });
  });

  it("a deleted parent's key still leads to its link", () => {
    const talk = family();
    const parent = talk.link('crm', 'company', 'c1').id;
    talk.delete('crm', 'company', company('c1', 'Acme'));
    talk.insert('crm', 'person', person('p2', 'b@x', 'c1'));
    expect(talk.link('crm', 'person', 'p2').canonical['company']).toEqual({ link: parent });
  });

  it('a soft delete does not wait', () => {
    const talk = talkOf('newest', { crm: {}, erp: { delete: 'soft', softDelete: true } });
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1', gone: 0 });
    talk.insert('crm', 'person', person('p1', 'a@x', 'c1'));
    talk.apply('erp', { id: 'f1', gone: 0 });
    talk.delete('crm', 'company', company('c1', 'Acme'));
    expect(talk.command('erp')).toMatchObject({
      operation: 'update',
      set: { gone: 1 },
      expect: { erp_name: 'Acme', gone: 0 },
    });
  });
});

describe('the key by which one side names a parent comes to be another record', () => {
  it('where one side means another parent from now on, what the other side goes on to show is told (I10)', () => {
    const talk = talkOf();
    talk.insert('crm', 'company', company('c1', 'Acme'));
    talk.apply('erp', { id: 'e1' });
    talk.insert('erp', 'person', { id: 'p1', erp_email: 'a@x', erp_company: 'e1' });
    talk.apply('crm', { id: 'p2' });
    const parent = talk.link('crm', 'company', 'c1').id;
    talk.delete('erp', 'company', { id: 'e1', erp_name: 'Acme' });
    talk.update('crm', 'company', null, company('c1', 'Edited'));
    const outputs = talk.insert('erp', 'company', { id: 'e1', erp_name: 'Another' });
    expect(talk.link('erp', 'person', 'p1').canonical['company']).not.toEqual({ link: parent });
    expect(decisions(outputs)).toMatchObject([
      {
        decision: 'conflict',
        entity: 'person',
        winner: 'erp',
        fields: [{ field: 'company', sides: [{ system: 'erp' }, { system: 'crm', value: { link: parent } }] }],
      },
    ]);
  });
});

describe('a merged link leaves a redirect that references and outcomes follow', () => {
  it('children refer to the link that is left', () => {
    const talk = talkOf();
    talk.insert('crm', 'company', company('c1', 'one'));
    talk.fail('erp');
    talk.insert('erp', 'company', { id: 'e1', erp_name: 'two' });
    const inFlight = talk.take('crm').command;
    talk.outcome('crm', inFlight, {
      status: 'failed',
      key: null,
      code: 'x',
      message: 'x',
      constraint: null,
      column: null,
      blockingKey: null,
    });
    talk.insert('erp', 'person', { id: 'f1', erp_email: 'a@x', erp_company: 'e1' });
    talk.update('erp', 'company', null, { id: 'e1', erp_name: 'one' });
    expect(talk.link('erp', 'person', 'f1').canonical['company']).toEqual({
      link: talk.link('crm', 'company', 'c1').id,
    });
    expect(talk.command('crm').set).toEqual({ crm_email: 'a@x', crm_company: 'c1' });
  });

  it('of a link without records too, the merge is told: the reference goes elsewhere, and nothing else would say why', () => {
    const talk = talkOf('newest', { crm: { delete: 'soft', softDelete: true }, erp: {} });
    talk.insert('crm', 'company', { ...company('c1', 'one'), gone: 0 });
    talk.fail('erp');
    talk.insert('erp', 'company', { id: 'e2', erp_name: 'two' });
    talk.apply('crm', { id: 'c2' });
    const [one, two] = [talk.link('crm', 'company', 'c1').id, talk.link('crm', 'company', 'c2').id];
    // Its deletion is on its way to crm when somebody there puts a child under it, and renames the other company meanwhile.
    talk.delete('erp', 'company', { id: 'e2', erp_name: 'two' });
    talk.update('crm', 'company', null, { ...company('c1', 'two'), gone: 0 });
    talk.insert('crm', 'person', { ...person('p1', 'a@x', 'c2'), gone: 0 });
    expect(talk.link('crm', 'person', 'p1').canonical['company']).toEqual({ link: two });
    const outputs = talk.apply('crm');
    expect(outputs.filter(({ kind }) => kind === 'decision')).toMatchObject([
      {
        decision: 'merged-links',
        link: one,
        merged: two,
        fields: [{ sides: [{ system: 'crm', key: 'c1' }, { system: 'crm', key: 'c2', absent: true }, { key: 'e2' }] }],
      },
    ]);
    expect(talk.link('crm', 'person', 'p1').canonical['company']).toEqual({ link: one });
  });
});
