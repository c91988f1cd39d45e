import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { configurationJsonSchema } from '../../src/config/json-schema.js';
import { configurationReference } from '../../src/config/reference.js';
import { ERROR_KINDS } from '../../src/errors/codes.js';
import { DuologMetrics } from '../../src/tasks/metrics.js';

it('the published JSON Schema is the one that the code checks with (vitest -u writes it anew)', async () => {
  await expect(`${JSON.stringify(configurationJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
    '../../schemas/duolog.schema.json',
  );
});

it('docs/configuration.md explains every key of the schema and no other (DUOLOG_WRITE_DOCS=1 writes it anew)', () => {
  const file = new URL('../../docs/configuration.md', import.meta.url);
  const text = readFileSync(file, 'utf8');
  const marks = /(<!-- made from src\/config[^>]*begin -->\n)[^]*(<!-- end -->)/;
  expect(text).toMatch(marks);
  const current = text.replace(
    marks,
    (_all, begin: string, end: string) => `${begin}\n${configurationReference()}\n\n${end}`,
  );
  if (process.env.DUOLOG_WRITE_DOCS === '1') writeFileSync(file, current);
  expect(readFileSync(file, 'utf8')).toBe(current);
});

function headings(file: string): readonly string[] {
  const text = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
  return Array.from(text.matchAll(/^## ([A-Z_]+)$/gm), (match) => match[1] ?? '');
}

it('docs/errors.md explains every error code and no other, in order', () => {
  expect(headings('errors.md')).toEqual(Object.keys(ERROR_KINDS).sort());
  const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const then = { now: 'at once', backoff: 'after a pause', operator: 'after a person', never: 'gives up' };
  for (const [code, { retry }] of Object.entries(ERROR_KINDS)) {
    expect(text.slice(text.indexOf(`## ${code}\n`)).split('## ')[1], code).toContain(`Then: ${then[retry]}.`);
  }
});

it('docs/metrics.md names every metric with its labels and no other', async () => {
  const metrics = await new DuologMetrics(() => 0).registry.getMetricsAsJSON();
  const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  const documented = Array.from(text.matchAll(/^\| `(duolog_\w+)` \|/gm), (match) => match[1] ?? '');
  const own = metrics.map(({ name }) => name).filter((name) => name.startsWith('duolog_'));
  expect(documented.sort()).toEqual(own.sort());
});
