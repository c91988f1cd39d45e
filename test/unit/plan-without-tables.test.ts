import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { checkConfiguration } from '../../src/config/load.js';
import { pathText } from '../../src/config/problems.js';
import { compilePlans } from '../../src/plan/compile.js';

const example = readFileSync(new URL('../../examples/northwind/duolog.yaml', import.meta.url), 'utf8');
const environment = { KAFKA_BROKERS: 'k:1', SCHEMA_REGISTRY_URL: 'http://r', CRM_URL: 'c', ERP_URL: 'e' };

function problemsOf(text: string): readonly string[] {
  const compiled = compilePlans(checkConfiguration(text, 'f', environment).configuration, null);
  if (compiled.ok) return [];
  return compiled.problems.map(({ path, message }) => `${pathText(path.slice(3))}: ${message}`);
}

it('while nothing is known of the tables, a right configuration has no problem', () => {
  expect(problemsOf(example)).toEqual([]);
});

it.each([
  ['vat: comp_vat', 'vatt: comp_vat', 'company.systems.crm.map.vatt: the entity company has no field vatt'],
  ['on: [vat]', 'on: [vta]', 'company.match[0].on[0]: there is no field vta'],
  ['name: { policy', 'nam: { policy', 'company.conflict.fields.nam: there is no field or group nam'],
  ['lead: crm }', 'lead: crmm }', 'company.conflict.fields.name.lead: the entity has no system crmm'],
  ['delete: { erp: hard,', 'delete: { epr: hard,', 'company.delete.epr: the entity has no system epr'],
  [/softDelete: .*comp_deleted.*/, '', 'company.systems.crm: delete is soft for crm, but softDelete is missing'],
  ['reference(company)', 'reference(compny)', 'person.fields.company: the sync has no entity compny'],
  [
    'public.contact',
    'public.customer',
    'person.systems.erp.table: public.customer already belongs to the entity company',
  ],
])('and %s as %s is told', (right, wrong, problem) => {
  expect(problemsOf(example.replace(right, wrong))).toContain(problem);
});
