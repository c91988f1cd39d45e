import { describe, expect, it } from 'vitest';
import { indexEntries } from '../../../src/decision/entries.js';
import { TOMBSTONE_RETENTION_DAYS } from '../../../src/decision/tombstones.js';
import { begin, crm, holds, paired, planWith } from '../../support/vat-companies.js';
import { Conversation } from '../../support/decision-fixtures.js';

/** The invariants that are the decision's, and what the systems' own settings ask of it. */

describe('I5: only what a system shows or confirms moves seen', () => {
  it('a command without an outcome never does', () => {
    const talk = paired();
    talk.update('crm', 'company', null, crm('1', 'New'));
    expect(talk.seen('erp', 'company', '1000')!['erp_name']).toBe('Acme');
  });

  it('an outcome applied or unchanged does, by the command’s values', () => {
    for (const status of ['applied', 'unchanged'] as const) {
      const talk = paired();
      talk.update('crm', 'company', null, crm('1', 'New'));
      talk.outcome('erp', talk.take('erp').command, { status, key: '1000' });
      expect(talk.seen('erp', 'company', '1000')!['erp_name']).toBe('New');
      expect(talk.commands).toEqual([]);
    }
  });
});

describe('I8: our own writes are no edits, edits are none of ours', () => {
  it('an applied command leads to nothing', () => {
    const talk = paired();
    talk.update('crm', 'company', null, crm('1', 'New'));
    expect(talk.apply('erp')).toEqual([]);
  });

  it('a row of another sync’s command, or of a trigger beside ours, is an edit', () => {
    for (const origin of [
      { sync: 'other', command: 'b.1', link: 'x' },
      { sync: 'sync', command: null, link: null },
    ]) {
      const talk = paired();
      talk.update('erp', 'company', null, { id: '1000', erp_name: 'Theirs', erp_vat: 'V1' }, { origin });
      expect(talk.command('crm').set).toEqual({ crm_name: 'Theirs' });
    }
  });

  it('the newer canonical is not undone by an older write that comes back', () => {
    const talk = paired();
    talk.update('crm', 'company', null, crm('1', 'one'));
    talk.update('crm', 'company', null, crm('1', 'two'));
    talk.apply('erp');
    expect(talk.link('crm', 'company', '1').canonical['name']).toBe('two');
    expect(talk.command('erp').set).toEqual({ erp_name: 'two' });
  });
});

describe('I13: nothing is dropped', () => {
  const choice = {
    values: [
      { column: 'R', field: 'red' },
      { column: 'G', field: 'green' },
    ],
    otherwise: 'hold',
  } as const;
  const systems = { crm: { columns: { name: choice } }, erp: {} };

  it('a value that cannot be read holds its own record; others go on', () => {
    const talk = begin(systems);
    expect(holds(talk.insert('crm', 'company', crm('1', 'X')))).toEqual(['crm invalid', 'erp invalid']);
    talk.insert('crm', 'company', crm('2', 'R'));
    expect(talk.command('erp').set['erp_name']).toBe('red');
    expect(holds(talk.update('crm', 'company', null, crm('1', 'G')))).toEqual(['crm ends', 'erp ends']);
  });

  it('a value that cannot be written holds that field there', () => {
    const talk = begin(systems);
    talk.insert('erp', 'company', { id: '7', erp_name: 'red', erp_vat: 'V7' });
    talk.apply('crm');
    expect(holds(talk.update('erp', 'company', null, { id: '7', erp_name: 'blue', erp_vat: 'V8' }))).toEqual([]);
    expect(talk.command('crm').set).toEqual({ crm_vat: 'V8' });
    talk.apply('crm');
    expect(talk.link('erp', 'company', '7').members['crm']!.holds).toMatchObject([
      { reason: 'invalid', group: 'name' },
    ]);
  });

  it('large values that were not sent are those seen before', () => {
    const talk = paired();
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V2' }, { unchanged: ['crm_name'] });
    expect(talk.seen('crm', 'company', '1')).toEqual({ id: '1', crm_name: 'Acme', crm_vat: 'V2' });
    expect(talk.command('erp').set).toEqual({ erp_vat: 'V2' });
  });
});

describe('I14: the decision is deterministic', () => {
  it('the same events give the same outputs and the same state', () => {
    const play = () => {
      const talk = paired();
      talk.update('crm', 'company', null, crm('1', 'New'));
      talk.insert('crm', 'company', crm('2', 'Other'));
      talk.refuse('erp');
      talk.delete('crm', 'company', crm('2', 'Other'));
      return [talk.outputs, talk.state.all()];
    };
    expect(play()).toEqual(play());
  });
});

describe('I15: a deleted link is not revived by what is older', () => {
  it('an insert that was under way is deleted again, and outcomes of former commands are ignored', () => {
    const talk = begin();
    talk.insert('crm', 'company', crm('1', 'Acme'));
    const insert = talk.command('erp');
    talk.delete('crm', 'company', crm('1', 'Acme'));
    talk.apply('erp');
    expect(talk.command('erp').operation).toBe('delete');
    talk.apply('erp');
    expect(talk.outcome('erp', insert, { status: 'applied', key: '1000' })).toEqual([]);
    expect(talk.state.links()).toMatchObject([{ existence: 'deleted' }]);
  });

  it('tombstones go by heartbeat time, once the retention has passed; redirects too', () => {
    const talk = paired();
    talk.delete('crm', 'company', crm('1', 'Acme'));
    talk.apply('erp');
    const day = 86_400_000_000;
    talk.heartbeat(talk.timeMicros + (TOMBSTONE_RETENTION_DAYS - 1) * day);
    expect(talk.state.links()).toHaveLength(1);
    talk.heartbeat(talk.timeMicros + 3 * day);
    expect(talk.state.links()).toHaveLength(0);
  });
});

describe('I16: state is only used with the configuration it was made under', () => {
  it('another fingerprint is refused', () => {
    const talk = paired();
    talk.plan = { ...talk.plan, fingerprint: 'other' };
    expect(() => talk.insert('crm', 'company', crm('2', 'x'))).toThrow(/another configuration/);
  });
});

describe('delete policies', () => {
  it('soft: the flag is set, a flagged row counts as absent, its un-delete as an insert', () => {
    const talk = begin({ crm: { softDelete: true, delete: 'soft' }, erp: {} });
    talk.insert('crm', 'company', crm('1', 'Acme', { gone: 0 }));
    talk.apply('erp');
    talk.update('crm', 'company', null, crm('1', 'Acme', { gone: 1 }));
    expect(talk.command('erp').operation).toBe('delete');
    talk.apply('erp');
    talk.update('crm', 'company', null, crm('1', 'Acme', { gone: 0 }));
    expect(talk.command('erp')).toMatchObject({ operation: 'insert', absent: [{ erp_vat: 'V1' }] });
    talk.apply('erp');
    talk.delete('erp', 'company', { id: '1001', erp_name: 'Acme', erp_vat: 'V1' });
    expect(talk.command('crm')).toMatchObject({
      operation: 'update',
      set: { gone: 1 },
      expect: { crm_name: 'Acme', crm_vat: 'V1', gone: 0 },
    });
    talk.apply('crm');
    expect(talk.state.links().at(-1)!.tombstoneMicros).not.toBeNull();
  });

  it('unlink: the record stays, in a link of its own that waits for a person', () => {
    const talk = paired({ crm: {}, erp: { delete: 'unlink' } });
    const outputs = talk.delete('crm', 'company', crm('1', 'Acme'));
    expect(holds(outputs)).toEqual(['crm approval']);
    expect(talk.link('erp', 'company', '1000')).toMatchObject({ matching: 'unlinked', existence: 'present' });
    expect(holds(talk.insert('crm', 'company', crm('2', 'Again', { crm_vat: 'V1' })))).toContain('erp duplicate');
  });
});

describe('directions', () => {
  const unread = { name: { read: false }, vat: { read: false } };

  it('edits that are not read are put back, deletions and insertions there do not count', () => {
    const talk = paired({ crm: {}, erp: { columns: unread } });
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Mine', erp_vat: 'V1' });
    expect(talk.command('erp').set).toEqual({ erp_name: 'Acme' });
    talk.apply('erp');
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    expect(talk.command('erp').operation).toBe('insert');
    talk.apply('erp');
    talk.insert('erp', 'company', { id: '9', erp_name: 'Alone', erp_vat: 'V9' });
    expect(talk.commands).toEqual([]);
  });

  it('a source that is not written keeps its record', () => {
    const talk = begin({ crm: { written: false }, erp: {} });
    talk.insert('crm', 'company', crm('1', 'Acme'));
    talk.apply('erp');
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Mine', erp_vat: 'V1' });
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Mine', erp_vat: 'V1' });
    expect(talk.commands).toEqual([]);
    expect(talk.link('crm', 'company', '1').members['crm']!.kept).toBe(true);
  });

  it('constants are set on insert only, nulls left to columns that fill themselves', () => {
    const talk = begin({
      crm: {},
      erp: { insertSet: { territory: 'Worldwide' }, shape: { erp_vat: { nullable: false, hasDefault: true } } },
    });
    talk.insert('crm', 'company', { id: '1', crm_name: 'Acme', crm_vat: null });
    expect(talk.command('erp').set).toEqual({ territory: 'Worldwide', erp_name: 'Acme' });
    talk.apply('erp', { erp_vat: 'none' });
    expect(talk.command('crm').set).toEqual({ crm_vat: 'none' });
  });
});

describe('observing', () => {
  it('decides and records everything, sends nothing, and goes on from there when it ends', () => {
    const talk = new Conversation(planWith({ crm: {}, erp: {} }, true)).begin();
    expect(holds(talk.insert('crm', 'company', crm('1', 'Acme')))).toEqual(['erp paused']);
    expect(holds(talk.insert('crm', 'company', crm('2', 'Double', { crm_vat: 'V1' })))).toEqual([
      'crm duplicate',
      'erp duplicate',
    ]);
    expect(talk.commands).toEqual([]);
    talk.plan = planWith({ crm: {}, erp: {} }, false);
    talk.heartbeat(talk.timeMicros + 1);
    expect(talk.commands.map(({ command }) => command.set['erp_name'])).toEqual(['Acme']);
  });
});

describe('I9: the index of records', () => {
  it('a record leads to one link, its former key to none but for references', () => {
    const talk = paired();
    talk.delete('crm', 'company', crm('1', 'Acme'));
    talk.apply('erp');
    const entries = talk.state.all().flatMap((record) => [...indexEntries(record)]);
    expect(entries.filter((one) => one.startsWith('record/'))).toEqual([]);
    expect(entries.filter((one) => one.startsWith('former/')).sort()).toEqual([
      'former/crm/company/1',
      'former/erp/company/1000',
    ]);
  });
});
