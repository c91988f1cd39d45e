import { describe, expect, it } from 'vitest';
import { Conversation, planOf, type SystemOptions } from '../../support/decision-fixtures.js';

const plan = (systems: Record<string, SystemOptions>, more = {}, extra: Record<string, 'string'> = {}) =>
  planOf({ entities: { company: { fields: { name: 'string', vat: 'string', ...extra }, match: [['vat']], conflict: { policy: 'newest' }, systems, ...more } } });
const begin = (systems: Record<string, SystemOptions> = { crm: {}, erp: {} }, more = {}, extra = {}) => new Conversation(plan(systems, more, extra)).begin();
const crm = (id: string, name: string, more = {}) => ({ id, crm_name: name, crm_vat: `V${id}`, ...more });
function paired(systems?: Record<string, SystemOptions>) {
  const talk = begin(systems);
  talk.insert('crm', 'company', crm('1', 'Acme'));
  talk.apply('erp');
  return talk;
}
const tooLarge = { unchanged: ['crm_name'], oversize: ['crm_name'] };
const show = (talk: Conversation) => console.log(expect.getState().currentTestName, JSON.stringify({ cmds: talk.commands.map(({ system, command: { operation, set, expect, key } }) => ({ system, operation, key, set, expect })), links: talk.state.links().map(({ existence, canonical, members }) => ({ existence, canonical, members: Object.fromEntries(Object.entries(members).map(([k, m]) => [k, { seen: m.seen, agreed: m.agreed, holds: m.holds.map((h) => [h.reason, h.lasting, h.detail]), kept: m.kept }])) })), decisions: talk.outputs.filter((o) => o.kind === 'decision') }, null, 1));

describe('review', () => {
  it('A: delete of a record with an unknown value', () => {
    const talk = paired();
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    show(talk);
  });
  it('B: and revived by an edit of another column', () => {
    const talk = paired();
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V9' }, { unchanged: ['crm_name'] });
    talk.refuse('crm');
    show(talk);
  });
  it('C: kept by policy, revived elsewhere', () => {
    const talk = paired({ crm: { delete: 'never' }, erp: {} });
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.delete('erp', 'company', { id: '1000', erp_name: 'Acme', erp_vat: 'V1' });
    talk.insert('erp', 'company', { id: '1001', erp_name: 'Again', erp_vat: 'V1' });
    show(talk);
  });
  it('D: takeUnread', () => {
    const talk = begin({ crm: {}, erp: { columns: { name: { read: false }, vat: { read: false } } } });
    talk.insert('erp', 'company', { id: '7', erp_name: 'Acme', erp_vat: 'V7' });
    talk.update('erp', 'company', null, { id: '7', erp_vat: 'V7' }, { unchanged: ['erp_name'], oversize: ['erp_name'] });
    show(talk);
  });
  it('E: soft-deleted record restored with TOAST unchanged', () => {
    const talk = begin({ crm: { softDelete: true }, erp: {} });
    talk.insert('crm', 'company', crm('1', 'Acme', { gone: 0 }));
    talk.apply('erp');
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1', gone: 1 }, { unchanged: ['crm_name'] });
    talk.apply('erp');
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1', gone: 0 }, { unchanged: ['crm_name'] });
    show(talk);
    talk.settle();
    show(talk);
  });
  it('F: own write completes the row, hold stays', () => {
    const talk = paired();
    talk.update('erp', 'company', null, { id: '1000', erp_name: 'Acme', erp_vat: 'V2' });
    talk.update('crm', 'company', null, { id: '1', crm_vat: 'V1' }, tooLarge);
    talk.apply('crm', { crm_name: 'Fits' });
    show(talk);
  });
  it('G: mixed group', () => {
    const talk = begin({ crm: { columns: { city: { read: false } } }, erp: {} }, { groups: { address: ['street', 'city'] } }, { street: 'string', city: 'string' });
    talk.insert('crm', 'company', { ...crm('1', 'Acme'), crm_street: 'S' }, { unchanged: ['crm_city'], oversize: ['crm_city'] });
    talk.update('crm', 'company', null, { ...crm('1', 'Acme'), crm_street: 'S', crm_city: 'C' });
    show(talk);
  });
  it('H: adopt after a gap', () => {
    const talk = begin({ crm: {}, erp: {} }, {}, { city: 'string' });
    talk.insert('crm', 'company', crm('1', 'Acme', { crm_city: 'C' }));
    talk.take('erp');
    talk.end('erp', 'company', 'gap');
    talk.end('erp', 'company', 'snapshot-begin');
    talk.tell({ ...(talk as any).change('erp', 'company', 'read', null, { id: '1000', erp_vat: 'V1', erp_city: 'C' }), commitTimeMicros: null, unchanged: ['erp_name'], oversize: ['erp_name'] });
    talk.end('erp', 'company', 'snapshot');
    show(talk);
  });
  it('I: adopt after a gap, edit and then TOAST', () => {
    const talk = begin({ crm: {}, erp: {} }, {}, { city: 'string', zip: 'string' });
    talk.insert('crm', 'company', crm('1', 'Acme', { crm_city: 'C', crm_zip: '1' }));
    talk.take('erp');
    talk.end('erp', 'company', 'gap');
    talk.end('erp', 'company', 'snapshot-begin');
    talk.read('erp', 'company', { id: '1000', erp_name: 'User', erp_vat: 'V1', erp_city: 'C', erp_zip: '1' });
    talk.update('erp', 'company', null, { id: '1000', erp_vat: 'V1', erp_city: 'C', erp_zip: '1' }, { unchanged: ['erp_name'] });
    talk.end('erp', 'company', 'snapshot');
    show(talk);
  });
});
