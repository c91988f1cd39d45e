import type { DecisionOutput, Output } from '../../src/decision/outputs.js';
import type { ConflictPlan } from '../../src/plan/plan.js';
import { Conversation, planOf, type EntityOptions } from './decision-fixtures.js';

/** A company that is matched by its name, so that city and zip are free to differ. */
export function talkOf(conflict: Partial<ConflictPlan>, more: Partial<EntityOptions> = {}) {
  return new Conversation(
    planOf({
      leading: ['erp', 'crm'],
      entities: {
        company: {
          fields: { name: 'string', city: 'string', zip: 'string' },
          match: [['name']],
          conflict: { policy: 'leading', ...conflict },
          systems: { crm: {}, erp: {} },
          ...more,
        },
      },
    }),
  );
}

export const crm = (city: string | null, zip: string | null = '1') => ({
  id: 'c',
  crm_name: 'Acme',
  crm_city: city,
  crm_zip: zip,
});
export const erp = (city: string | null, zip: string | null = '1') => ({
  id: 'e',
  erp_name: 'Acme',
  erp_city: city,
  erp_zip: zip,
});
export const decisions = (outputs: readonly Output[]) =>
  outputs.filter((one): one is DecisionOutput => one.kind === 'decision');
