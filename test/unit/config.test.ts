import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkConfiguration } from '../../src/config/load.js';
import { redactSecrets } from '../../src/config/redaction.js';
import { DuologError } from '../../src/errors/duolog-error.js';

const file = 'duolog.yaml';
const small = `
kafka: { brokers: "a:9092, b:9092", schemaRegistry: http://registry }
systems:
  crm: { connector: postgres, url: "\${CRM_URL:-postgres://me:hunter2@crm/crm}" }
  erp: { connector: postgres, url: "\${ERP_URL}" }
syncs:
  customers:
    leading: [erp, crm]
    entities:
      company:
        fields: { name: string, vat: "string?" }
        match: [{ on: [vat] }]
        delete: hard
        systems:
          crm: { table: public.company, map: { name: comp_name, vat: { column: comp_vat, tooLong: truncate } } }
          erp: { table: public.customer, map: { name: name, vat: vat } }
`;

function errorOf(text: string, environment: Record<string, string> = { ERP_URL: 'postgres://x' }): string {
  try {
    checkConfiguration(text, file, environment);
  } catch (error) {
    if (error instanceof DuologError) return error.message;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

describe('the configuration file', () => {
  it('gets its variables and defaults', () => {
    const { configuration } = checkConfiguration(small, file, { ERP_URL: 'postgres://erp: not # yaml' });
    expect(configuration.prefix).toBe('duolog');
    expect(configuration.kafka.brokers).toEqual(['a:9092', 'b:9092']);
    expect(configuration.kafka.schemaRegistry).toEqual({ url: 'http://registry' });
    expect(configuration.systems['erp']?.url).toBe('postgres://erp: not # yaml');
    expect(configuration.systems['crm']?.url).toBe('postgres://me:hunter2@crm/crm');
    expect(configuration.retention.changesMs).toBe(7 * 86_400_000);
    expect(configuration.http).toEqual({ host: '127.0.0.1', port: 8080 });
    const company = configuration.syncs['customers']?.entities['company'];
    expect(company?.fields['vat']).toEqual({ type: { kind: 'string' }, nullable: true, group: null });
    expect(company?.match).toEqual([{ on: ['vat'], normalise: ['case', 'spaces'] }]);
    expect(company?.systems['erp']?.map['name']).toEqual({ column: 'name' });
  });

  it('keeps the meaning of unquoted numbers that come from variables', () => {
    const { configuration } = checkConfiguration(`${small}http:\n  port: \${PORT}`, file, {
      ERP_URL: 'x',
      PORT: '9090',
    });
    expect(configuration.http.port).toBe(9090);
    expect(errorOf(`${small}http: { port: "\${PORT}" }`, { ERP_URL: 'x', PORT: '9090' })).toContain(
      'http.port: must be',
    );
  });

  it('takes $${ as a literal ${', () => {
    const { configuration } = checkConfiguration(
      small.replace('http://registry', () => '"http://h/$${x}"'),
      file,
      {
        ERP_URL: 'x',
      },
    );
    expect(configuration.kafka.schemaRegistry.url).toBe('http://h/${x}');
  });

  it('says where a variable is missing', () => {
    expect(errorOf(small, {})).toContain(
      'duolog.yaml:5:31 systems.erp.url: the environment variable ERP_URL is not set. Set it, or write ${ERP_URL:-default}.',
    );
  });

  it('says of a value whose variable is missing nothing but that', () => {
    const message = errorOf(
      small.replace('http://registry', () => '"${REGISTRY}"'),
      { ERP_URL: 'x' },
    );
    expect(message).toContain('The configuration has one problem');
    expect(message).toContain('the environment variable REGISTRY is not set');
  });

  it.each(['1.50', 'true', '007', 'a: {b'])('takes the password %s for a text', (password) => {
    const block = small.replace(
      /^kafka: .*$/m,
      () => `kafka:
  brokers: a:9092
  schemaRegistry:
    url: http://registry
    username: \${USER}
    password: \${PASSWORD}`,
    );
    const { configuration } = checkConfiguration(block, file, { ERP_URL: 'x', USER: '12', PASSWORD: password });
    expect(configuration.kafka.schemaRegistry).toMatchObject({ username: '12', password });
  });

  it('says of a password what is wrong with it', () => {
    const login = '{ url: "http://registry", username: me, password: "${PASSWORD}" }';
    const message = errorOf(small.replace('http://registry', () => login));
    expect(message).toContain('kafka.schemaRegistry.password - the environment variable PASSWORD is not set');
  });

  it('says the first mistake in the YAML alone, and nothing of the file', () => {
    const message = errorOf(`a: { url: \${URL}, password: hunter2 }\n${small}`);
    expect(message).toContain('one problem');
    expect(message).toMatch(/duolog\.yaml:1:12 .*flow-map-start.*a variable is put in quotes: "\$\{NAME\}"/);
    const key = errorOf(`- hunter2\n${small}`);
    expect(key).toContain('duolog.yaml:');
    expect(message + key).not.toContain('hunter');
  });

  it('reports several problems at once, with line, column, path and suggestion', () => {
    const broken = small
      .replace('kafka:', 'prefx: x\nkafka:')
      .replace('tooLong', 'tolong')
      .replace('delete: hard', 'delete: { crm: sof, erp: hard }\n        conflict: { policy: newst }')
      .replace('vat: "string?"', 'vat: strin');
    const message = errorOf(broken);
    expect(message).toContain('The configuration has 5 problems');
    expect(message).toContain('duolog.yaml:2:1 prefx: unknown key. Did you mean "prefix"?');
    expect(message).toMatch(/:12:\d+ syncs\.customers\.entities\.company\.fields\.vat: must be one of string, integer/);
    expect(message).toMatch(
      /:14:\d+ syncs\.customers\.entities\.company\.delete\.crm: must be .* Did you mean "soft"\?/,
    );
    expect(message).toMatch(/conflict\.policy: must be leading, newest or hold\. Did you mean "newest"\?/);
    expect(message).toMatch(/map\.vat\.tolong: unknown key\. Did you mean "tooLong"\?/);
  });

  it('takes match: none for a word of its own, and helps where it is misspelled', () => {
    const none = small.replace('match: [{ on: [vat] }]', 'match: none');
    const { configuration } = checkConfiguration(none, file, { ERP_URL: 'x' });
    expect(configuration.syncs['customers']?.entities['company']?.match).toBe('none');
    expect(errorOf(small.replace('match: [{ on: [vat] }]', 'match: non'))).toMatch(
      /company\.match: must be none\. Did you mean "none"\?/,
    );
    expect(errorOf(small.replace('on: [vat]', 'onn: [vat]'))).toMatch(/match\[0\]\.onn: unknown key/);
  });

  it.each([
    [
      'a filter, which does not exist yet',
      small.replace('map: { name: name', "select: 'x', map: { name: name"),
      /select: unknown key/,
    ],
    ['another kind of system', small.replace('connector: postgres', 'connector: sqlserver'), /known: postgres/],
    [
      'a system that is not there',
      small.replace('[erp, crm]', '[erp, cmr]'),
      /leading\[1\]: there is no system cmr\. Did you mean "crm"\?/,
    ],
    ['a name with capitals', small.replace('  company:', '  Company:'), /Company: the name must be lower-case/],
    ['what is missing', small.replace('table: public.customer,', ''), /systems\.erp\.table: is missing/],
    ['a duration without a unit', `${small}retention: { changes: 7 }`, /retention\.changes: must be a duration/],
    [
      'more copies than brokers keep',
      small.replace('kafka: {', 'kafka: { replicationFactor: 1,'),
      /minInsyncReplicas: is 2, more than the 1/,
    ],
    ['an impossible decimal', small.replace('"string?"', '"decimal(2,3)"'), /vat: a decimal needs a precision/],
    [
      'an entity of two syncs',
      small + small.slice(small.indexOf('  customers:')).replace('customers:', 'more:'),
      /already in the sync customers/,
    ],
    ['no YAML', 'a: [', /duolog\.yaml:1:\d+/],
    ['nothing', '', /must be a map|is missing/],
  ])('refuses %s', (_name, text, expected) => {
    expect(errorOf(text)).toMatch(expected);
  });

  it('never shows a secret', () => {
    const message = errorOf(
      small.replace('url: "${ERP_URL}"', 'url: [ "postgres://me:hunter2@erp" ]').replace('hard', 'hunter3'),
    );
    expect(message).toContain('systems.erp.url: must be a text');
    expect(message).not.toContain('hunter');
  });

  it('limits aliases, so that a small file cannot grow into a huge one', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n`;
    expect(errorOf(bomb + small)).toContain('alias');
  });

  it('accepts the example', () => {
    const text = readFileSync(new URL('../../examples/northwind/duolog.yaml', import.meta.url), 'utf8');
    const environment = { KAFKA_BROKERS: 'k:1', SCHEMA_REGISTRY_URL: 'http://r', CRM_URL: 'c', ERP_URL: 'e' };
    expect(Object.keys(checkConfiguration(text, file, environment).configuration.syncs)).toEqual(['trade']);
  });
});

describe('redaction', () => {
  it.each([
    ['postgres://me:p%40ss@host/db', 'postgres://me:***@host/db'],
    ['connect to http://a:b@c and postgres://d:e@f', 'connect to http://a:***@c and postgres://d:***@f'],
    ['?user=x&password=secret&ssl=1', '?user=x&password=***&ssl=1'],
    ["password: 'two words', next", 'password: ***, next'],
    ['{"password":"x y","a":1}', '{"password":***,"a":1}'],
    ['Authorization: Bearer abc.def', 'Authorization: Bearer ***'],
    ['postgres://host/db without login', 'postgres://host/db without login'],
  ])('%s', (text, expected) => expect(redactSecrets(text)).toBe(expected));
});
