import { describe, expect, it } from 'vitest';
import type { DecisionOutput, HoldOutput, Output } from '../../../src/decision/outputs.js';
import type { LinkRecord } from '../../../src/decision/state.js';
import { Conversation, planOf, type EntityOptions, type SystemOptions } from '../../support/decision-fixtures.js';

/** The rules of docs/decision.md, each by its number; rule 4 is in waiting.test.ts. */

function talkOf(
  entity: Partial<EntityOptions> = {},
  systems: Readonly<Record<string, SystemOptions>> = { crm: {}, erp: {} },
) {
  return new Conversation(
    planOf({
      leading: ['erp', 'crm'],
      entities: { company: { fields: { name: 'string', vat: 'string' }, match: [['vat']], systems, ...entity } },
    }),
  );
}

const crm = (id: string, name: string, vat: string | null, more = {}) => ({
  id,
  crm_name: name,
  crm_vat: vat,
  ...more,
});
const erp = (id: string, name: string, vat: string | null, more = {}) => ({
  id,
  erp_name: name,
  erp_vat: vat,
  ...more,
});
const decisions = (outputs: readonly Output[]) =>
  outputs.filter((one): one is DecisionOutput => one.kind === 'decision');
const holds = (outputs: readonly Output[]) => outputs.filter((one): one is HoldOutput => one.kind === 'hold');
const reasons = (outputs: readonly Output[]) =>
  holds(outputs).map(({ system, hold }) => `${system} ${hold?.reason ?? 'ends'}`);

describe('rule 1: joining', () => {
  it('a record joins the only live link with its match value that has none there', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V 1'));
    talk.refuse('erp', erp('7', 'Acme', 'v1'), '7');
    talk.insert('erp', 'company', erp('7', 'Acme', 'v1'));
    expect(talk.link('crm', 'company', '1').id).toBe(talk.link('erp', 'company', '7').id);
  });

  it('else it gets a link of its own, held as duplicate', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    expect(reasons(talk.insert('crm', 'company', crm('2', 'Acme 2', 'V1')))).toContain('erp duplicate');
    expect(talk.commands).toEqual([]);
  });

  it('of several links that lack a record the oldest inserts', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'first', 'V1'));
    talk.insert('crm', 'company', crm('2', 'second', 'V1'));
    expect(talk.commands.map(({ command }) => command.set['erp_name'])).toEqual(['first']);
  });

  it('created again while other records of the deleted link exist, it joins that link', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    const outputs = talk.insert('crm', 'company', crm('2', 'Acme again', 'V1'));
    expect(decisions(outputs)).toMatchObject([{ decision: 'revived', winner: 'crm' }]);
    talk.refuse('erp');
    expect(talk.command('erp')).toMatchObject({ operation: 'update', set: { erp_name: 'Acme again' } });
    expect(talk.state.links()).toHaveLength(1);
  });
});

describe('rule 2: merging', () => {
  it('the only two live links with a match value that share no system become one, the younger a redirect', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.fail('erp');
    talk.insert('erp', 'company', erp('7', 'Acme Ltd', 'V2'));
    talk.fail('crm');
    const outputs = talk.update('erp', 'company', null, erp('7', 'Acme Ltd', 'V1'));
    expect(decisions(outputs)).toMatchObject([
      { decision: 'merged-links', group: null, merged: 'b.000000000002', winner: null },
      { decision: 'merged-links', group: 'name', merged: null, winner: 'erp' },
    ]);
    expect(talk.link('erp', 'company', '7').id).toBe(talk.link('crm', 'company', '1').id);
    expect(talk.state.all().filter(({ kind }) => kind === 'redirect')).toHaveLength(1);
    expect(talk.command('crm').set).toEqual({ crm_name: 'Acme Ltd' });
  });

  it('with an insert in flight to where the other has a record they do not', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.insert('erp', 'company', erp('7', 'Acme Ltd', 'V2'));
    talk.update('erp', 'company', null, erp('7', 'Acme Ltd', 'V1'));
    expect(talk.state.links()).toHaveLength(2);
    talk.refuse('erp', erp('7', 'Acme Ltd', 'V1'), '7');
    talk.refuse('crm');
    expect(talk.state.links()).toHaveLength(1);
  });

  it('held duplicates are released when a match value changes', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'first', 'V1'));
    talk.settle();
    talk.insert('crm', 'company', crm('2', 'second', 'V1'));
    const outputs = talk.update('crm', 'company', null, crm('2', 'second', 'V2'));
    expect(reasons(outputs).sort()).toEqual(['crm ends', 'erp ends']);
    expect(talk.command('erp')).toMatchObject({ operation: 'insert', set: { erp_vat: 'V2' } });
  });
});

describe('rule 3: no insert while a record there shows the match value', () => {
  it('whatever its link says: it may be about to be renamed', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'first', 'V1'));
    talk.settle();
    talk.update('crm', 'company', null, crm('1', 'first', 'V2'));
    // erp still shows V1 until the command is applied.
    expect(reasons(talk.insert('crm', 'company', crm('2', 'second', 'V1')))).toEqual(['erp duplicate']);
    talk.apply('erp');
    expect(talk.command('erp')).toMatchObject({ operation: 'insert', set: { erp_name: 'second' } });
  });
});

describe('rule 5: deletions can be lost like edits (I10)', () => {
  it('what keeps a record where another was deleted names the deletion', () => {
    const talk = talkOf({}, { crm: {}, erp: { delete: 'never' } }).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    const outputs = talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    expect(decisions(outputs)).toMatchObject([
      {
        decision: 'lost-deletion',
        fields: [{ sides: [{ system: 'crm', key: '1', absent: true }, { system: 'erp' }] }],
      },
    ]);
    expect(Object.values(talk.state.links()[0]!.members).some(({ kept }) => kept)).toBe(true);
    // Its later edits are recorded and go nowhere, until the other side is created again.
    expect(talk.update('erp', 'company', null, erp('1000', 'Kept', 'V1'))).toEqual([]);
    talk.insert('crm', 'company', crm('2', 'Back', 'V1'));
    expect(talk.state.links()).toMatchObject([{ existence: 'present', members: { crm: { key: '2' } } }]);
  });

  it('an edit that stands against a deletion names it', () => {
    const talk = talkOf({ conflict: { policy: 'newest' } }).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    const outputs = talk.update('erp', 'company', null, erp('1000', 'Edited', 'V1'));
    expect(decisions(outputs)).toMatchObject([
      {
        decision: 'revived',
        winner: 'erp',
        fields: [{ field: 'name', sides: [{ system: 'crm', key: '1', absent: true }, { value: 'Edited' }] }],
      },
    ]);
    talk.refuse('erp');
    expect(talk.command('crm')).toMatchObject({ operation: 'insert', set: { crm_name: 'Edited' } });
  });

  it('what was written meanwhile to a record that a policy kept counts again once the link lives on', () => {
    const systems = { crm: {}, erp: {}, web: { delete: 'never' as const } };
    const talk = talkOf({ conflict: { policy: 'newest' } }, systems).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    const [{ members }] = talk.state.links() as [LinkRecord];
    const row = { ...members['web']!.seen!, web_name: 'Written while kept' };
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    expect(talk.update('web', 'company', null, row)).toEqual([]);
    const outputs = talk.update('erp', 'company', null, erp(members['erp']!.key!, 'Edited', 'V1'));
    expect(decisions(outputs).map(({ decision }) => decision)).toEqual(['revived', 'first-link']);
    expect(decisions(outputs)[1]).toMatchObject({
      fields: [
        { field: 'name', sides: expect.arrayContaining([expect.objectContaining({ value: 'Written while kept' })]) },
      ],
    });
  });

  it('a link that lives again is written again where our delete took its last record', () => {
    const talk = talkOf({ conflict: { policy: 'newest' } }).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme', 'V1'));
    expect(talk.command('erp').operation).toBe('delete');
    for (const name of ['Edited', 'Acme']) {
      talk.update('erp', 'company', null, erp('1000', name, 'V1'));
      talk.fail('crm');
    }
    talk.apply('erp');
    expect(talk.command('erp')).toMatchObject({ operation: 'insert', set: { erp_name: 'Acme' } });
  });

  it('a deleted link waits for nothing where it has no record, although another system keeps its own', () => {
    const systems = { crm: {}, erp: {}, web: { delete: 'never' as const } };
    const talk = talkOf({}, systems).begin();
    talk.insert('web', 'company', { id: 'w', web_name: 'Acme', web_vat: 'V1' });
    talk.apply('erp', { id: '1000' });
    talk.fail('crm');
    const [{ members }] = talk.state.links() as [LinkRecord];
    expect(members['crm']!.holds).toMatchObject([{ reason: 'failed' }]);
    talk.delete('erp', 'company', members['erp']!.seen!);
    const [link] = talk.state.links();
    expect(link).toMatchObject({ existence: 'deleted', members: { web: { kept: true }, crm: { holds: [] } } });
  });
});

describe('rule 6: the image in a refusal moves nothing where the stream tells the same', () => {
  it('captured: seen stays', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.update('crm', 'company', null, crm('1', 'Acme 2', 'V1'));
    talk.refuse('erp', erp('1000', 'Foreign', 'V1'));
    expect(talk.seen('erp', 'company', '1000')).toMatchObject({ erp_name: 'Acme' });
  });

  it('only written to: the image is what is there (I5)', () => {
    const talk = talkOf({}, { crm: {}, erp: { captured: false } }).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    const insert = talk.take('erp').command;
    talk.outcome('erp', insert, { status: 'applied', key: '9' });
    talk.update('crm', 'company', null, crm('1', 'Acme 2', 'V1'));
    talk.refuse('erp', erp('9', 'Foreign', 'V1'), '9');
    expect(talk.command('erp')).toMatchObject({ set: { erp_name: 'Acme 2' }, expect: { erp_name: 'Foreign' } });
  });
});

describe('rule 7: rewrites', () => {
  const bump = (talk: Conversation, system: string) => {
    const command = talk.command(system);
    const column = `${system}_name`;
    return talk.apply(system, { [column]: `${String(command.set[column])}+` });
  };

  it('a target that shows another value than we wrote is followed, with a decision', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    expect(decisions(talk.apply('erp', { erp_name: 'ACME' }))).toMatchObject([
      { decision: 'rewritten', winner: 'erp' },
    ]);
    expect(talk.command('crm').set).toEqual({ crm_name: 'ACME' });
  });

  it('after four rounds the field is held; an edit outside our transactions begins anew', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    for (let round = 0; talk.commands.length > 0; round++) {
      expect(round).toBeLessThan(20);
      bump(talk, talk.commands[0]!.system);
    }
    const held = talk.state.links()[0]!;
    expect(Object.values(held.members).flatMap(({ holds: all }) => all)).toMatchObject([
      { reason: 'rewritten', group: 'name' },
    ]);
    const key = held.members['crm']!.key!;
    talk.update('crm', 'company', null, crm(key, 'New', 'V1'));
    expect(talk.state.links()[0]!.rewrites).toEqual({});
    expect(talk.command('erp').set).toEqual({ erp_name: 'New' });
  });

  it('a rewrite carries the time of the value that it rewrites', () => {
    const talk = talkOf({ conflict: { policy: 'newest' } }).begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.update('crm', 'company', null, crm('1', 'Newer', 'V1'));
    const [decision] = decisions(talk.apply('erp', { erp_name: 'ACME' }));
    expect(decision).toMatchObject({ decision: 'rewritten', winner: 'crm' });
    expect(talk.command('erp').set).toEqual({ erp_name: 'Newer' });
  });
});

describe('rule 8: failures', () => {
  it('a failed command is held by its signature, released when it would differ', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'bad', 'V1'));
    expect(reasons(talk.fail('erp'))).toEqual(['erp failed']);
    talk.heartbeat(talk.timeMicros + 1);
    expect(talk.commands).toEqual([]);
    expect(reasons(talk.update('crm', 'company', null, crm('1', 'good', 'V1')))).toEqual(['erp ends']);
    expect(talk.command('erp').set['erp_name']).toBe('good');
  });

  it('a unique violation is released when the row in the way changes', () => {
    const talk = talkOf({ match: [] }).begin();
    talk.insert('erp', 'company', erp('5', 'in the way', 'V1'));
    talk.settle().insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.fail('erp', { code: '23505', blockingKey: '5' });
    talk.update('erp', 'company', null, erp('5', 'in the way', 'V2'));
    expect(talk.commands.map(({ system }) => system).sort()).toEqual(['crm', 'erp']);
  });

  it('a row in the way that has moved since the command was made is tried again once, then held', () => {
    const talk = talkOf({ match: [] }).begin();
    talk.insert('erp', 'company', erp('5', 'in the way', 'V1'));
    talk.settle().insert('crm', 'company', crm('1', 'Acme', 'V1'));
    // Ahead of the outcome in the stream, as a later row of the same transaction is.
    talk.update('erp', 'company', null, erp('5', 'in the way', 'V2'));
    expect(reasons(talk.fail('erp', { code: '23505', blockingKey: '5' }))).toEqual([]);
    expect(talk.command('erp').operation).toBe('insert');
    expect(reasons(talk.fail('erp', { code: '23505', blockingKey: '5' }))).toEqual(['erp failed']);
  });

  it('and one that has gone meanwhile', () => {
    const talk = talkOf({ match: [] }).begin();
    talk.insert('erp', 'company', erp('5', 'in the way', 'V1'));
    talk.settle().insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.delete('erp', 'company', erp('5', 'in the way', 'V1'));
    expect(reasons(talk.fail('erp', { code: '23505', blockingKey: '5' }))).toEqual([]);
    expect(talk.command('erp').operation).toBe('insert');
  });

  it('nor is one held that would differ by now, though something else stands against it', () => {
    const talk = talkOf().begin();
    talk.insert('erp', 'company', erp('5', 'other', 'V2'));
    talk.settle().insert('crm', 'company', crm('1', 'bad', 'V1'));
    talk.update('crm', 'company', null, crm('1', 'good', 'V1'));
    talk.update('erp', 'company', null, erp('5', 'other', 'V1'));
    expect(reasons(talk.fail('erp'))).toEqual(['erp duplicate']);
  });

  it('a refusal after which nothing has moved is held: it would loop', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.settle();
    talk.update('crm', 'company', null, crm('1', 'Acme 2', 'V1'));
    expect(reasons(talk.refuse('erp'))).toEqual(['erp refused']);
    expect(talk.commands).toEqual([]);
    talk.update('erp', 'company', null, { ...talk.seen('erp', 'company', '1000'), note: 'x' });
    expect(talk.commands).toHaveLength(1);
  });
});

describe('rule 13: the double is found when it comes back, and held', () => {
  it('although guard and match compare differently', () => {
    const talk = talkOf().begin();
    talk.insert('crm', 'company', crm('1', 'Acme', 'v 1'));
    talk.insert('erp', 'company', erp('7', 'Other', 'V1'));
    const outputs = talk.apply('erp', { id: '8' });
    expect(reasons(outputs)).toContain('erp duplicate');
  });
});

describe('rule 16: values swapped under a unique constraint', () => {
  it('are held until one of the rows changes', () => {
    const talk = talkOf({ match: [] }).begin();
    talk.insert('crm', 'company', crm('1', 'x', 'A'));
    talk.insert('crm', 'company', crm('2', 'y', 'B'));
    talk.settle();
    talk.update('crm', 'company', null, crm('1', 'x', 'B'));
    talk.update('crm', 'company', null, crm('2', 'y', 'A'));
    talk.fail('erp', { code: '23505', blockingKey: '1001' });
    talk.fail('erp', { code: '23505', blockingKey: '1000' });
    expect(talk.state.links().map((link) => link.members['erp']!.holds[0]?.reason)).toEqual(['failed', 'failed']);
    talk.update('crm', 'company', null, crm('1', 'x', 'C'));
    talk.apply('erp');
    talk.apply('erp');
    expect(talk.state.links().map((link) => link.members['erp']!.seen!['erp_vat'])).toEqual(['C', 'A']);
  });
});
