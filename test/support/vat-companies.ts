import type { Output } from '../../src/decision/outputs.js';
import { Conversation, planOf, type SystemOptions } from './decision-fixtures.js';

/** A company that is matched by its VAT number. */
export function planWith(systems: Readonly<Record<string, SystemOptions>>, observe?: boolean) {
  return planOf({
    entities: {
      company: { fields: { name: 'string', vat: 'string' }, match: [['vat']], conflict: { policy: 'newest' }, systems },
    },
    ...(observe === undefined ? {} : { observe }),
  });
}
export const begin = (systems: Readonly<Record<string, SystemOptions>> = { crm: {}, erp: {} }) =>
  new Conversation(planWith(systems)).begin();
export const crm = (id: string, name: string, more = {}) => ({ id, crm_name: name, crm_vat: `V${id}`, ...more });
export const holds = (outputs: readonly Output[]) =>
  outputs.flatMap((one) => (one.kind === 'hold' ? [`${one.system} ${one.hold?.reason ?? 'ends'}`] : []));

/** A company on both sides; erp's key is 1000. */
export function paired(systems?: Readonly<Record<string, SystemOptions>>): Conversation {
  const talk = begin(systems);
  talk.insert('crm', 'company', crm('1', 'Acme'));
  talk.apply('erp');
  return talk;
}
