import { describe, expect, it } from 'vitest';
import type { ConflictPlan } from '../../../src/plan/plan.js';
import { crm, decisions, erp, talkOf } from '../../support/city-companies.js';
import { type Conversation, type EntityOptions } from '../../support/decision-fixtures.js';

/** The merge and its policies; every value that loses stands in a decision (I10). */

/** Both systems show city `Bonn`. */
function equal(conflict: Partial<ConflictPlan>, more: Partial<EntityOptions> = {}): Conversation {
  const talk = talkOf(conflict, more);
  talk.snapshot('crm', 'company', [crm('Bonn')]);
  talk.snapshot('erp', 'company', [erp('Bonn')]);
  return talk;
}

/** crm says Köln, and before that is written erp says Ulm; returns what the second edit led to. */
function clash(conflict: Partial<ConflictPlan>, laterMicros = 1_000_000, group?: string) {
  const talk = equal(conflict, group === undefined ? {} : { groups: { [group]: ['city', 'zip'] } });
  talk.update('crm', 'company', null, crm('Köln'));
  const commitTimeMicros = talk.timeMicros + laterMicros;
  const outputs = talk.update('erp', 'company', null, erp('Ulm'), { commitTimeMicros });
  talk.refuse('erp');
  return { talk, outputs, city: talk.link('crm', 'company', 'c').canonical['city'], decision: decisions(outputs)[0] };
}

describe('the merge', () => {
  it('different fields of one record at once: both stand, no conflict', () => {
    const talk = equal({});
    talk.update('crm', 'company', null, crm('Köln', '1'));
    const outputs = talk.update('erp', 'company', null, erp('Bonn', '2'));
    expect(decisions(outputs)).toEqual([]);
    expect(talk.commands.map(({ system, command }) => [system, command.set])).toEqual([
      ['erp', { erp_city: 'Köln' }],
      ['crm', { crm_zip: '2' }],
    ]);
  });

  it('the same edit on both sides is agreement', () => {
    const talk = equal({});
    talk.update('crm', 'company', null, crm('Köln'));
    expect(decisions(talk.update('erp', 'company', null, erp('Köln')))).toEqual([]);
    talk.refuse('erp');
    expect(talk.commands).toEqual([]);
  });

  it('fields of a group are merged as one', () => {
    const talk = equal({}, { groups: { place: ['city', 'zip'] } });
    talk.update('crm', 'company', null, crm('Köln', '1'));
    const outputs = talk.update('erp', 'company', null, erp('Bonn', '2'));
    expect(decisions(outputs)).toMatchObject([
      { group: 'place', winner: 'erp', fields: [{ field: 'city' }, { field: 'zip' }] },
    ]);
    expect(talk.command('crm').set).toEqual({ crm_city: 'Bonn', crm_zip: '2' });
  });

  it('but what a system shows in its own way was not edited with the rest of the group', () => {
    const zip = { tooLong: 'truncate' as const, columnType: { kind: 'text' as const, maxLength: 3 } };
    const talk = talkOf({}, { groups: { place: ['city', 'zip'] }, systems: { crm: {}, erp: { columns: { zip } } } });
    talk.begin();
    talk.insert('crm', 'company', crm('Bonn', '12345'));
    talk.settle();
    const [link] = talk.state.links();
    const row = link!.members['erp']!.seen!;
    expect(row).toMatchObject({ erp_zip: '123' });
    talk.update('erp', 'company', null, { ...row, erp_city: 'Köln' });
    expect(talk.state.links()).toMatchObject([{ canonical: { city: 'Köln', zip: '12345' } }]);
    expect(talk.command('crm').set).toEqual({ crm_city: 'Köln' });
  });

  it('a burst coalesces: one command in flight, then one more (I6)', () => {
    const talk = equal({});
    for (const city of ['a', 'b', 'c', 'd']) talk.update('crm', 'company', null, crm(city));
    expect(talk.commands.map(({ command }) => command.set)).toEqual([{ erp_city: 'a' }]);
    talk.apply('erp');
    expect(talk.commands.map(({ command }) => command.set)).toEqual([{ erp_city: 'd' }]);
  });

  it('what the system cannot tell apart is no edit', () => {
    const talk = equal(
      {},
      {
        systems: {
          crm: {},
          erp: { columns: { city: { columnType: { kind: 'text', maxLength: 4 }, tooLong: 'truncate' } } },
        },
      },
    );
    talk.update('crm', 'company', null, crm('Bonn am Rhein'));
    expect(talk.commands).toEqual([]);
    talk.update('erp', 'company', null, { ...erp('Bonn'), note: 'x' });
    expect(talk.link('crm', 'company', 'c').canonical['city']).toBe('Bonn am Rhein');
  });
});

describe('the policy picks, and the loser stands in a decision', () => {
  it.each([
    ['leading: the first in precedence', { policy: 'leading' }, 'Ulm', 'erp'],
    ['leading: the system named for it', { policy: 'leading', lead: 'crm' }, 'Köln', 'crm'],
    ['newest: the later edit', { policy: 'newest', lead: 'crm' }, 'Ulm', 'erp'],
    [
      'per field',
      {
        policy: 'leading',
        groups: { city: { policy: 'leading', lead: 'crm', withinMicros: 0, otherwise: 'leading' } },
      },
      'Köln',
      'crm',
    ],
  ] as const)('%s', (_, conflict, city, winner) => {
    const result = clash(conflict);
    expect(result.city).toBe(city);
    expect(result.decision).toMatchObject({
      decision: 'conflict',
      winner,
      fields: [
        {
          field: 'city',
          agreed: 'Bonn',
          sides: [
            { system: 'crm', key: 'c', value: 'Köln' },
            { system: 'erp', key: 'e', value: 'Ulm' },
          ],
        },
      ],
    });
    result.talk.settle();
    expect(result.talk.seen('crm', 'company', 'c')!['crm_city']).toBe(city);
    expect(result.talk.seen('erp', 'company', 'e')!['erp_city']).toBe(city);
  });

  it('newest within the tolerance of clocks: otherwise leading', () => {
    const result = clash({ policy: 'newest', withinMicros: 2_000_000, lead: 'crm' });
    expect(result.city).toBe('Köln');
    expect(result.decision?.rule).toMatch(/too close/);
  });

  it('hold: a person says, and meanwhile nothing is overwritten', () => {
    for (const conflict of [
      { policy: 'hold' },
      { policy: 'newest', withinMicros: 2_000_000, otherwise: 'hold' },
    ] as const) {
      const { talk, decision } = clash(conflict);
      expect(decision?.winner).toBeNull();
      expect(talk.link('erp', 'company', 'e').members['erp']!.holds).toMatchObject([
        { reason: 'conflict', group: 'city' },
      ]);
      expect(talk.commands).toEqual([]);
      // Other fields go on.
      talk.update('crm', 'company', null, crm('Köln', '9'));
      expect(talk.command('erp').set).toEqual({ erp_zip: '9' });
    }
  });

  it('a held conflict ends when the sides agree', () => {
    const { talk } = clash({ policy: 'hold' });
    talk.update('erp', 'company', null, erp('Köln'));
    expect(talk.link('erp', 'company', 'e').members['erp']!.holds).toEqual([]);
  });

  it('holds are told by group: of two that wait both are named, and the third goes on', () => {
    const talk = equal({ policy: 'hold' });
    talk.update('crm', 'company', null, crm('Köln', '2'));
    const outputs = talk.update('erp', 'company', null, erp('Ulm', '3'));
    const told = { reason: 'conflict', group: 'city', others: [{ reason: 'conflict', group: 'zip' }] };
    expect(outputs.filter(({ kind }) => kind === 'hold')).toMatchObject([{ system: 'erp', hold: told }]);
    talk.refuse('erp');
    talk.update('crm', 'company', null, { ...crm('Köln', '2'), crm_name: 'Acme Ltd' });
    expect(talk.command('erp').set).toEqual({ erp_name: 'Acme Ltd' });
    // One of them is settled by erp itself.
    expect(talk.update('erp', 'company', null, erp('Köln', '3'))).toMatchObject([
      { kind: 'hold', hold: { reason: 'conflict', group: 'zip', others: [] } },
    ]);
  });
});

describe('rule 9: answers to held conflicts', () => {
  it('the value of the winner stands', () => {
    const { talk } = clash({ policy: 'hold' });
    answer(talk, { crm: crm('Köln'), erp: erp('Ulm') });
    expect(talk.command('crm').set).toEqual({ crm_city: 'Ulm' });
    expect(talk.link('erp', 'company', 'e').members['erp']!.holds).toEqual([]);
  });

  it('given for images that have moved, it is not applied and the hold stays', () => {
    const { talk } = clash({ policy: 'hold' });
    talk.update('crm', 'company', null, crm('Trier'));
    expect(answer(talk, { crm: crm('Köln'), erp: erp('Ulm') })).toMatchObject([
      { kind: 'decision', decision: 'ignored' },
    ]);
    expect(talk.link('erp', 'company', 'e').members['erp']!.holds).toHaveLength(1);
  });

  it('a disputed deletion: the record or its absence', () => {
    for (const winner of ['crm', 'erp']) {
      const talk = equal({ policy: 'hold' });
      talk.delete('crm', 'company', crm('Bonn'));
      talk.update('erp', 'company', null, erp('Ulm'));
      talk.refuse('erp');
      expect(talk.commands).toEqual([]);
      const { id: link } = talk.state.links()[0]!;
      const timeMicros = talk.timeMicros;
      talk.tell({
        kind: 'answer',
        entity: 'company',
        link,
        group: null,
        winner,
        seen: { crm: null, erp: erp('Ulm') },
        timeMicros,
      });
      expect(talk.commands.map(({ system, command }) => `${system} ${command.operation}`)).toEqual([
        winner === 'erp' ? 'crm insert' : 'erp delete',
      ]);
    }
  });

  function answer(talk: Conversation, seen: Readonly<Record<string, ReturnType<typeof crm> | ReturnType<typeof erp>>>) {
    const { id: link } = talk.link('erp', 'company', 'e');
    return talk.tell({
      kind: 'answer',
      entity: 'company',
      link,
      group: 'city',
      winner: 'erp',
      seen,
      timeMicros: talk.timeMicros,
    });
  }
});

describe('update against delete', () => {
  it('a value of a group that the deleting system reads in part only is not its own', () => {
    const talk = equal(
      { lead: 'crm' },
      { groups: { place: ['city', 'zip'] }, systems: { crm: { columns: { zip: { read: false } } }, erp: {} } },
    );
    talk.update('erp', 'company', null, erp('Bonn', '2'));
    talk.update('crm', 'company', null, crm('Köln', '1'));
    const outputs = talk.delete('crm', 'company', crm('Köln', '1'));
    expect(decisions(outputs)).toMatchObject([
      {
        decision: 'update-delete',
        fields: [{ field: 'zip', sides: [{ absent: true }, { system: 'erp', value: '2' }] }],
      },
    ]);
  });

  it('clean if nobody else changed what is written there', () => {
    const talk = equal({});
    expect(decisions(talk.delete('crm', 'company', crm('Bonn')))).toEqual([]);
    expect(talk.command('erp').operation).toBe('delete');
  });

  it.each([
    ['the edit wins', { policy: 'leading' }, 'erp', 'crm insert'],
    ['the deletion wins', { policy: 'leading', lead: 'crm' }, 'crm', 'erp delete'],
    ['a person decides', { policy: 'hold' }, null, null],
  ] as const)('%s', (_, conflict, winner, command) => {
    const talk = equal(conflict);
    talk.update('erp', 'company', null, erp('Ulm'));
    const outputs = talk.delete('crm', 'company', crm('Bonn'));
    expect(decisions(outputs)).toMatchObject([{ decision: 'update-delete', winner }]);
    talk.refuse('crm');
    expect(talk.commands.map(({ system, command: made }) => `${system} ${made.operation}`)).toEqual(
      command === null ? [] : [command],
    );
  });

  it('nobody need say any more where everybody has deleted it: the values that nobody saw are told', () => {
    const talk = equal({ policy: 'hold' });
    talk.update('crm', 'company', null, crm('Köln'));
    talk.update('erp', 'company', null, erp('Bonn', '9'));
    talk.delete('crm', 'company', crm('Köln'));
    expect(talk.state.links()[0]!.members['crm']!.holds).toMatchObject([{ reason: 'conflict', group: null }]);
    const outputs = talk.delete('erp', 'company', erp('Bonn', '9'));
    const sides = [
      { system: 'crm', absent: true },
      { system: 'erp', absent: true },
      { system: 'crm', value: 'Köln' },
    ];
    expect(decisions(outputs)).toMatchObject([
      { decision: 'update-delete', winner: 'erp', rule: 'deleted everywhere', fields: [{ field: 'city', sides }] },
    ]);
    expect(talk.state.links()).toMatchObject([{ existence: 'deleted', members: { crm: { holds: [] } } }]);
  });

  it('a person need not say any more once an edit has decided: the record is written again', () => {
    const talk = equal({ policy: 'newest', withinMicros: 2_000_000, otherwise: 'hold' });
    talk.delete('crm', 'company', crm('Bonn'));
    talk.update('erp', 'company', null, erp('Ulm'));
    expect(talk.link('erp', 'company', 'e').members['erp']!.holds).toMatchObject([{ reason: 'conflict', group: null }]);
    talk.timeMicros += 10_000_000;
    expect(decisions(talk.update('erp', 'company', null, erp('Trier')))).toMatchObject([{ decision: 'revived' }]);
    expect(talk.link('erp', 'company', 'e').members['erp']!.holds).toEqual([]);
    talk.refuse('erp');
    talk.apply('crm', { id: 'c' });
    talk.update('crm', 'company', null, crm('Mainz'));
    expect(talk.command('erp').set).toEqual({ erp_city: 'Mainz' });
  });
});
