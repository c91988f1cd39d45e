import { describe, expect, it } from 'vitest';
import { checkConfiguration } from '../../src/config/load.js';
import { pathText } from '../../src/config/problems.js';
import type { Column, ColumnType, TableShape } from '../../src/model/table.js';
import { compilePlans, tablesNeeded } from '../../src/plan/compile.js';
import { compareFingerprints, fingerprintParts } from '../../src/plan/fingerprint.js';
import type { SyncPlan } from '../../src/plan/plan.js';
import { unmatchedTables } from '../../src/plan/unmatched.js';

const types: Readonly<Record<string, ColumnType>> = {
  text: { kind: 'text', maxLength: null },
  text9: { kind: 'text', maxLength: 9 },
  int: { kind: 'int32' },
  bigint: { kind: 'int64' },
  money: { kind: 'decimal', precision: 12, scale: 2 },
  stamp: { kind: 'timestamptz' },
  bytes: { kind: 'bytes' },
};

/** `id: bigint=` has a default, `name: text!` is NOT NULL, `x: int*` is generated; the first column is the key. */
function shape(system: string, entity: string, columns: Readonly<Record<string, string>>, keys = 1): TableShape {
  return {
    system,
    entity,
    table: `public.${entity}`,
    columns: Object.entries(columns).map(([name, text], at): Column => {
      const [, type = 'text', flags = ''] = /^(\w+)([!=*]*)$/.exec(text) ?? [];
      return {
        name,
        type: types[type]!,
        nativeType: type,
        nullable: at >= keys && !flags.includes('!'),
        hasDefault: flags.includes('='),
        generated: flags.includes('*'),
        comment: null,
      };
    }),
    key: Object.keys(columns).slice(0, keys),
    comment: null,
  };
}

const shapes: readonly TableShape[] = [
  shape('crm', 'company', {
    comp_id: 'bigint=',
    comp_name: 'text9!',
    comp_vat: 'text',
    comp_credit: 'money',
    comp_cur: 'text',
    comp_territory: 'text!',
    comp_deleted: 'int!=',
    comp_updated: 'stamp',
    comp_upper: 'text*',
    comp_logo: 'bytes',
  }),
  shape('erp', 'company', { id: 'text=', name: 'text!', vat: 'text', credit: 'money', cur: 'text', changed: 'stamp' }),
  shape('crm', 'person', { pers_id: 'bigint=', pers_company: 'bigint!', pers_email: 'text', pers_boss: 'bigint' }),
  shape('erp', 'person', { id: 'text=', company: 'text!', email: 'text', boss: 'text' }),
];

const base = `
kafka: { brokers: "a:9092", schemaRegistry: http://registry }
systems:
  crm: { connector: postgres, url: x }
  erp: { connector: postgres, url: y }
syncs:
  customers:
    leading: [erp]
    entities:
      person:
        fields: { company: reference(company), email: "string?", boss: "reference(person)?" }
        match: [{ on: [email] }]
        delete: hard
        systems:
          crm: { table: public.person, map: { company: pers_company, email: pers_email, boss: pers_boss } }
          erp: { table: public.contact, map: { company: company, email: email, boss: boss } }
      company:
        fields: { name: string, vat: "string?", credit: "decimal(12,2)?", currency: "string?" }
        match: [{ on: [vat], normalise: [case, spaces, punctuation] }]
        conflict: { policy: newest, within: 1s, fields: { credit: { lead: erp } } }
        delete: { crm: soft, erp: never }
        systems:
          crm:
            table: public.company
            map: { name: { column: comp_name, tooLong: truncate }, vat: comp_vat, credit: { column: comp_credit, write: false }, currency: comp_cur }
            insert: { set: { comp_territory: Worldwide } }
            softDelete: { column: comp_deleted, deleted: 1, present: 0 }
            updated: comp_updated
          erp: { table: public.customer, map: { name: name, vat: vat, credit: credit, currency: { column: cur, values: { "€": EUR, "$": USD } } } }
`;

function compile(text: string) {
  return compilePlans(checkConfiguration(text, 'f', {}).configuration, shapes);
}

function planOf(text: string): SyncPlan {
  const compiled = compile(text);
  if (!compiled.ok)
    throw new Error(compiled.problems.map((found) => `${pathText(found.path)}: ${found.message}`).join('\n'));
  return compiled.plans[0]!;
}

function problemsOf(text: string): string {
  const compiled = compile(text);
  if (compiled.ok) throw new Error('it was accepted');
  return compiled.problems
    .map(
      (found) =>
        `${pathText(found.path).replace('syncs.customers.entities.', '')}: ${found.message}. ${found.suggestion ?? ''}`,
    )
    .join('\n');
}

describe('configuration and catalogues compiled', () => {
  const plan = planOf(base);
  const company = plan.entities.find((entity) => entity.name === 'company')!;

  it('puts parents before children and tells parents their children', () => {
    expect(plan.entities.map((entity) => entity.name)).toEqual(['company', 'person']);
    expect(company.children).toEqual([{ entity: 'person', field: 'company' }]);
    expect(plan.entities[1]?.children).toEqual([{ entity: 'person', field: 'boss' }]);
    expect(plan.leading).toEqual(['erp', 'crm']);
  });

  it('takes over rules, deletes, constants and keys', () => {
    expect(company.conflict).toEqual({
      policy: 'newest',
      lead: null,
      withinMicros: 1_000_000,
      otherwise: 'leading',
      first: 'leading',
      groups: { credit: { policy: 'leading', lead: 'erp', withinMicros: 1_000_000, otherwise: 'leading' } },
    });
    const crm = company.systems['crm']!;
    expect(crm).toMatchObject({
      delete: 'soft',
      softDelete: { column: 'comp_deleted', deleted: 1, present: 0 },
      insertSet: { comp_territory: 'Worldwide', comp_deleted: 0 },
      updatedColumn: 'comp_updated',
      generatesKey: true,
      captured: true,
      written: true,
    });
    expect(crm.columns.find((column) => column.field === 'credit')).toMatchObject({ read: true, write: false });
    expect(crm.columns[0]).toMatchObject({ tooLong: 'truncate', columnType: { kind: 'text', maxLength: 9 } });
    expect(company.systems['erp']?.columns[3]?.values).toEqual([
      { column: '€', field: 'EUR' },
      { column: '$', field: 'USD' },
    ]);
  });

  it('makes a one-way target that nobody reads', () => {
    const oneWay = planOf(base.replace('table: public.contact,', 'table: public.contact, capture: false,'));
    const erp = oneWay.entities[1]?.systems['erp'];
    expect(erp?.captured).toBe(false);
    expect(erp?.columns.map((column) => [column.read, column.write])).toEqual([
      [false, true],
      [false, true],
      [false, true],
    ]);
  });

  it('names the tables whose shapes it needs', () => {
    expect(tablesNeeded(checkConfiguration(base, 'f', {}).configuration)).toContainEqual({
      sync: 'customers',
      system: 'erp',
      entity: 'person',
      table: 'public.contact',
    });
  });

  it.each<[string, (text: string) => string, RegExp]>([
    [
      'a column that is not there',
      (text) => text.replace('vat: comp_vat', 'vat: comp_vta'),
      /company\.systems\.crm\.map\.vat: public\.company has no column comp_vta\. Did you mean "comp_vat"\?/,
    ],
    [
      'a field that is not there',
      (text) => text.replace('vat: comp_vat', 'vat: comp_vat, nam: comp_logo'),
      /has no field nam\. Did you mean "name"\?/,
    ],
    [
      'types that do not meet',
      (text) =>
        text
          .replace('vat: comp_vat', 'vat: comp_vat, currency: comp_logo')
          .replace('currency: comp_cur', 'x: comp_cur')
          .replace('currency: "string?"', 'currency: date?, x: string?'),
      /a column of type bytes cannot hold a field of type date/,
    ],
    [
      'two fields for one column',
      (text) => text.replace('currency: comp_cur', 'currency: comp_vat'),
      /comp_vat is already written from the field vat/,
    ],
    [
      'a generated column to be written',
      (text) => text.replace('currency: comp_cur', 'currency: { column: comp_upper, write: true }'),
      /comp_upper is generated/,
    ],
    [
      'a value that the map cannot hold',
      (text) => text.replace('tooLong: truncate', 'values: { "a name too long": x }'),
      /the column cannot hold this value: it is longer than 9/,
    ],
    [
      'a row that cannot be inserted',
      (text) => text.replace('insert: { set: { comp_territory: Worldwide } }', ''),
      /comp_territory needs a value in new rows.*insert: { set/,
    ],
    [
      'a constant of the wrong type',
      (text) => text.replace('deleted: 1,', 'deleted: gone,'),
      /comp_deleted of type int cannot hold this value: it is not a whole number/,
    ],
    [
      'a soft delete without its flag',
      (text) => text.replace(/softDelete: .*/, 'read: true'),
      /delete is soft for crm, but softDelete is missing/,
    ],
    [
      'a system without a delete policy',
      (text) => text.replace('delete: { crm: soft, erp: never }', 'delete: { crm: soft }'),
      /delete: says nothing of erp/,
    ],
    [
      'a match on nothing',
      (text) => text.replace('on: [vat]', 'on: [vta]'),
      /match\[0\]\.on\[0\]: there is no field vta\. Did you mean "vat"\?/,
    ],
    ['a match that can never be', (text) => text.replace(', vat: vat,', ','), /the field vat is mapped in 1 system/],
    [
      'a match on a reference',
      (text) => text.replace('on: [email]', 'on: [company]'),
      /a field of type reference cannot be matched/,
    ],
    [
      'a rule for no field',
      (text) => text.replace('fields: { credit: { lead', 'fields: { credti: { lead'),
      /there is no field or group credti\. Did you mean "credit"\?/,
    ],
    [
      'a rule for part of a group',
      (text) => text.replace('credit: "decimal(12,2)?"', 'credit: { type: "decimal(12,2)?", group: money }'),
      /the field credit belongs to the group money/,
    ],
    [
      'a leader that is not there',
      (text) => text.replace('{ lead: erp }', '{ lead: epr }'),
      /the entity has no system epr\. Did you mean "erp"\?/,
    ],
    [
      'a parent that is not there',
      (text) => text.replace('reference(company)', 'reference(compny)'),
      /the sync has no entity compny\. Did you mean "company"\?/,
    ],
    [
      'a circle of references',
      (text) =>
        text
          .replace('name: string, vat', 'head: reference(person), name: string, vat')
          .replace('{ name: { column: comp_name', '{ head: comp_id, name: { column: comp_name')
          .replace('{ name: name, vat', '{ head: id, name: name, vat'),
      /person → company → person go round in a circle/,
    ],
    [
      'a field from nowhere',
      (text) =>
        text
          .replace('email: string?', 'email: string?')
          .replaceAll('boss: pers_boss', 'boss: { column: pers_boss, read: false }')
          .replace('boss: boss', 'boss: { column: boss, read: false }'),
      /fields\.boss: no system reads it/,
    ],
    [
      'an age that is no time',
      (text) => text.replace('updated: comp_updated', 'updated: comp_vat'),
      /comp_vat is of type text, not a timestamp/,
    ],
    [
      'reading where nothing is captured',
      (text) => text.replace('table: public.contact,', 'table: public.contact, capture: false, read: true,'),
      /it is to be read, but nothing is captured/,
    ],
  ])('refuses %s', (_name, change, expected) => {
    expect(change(base)).not.toBe(base);
    expect(problemsOf(change(base))).toMatch(expected);
  });

  it.each(['public.customer', 'customer', '"public"."customer"'])(
    'refuses one table for two entities, the second time written %s',
    (written) => {
      const text = base.replace('public.contact', `'${written}'`);
      const shared = shapes.map((each) => (each.system === 'erp' ? { ...each, table: 'public.customer' } : each));
      const compiled = compilePlans(checkConfiguration(text, 'f', {}).configuration, shared);
      expect(compiled.ok ? [] : compiled.problems.map(({ message }) => message)).toEqual([
        'public.customer already belongs to the entity person',
      ]);
    },
  );

  it('refuses a reference to a key of two columns', () => {
    const composite = [
      ...shapes.filter((each) => !(each.system === 'erp' && each.entity === 'company')),
      shape('erp', 'company', { id: 'text', name: 'text', vat: 'text', credit: 'money', cur: 'text' }, 2),
    ];
    const compiled = compilePlans(checkConfiguration(base, 'f', {}).configuration, composite);
    expect(compiled.ok ? [] : compiled.problems.map((found) => found.message)).toContainEqual(
      expect.stringContaining('whose key has 2 columns'),
    );
  });

  it('warns of an empty field that meets a column which may not be empty', () => {
    const compiled = compile(base.replace('fields: { name: string,', 'fields: { name: string?,'));
    expect(compiled.warnings.map((warning) => warning.message)).toContainEqual(
      expect.stringContaining('the field may be empty, but comp_name may not'),
    );
  });
});

describe('the fingerprint of what decides', () => {
  const stored = fingerprintParts(planOf(base));
  const compareWith = (text: string) => compareFingerprints(stored, fingerprintParts(planOf(text)));

  it('does not see order, limits or addresses', () => {
    const same = base
      .replace('name: string, vat: "string?",', 'vat: "string?", name: string,')
      .replace('url: x', 'url: z');
    expect(planOf(`${same}limits: { batchRecords: 7 }`).fingerprint).toBe(planOf(base).fingerprint);
    expect(compareWith(same)).toEqual({ kind: 'same' });
  });

  it('tells an added field from a change', () => {
    const added = base
      .replace('currency: "string?" }', 'currency: "string?", upper: string? }')
      .replace('currency: comp_cur', 'currency: comp_cur, upper: comp_upper');
    expect(compareWith(added)).toEqual({ kind: 'fields-added', fields: ['company.upper'] });
    expect(planOf(added).fingerprint).not.toBe(planOf(base).fingerprint);
  });

  it.each<[string, string, string, string]>([
    ['the order of precedence', 'leading: [erp]', 'leading: [crm, erp]', 'sync'],
    ['a policy', 'policy: newest', 'policy: hold', 'entity.company'],
    ['a match rule', 'case, spaces, punctuation', 'case, spaces', 'entity.company'],
    ['a delete policy', 'erp: never', 'erp: hard', 'entity.company'],
    ['a value map', '"$": USD', '"$": US', 'field.company.currency'],
    ['a type', 'vat: "string?"', 'vat: string', 'field.company.vat'],
    ['a direction', '{ column: comp_credit, write: false }', 'comp_credit', 'field.company.credit'],
    ['a field that went', 'boss: pers_boss', 'email: pers_email', 'field.person.boss'],
  ])('sees %s', (_name, from, to, part) => {
    expect(base).toContain(from);
    const changed =
      part === 'field.person.boss'
        ? base.replace(', boss: "reference(person)?"', '').replace(', boss: pers_boss', '').replace(', boss: boss', '')
        : base.replace(from, to);
    const comparison = compareWith(changed);
    expect(comparison.kind).toBe('changed');
    expect(comparison.kind === 'changed' ? comparison.parts : []).toContain(part);
  });
});

describe('tables that a first start would double', () => {
  const unmatched = (text: string) => {
    const { configuration } = checkConfiguration(text, 'f', {});
    return unmatchedTables(configuration, [planOf(text)]).map(({ table, why }) => `${table}: ${why}`);
  };
  const rule = 'match: [{ on: [email] }]';

  it('are none where a rule works in every written table', () => {
    expect(unmatched(base)).toEqual([]);
  });

  it('are all written tables of an entity without a rule, unless it says match: none', () => {
    expect(unmatched(base.replace(rule, 'match: []'))).toEqual([
      'public.person: the entity has no match rule',
      'public.contact: the entity has no match rule',
    ]);
    expect(unmatched(base.replace(rule, 'match: none'))).toEqual([]);
  });

  it('are those of which nothing is captured, and those without the columns of any rule', () => {
    const uncaptured = base.replace('table: public.contact,', 'table: public.contact, capture: false,');
    expect(unmatched(uncaptured)).toEqual([
      'public.contact: the table is not captured, so that its rows are never seen',
    ]);
    const withoutColumn = base
      .replace(rule, 'match: [{ on: [email, boss2] }]')
      .replace('boss: "reference(person)?"', 'boss: "reference(person)?", boss2: "string?"')
      .replace('pers_email, boss: pers_boss', 'pers_email, boss2: pers_boss');
    expect(() => unmatched(withoutColumn)).toThrow('the field boss2 is mapped in 1 system');
    const readOnly = base
      .replace(rule, 'match: []')
      .replace('table: public.contact,', 'table: public.contact, write: false,');
    expect(unmatched(readOnly)).toEqual(['public.person: the entity has no match rule']);
  });
});
