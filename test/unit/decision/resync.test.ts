import { describe, expect, it } from 'vitest';
import { decide } from '../../../src/decision/decide.js';
import type { DecisionOutput, HoldOutput, Output } from '../../../src/decision/outputs.js';
import { hasCursors } from '../../../src/decision/state.js';
import { Conversation, planOf } from '../../support/decision-fixtures.js';

/** A gap in a system's stream: what became of commands in flight is found by comparison (I5, I8, I13). */

const plan = planOf({
  leading: ['erp', 'crm'],
  entities: {
    company: {
      fields: { name: 'string', vat: 'string', city: 'string' },
      match: [['vat']],
      conflict: { policy: 'newest', first: 'leading' },
      systems: { crm: { generatesKey: true }, erp: { generatesKey: true } },
    },
  },
});
const crm = (id: string, name: string, vat: string | null, city: string | null = null) => ({
  id,
  crm_name: name,
  crm_vat: vat,
  crm_city: city,
});
const erp = (id: string, name: string, vat: string | null, city: string | null = null) => ({
  id,
  erp_name: name,
  erp_vat: vat,
  erp_city: city,
});
const decisions = (outputs: readonly Output[]) =>
  outputs.filter((one): one is DecisionOutput => one.kind === 'decision').map(({ decision }) => decision);
const commandsOf = (outputs: readonly Output[]) =>
  outputs.flatMap((one) => (one.kind === 'command' ? [[one.system, one.command.id, one.command.again]] : []));

/** Acme on both sides, and the erp's edit of its name on the way to the crm. */
function withUpdateInFlight(): Conversation {
  const talk = new Conversation(plan);
  talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1')]);
  talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
  talk.settle();
  talk.update('erp', 'company', null, erp('7', 'Acme Ltd', 'V1'));
  expect(talk.command('crm')).toMatchObject({ operation: 'update', set: { crm_name: 'Acme Ltd' } });
  return talk;
}

/** A gap, and the rows there are behind it. */
function resync(talk: Conversation, rows: readonly Readonly<Record<string, string | null>>[]): Output[] {
  const outputs = [...talk.end('crm', 'company', 'gap'), ...talk.end('crm', 'company', 'snapshot-begin')];
  for (const row of rows) outputs.push(...talk.read('crm', 'company', row));
  outputs.push(...talk.end('crm', 'company', 'snapshot'));
  return outputs;
}

describe('an update whose outcome was lost', () => {
  it('was carried out where the row shows what it wrote, whatever the canonical is by now (I8)', () => {
    const talk = withUpdateInFlight();
    talk.take('crm');
    talk.update('erp', 'company', null, erp('7', 'Acme Limited', 'V1'));
    const outputs = resync(talk, [crm('1', 'Acme Ltd', 'V1')]);
    expect(decisions(outputs)).toEqual([]);
    expect(talk.command('crm')).toMatchObject({ set: { crm_name: 'Acme Limited' }, expect: { crm_name: 'Acme Ltd' } });
    expect(talk.link('erp', 'company', '7').canonical['name']).toBe('Acme Limited');
  });

  it('was not, where the row shows only a part of it: somebody wrote the same there, and nothing is lost (I10)', () => {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', [crm('1', 'Acme', 'V1', 'Bonn')]);
    talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1', 'Bonn')]);
    talk.settle();
    talk.update('erp', 'company', null, erp('7', 'Acme Ltd', 'V1', 'Kiel'));
    talk.take('crm');
    // Not carried out; a person in the crm gave it the same name.
    resync(talk, [crm('1', 'Acme Ltd', 'V1', 'Bonn')]);
    expect(talk.link('erp', 'company', '7').canonical['city']).toBe('Kiel');
    expect(talk.command('crm')).toMatchObject({ again: true, set: { crm_name: 'Acme Ltd', crm_city: 'Kiel' } });
    talk.refuse('crm', crm('1', 'Acme Ltd', 'V1', 'Bonn'), '1');
    talk.settle();
    expect(talk.seen('crm', 'company', '1')).toMatchObject({ crm_name: 'Acme Ltd', crm_city: 'Kiel' });
    expect(talk.seen('erp', 'company', '7')).toMatchObject({ erp_name: 'Acme Ltd', erp_city: 'Kiel' });
  });

  it('and what the row shows beyond it is an edit made knowing it', () => {
    const talk = withUpdateInFlight();
    talk.take('crm');
    const outputs = resync(talk, [crm('1', 'Acme Ltd', 'V1', 'Bonn')]);
    expect(decisions(outputs)).toEqual([]);
    expect(talk.command('erp').set).toEqual({ erp_city: 'Bonn' });
  });

  it('is asked for again under its id where the row does not show it, and only once everything has been read', () => {
    const talk = withUpdateInFlight();
    const { command } = talk.take('crm');
    talk.end('crm', 'company', 'gap');
    talk.end('crm', 'company', 'snapshot-begin');
    expect(commandsOf(talk.read('crm', 'company', crm('1', 'Acme', 'V1')))).toEqual([]);
    expect(commandsOf(talk.end('crm', 'company', 'snapshot'))).toEqual([['crm', command.id, true]]);
    expect(talk.command('crm')).toEqual({ ...command, again: true, madeAtMicros: talk.command('crm').madeAtMicros });
    talk.settle();
    expect(talk.seen('crm', 'company', '1')).toMatchObject({ crm_name: 'Acme Ltd' });
  });

  it('is not asked for again where its outcome comes in time', () => {
    const talk = withUpdateInFlight();
    talk.end('crm', 'company', 'gap');
    talk.end('crm', 'company', 'snapshot-begin');
    talk.apply('crm');
    talk.read('crm', 'company', crm('1', 'Acme Ltd', 'V1'));
    expect(talk.end('crm', 'company', 'snapshot')).toEqual([]);
  });

  it('has nothing left to do where the row is gone: that is a deletion', () => {
    const talk = withUpdateInFlight();
    talk.take('crm');
    resync(talk, []);
    // The erp's edit was not seen there, so the deletion is judged and told, and the edit lives on.
    expect(decisions(talk.outputs)).toContain('update-delete');
    expect(talk.command('crm')).toMatchObject({ id: 'b.2', operation: 'insert', set: { crm_name: 'Acme Ltd' } });
  });

  it('is known when it comes back late: it moves seen, decides nothing, and is set right (I8)', () => {
    const talk = withUpdateInFlight();
    const { command } = talk.take('crm');
    resync(talk, [crm('1', 'Acme', 'V1')]);
    talk.apply('crm');
    talk.update('crm', 'company', null, crm('1', 'Acme again', 'V1'));
    talk.settle();
    const origin = { sync: 'sync', command: command.id, link: command.link };
    const outputs = talk.update('crm', 'company', null, crm('1', 'Acme Ltd', 'V1'), { origin });
    expect(decisions(outputs)).toEqual([]);
    expect(talk.command('crm')).toMatchObject({ set: { crm_name: 'Acme again' }, expect: { crm_name: 'Acme Ltd' } });
  });
});

describe('a deletion whose outcome was lost', () => {
  it('was carried out where the row is gone', () => {
    const talk = withUpdateInFlight();
    talk.settle();
    talk.delete('erp', 'company', erp('7', 'Acme Ltd', 'V1'));
    expect(talk.take('crm').command.operation).toBe('delete');
    const outputs = resync(talk, []);
    expect(commandsOf(outputs)).toEqual([]);
    expect(talk.state.links()).toMatchObject([{ existence: 'deleted', deletions: [] }]);
  });

  it('is asked for again where the row is there', () => {
    const talk = withUpdateInFlight();
    talk.settle();
    talk.delete('erp', 'company', erp('7', 'Acme Ltd', 'V1'));
    const { command } = talk.take('crm');
    expect(commandsOf(resync(talk, [crm('1', 'Acme Ltd', 'V1')]))).toEqual([['crm', command.id, true]]);
  });
});

describe('an insert whose outcome was lost', () => {
  function withInsertInFlight(vat: string | null): Conversation {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', []);
    talk.snapshot('erp', 'company', []);
    talk.insert('erp', 'company', erp('7', 'Acme', vat, 'Bonn'));
    expect(talk.command('crm').operation).toBe('insert');
    return talk;
  }

  it('was carried out where a row shows what it wrote', () => {
    const talk = withInsertInFlight('V1');
    talk.take('crm');
    expect(commandsOf(resync(talk, [crm('9', 'Acme', 'V1', 'Bonn')]))).toEqual([]);
    expect(talk.state.links()).toHaveLength(1);
    expect(talk.link('crm', 'company', '9').members['crm']).toMatchObject({ inFlight: null, holds: [] });
  });

  it('and was edited since where most of it is shown: the edit stands', () => {
    const talk = withInsertInFlight('V1');
    talk.take('crm');
    resync(talk, [crm('9', 'Acme Ltd', 'V1', 'Bonn')]);
    expect(talk.command('erp')).toMatchObject({ set: { erp_name: 'Acme Ltd' } });
  });

  it('and was edited since, while its link was deleted: an edit against that deletion (I10)', () => {
    const talk = withInsertInFlight('V1');
    talk.take('crm');
    talk.delete('erp', 'company', erp('7', 'Acme', 'V1', 'Bonn'));
    const outputs = resync(talk, [crm('1', 'Acme Ltd', 'V1', 'Bonn')]);
    expect(outputs.filter(({ kind }) => kind === 'decision')).toMatchObject([
      {
        decision: 'update-delete',
        winner: 'erp',
        fields: [
          {
            field: 'name',
            sides: [
              { system: 'erp', key: '7', absent: true },
              { key: '1', value: 'Acme Ltd' },
            ],
          },
        ],
      },
    ]);
    expect(talk.command('crm')).toMatchObject({ operation: 'delete', key: '1' });
  });

  it('is matched like any other where a row shows only its match value', () => {
    const talk = withInsertInFlight('V1');
    talk.take('crm');
    const outputs = resync(talk, [crm('9', 'Another', 'V1', 'Rome')]);
    expect(talk.state.links()).toHaveLength(1);
    expect(decisions(outputs)).toContain('first-link');
  });

  it('is asked for again, guarded by its match value, where no row shows it', () => {
    const talk = withInsertInFlight('V1');
    const { command } = talk.take('crm');
    expect(commandsOf(resync(talk, []))).toEqual([['crm', command.id, true]]);
    expect(talk.command('crm').absent).toEqual([{ crm_vat: 'V1' }]);
    talk.settle();
    expect(talk.state.links()).toHaveLength(1);
  });

  it('is held where nothing could tell a double, and goes again once the record is edited (I13)', () => {
    const talk = withInsertInFlight(null);
    talk.take('crm');
    const outputs = resync(talk, [crm('9', 'Acme', null, 'Bonn')]);
    expect(commandsOf(outputs).filter(([system]) => system === 'crm')).toEqual([]);
    const holds = outputs.filter((one): one is HoldOutput => one.kind === 'hold');
    expect(holds).toMatchObject([{ system: 'crm', hold: { reason: 'refused' } }]);
    talk.update('erp', 'company', null, erp('7', 'Acme', 'V7', 'Bonn'));
    expect(talk.command('crm').set).toMatchObject({ crm_vat: 'V7' });
  });

  it('is taken away again where it comes late and nobody wants it any more', () => {
    const talk = withInsertInFlight('V1');
    const { command } = talk.take('crm');
    talk.delete('erp', 'company', erp('7', 'Acme', 'V1', 'Bonn'));
    expect(commandsOf(resync(talk, []))).toEqual([]);
    const origin = { sync: 'sync', command: command.id, link: command.link };
    talk.insert('crm', 'company', crm('9', 'Acme', 'V1', 'Bonn'), { origin });
    expect(talk.command('crm')).toMatchObject({ operation: 'delete', key: '9' });
    talk.settle();
    expect(talk.state.links()).toMatchObject([{ existence: 'deleted' }]);
  });
});

describe('a gap that comes while the last one is still being settled', () => {
  it('makes nothing vanish that has been read before it and not again since', () => {
    const talk = new Conversation(plan);
    // More than one event's share of work.
    const rows = Array.from({ length: 250 }, (_, at) => crm(`c${at}`, `Company ${at}`, `V${at}`));
    talk.snapshot('crm', 'company', rows);
    talk.snapshot(
      'erp',
      'company',
      rows.map(({ id, crm_name, crm_vat }) => erp(id, crm_name, crm_vat)),
    );
    talk.settle();
    talk.end('crm', 'company', 'gap');
    talk.end('crm', 'company', 'snapshot-begin');
    for (const row of rows) talk.read('crm', 'company', row);
    const end = { kind: 'end', system: 'crm', entity: 'company', commitTimeMicros: null, transaction: 't' } as const;
    decide(talk.state, { ...end, end: 'snapshot', position: '1' }, plan);
    expect(hasCursors(talk.state)).toBe(true);
    const before = talk.outputs.length;
    talk.tell({ ...end, end: 'gap', position: '2' });
    expect(talk.outputs.slice(before)).toEqual([]);
    expect(talk.seen('crm', 'company', 'c249')).toMatchObject({ crm_vat: 'V249' });
  });
});

describe('what the stream told before the gap', () => {
  it('does not come back: a record that waited and is gone leaves nothing', () => {
    const talk = new Conversation(plan);
    talk.snapshot('crm', 'company', []);
    talk.snapshot('erp', 'company', []);
    talk.insert('erp', 'company', erp('7', 'Acme', 'V1'));
    talk.insert('crm', 'company', crm('3', 'Acme of a user', 'V1'));
    const { command } = talk.take('crm');
    resync(talk, []);
    expect(talk.command('crm').id).toBe(command.id);
    talk.settle();
    expect(talk.state.links()).toHaveLength(1);
    expect(talk.seen('crm', 'company', '3')).toBeNull();
  });

  it('a deletion whose end was lost stands', () => {
    const talk = withUpdateInFlight();
    talk.settle();
    talk.delete('crm', 'company', crm('1', 'Acme Ltd', 'V1'), { open: true });
    resync(talk, []);
    expect(talk.command('erp').operation).toBe('delete');
  });

  it('a first snapshot that was cut begins anew: what it showed and is gone, is gone', () => {
    const talk = new Conversation(plan);
    talk.snapshot('erp', 'company', [erp('7', 'Acme', 'V1')]);
    talk.end('crm', 'company', 'snapshot-begin');
    talk.read('crm', 'company', crm('1', 'Acme', 'V1'));
    talk.read('crm', 'company', crm('2', 'Beta', 'V2'));
    resync(talk, [crm('1', 'Acme', 'V1')]);
    talk.settle();
    expect(talk.link('crm', 'company', '1').members['erp']?.key).toBe('7');
    expect(talk.state.links().filter(({ existence }) => existence === 'present')).toHaveLength(1);
  });
});
