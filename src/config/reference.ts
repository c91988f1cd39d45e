import { configurationJsonSchema } from './json-schema.js';

/** A part of the JSON Schema as far as the reference reads it. */
interface Part {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Part>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Part | boolean;
  readonly items?: Part;
  readonly anyOf?: readonly Part[];
  readonly oneOf?: readonly Part[];
}

/** What a map's own keys are called in the reference. */
const MAP_KEYS: Readonly<Record<string, string>> = {
  systems: '‹system›',
  syncs: '‹sync›',
  entities: '‹entity›',
  fields: '‹field›',
  map: '‹field›',
  delete: '‹system›',
};

/** Every key of the configuration as rows of a Markdown table; docs/configuration.md has it between its marks. */
export function configurationReference(): string {
  const rows: string[] = [];
  addProperties(configurationJsonSchema(), '', rows);
  return ['| key | default | meaning |', '|---|---|---|', ...rows].join('\n');
}

function addProperties(part: Part, prefix: string, rows: string[]): void {
  for (const [key, value] of Object.entries(part.properties ?? {})) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    addRow(path, value, part.required?.includes(key) === true, rows);
    addBelow(path, key, value, rows);
  }
}

function addBelow(path: string, key: string, part: Part, rows: string[]): void {
  for (const alternative of [part, ...(part.anyOf ?? []), ...(part.oneOf ?? [])]) {
    addProperties(alternative, path, rows);
    if (alternative.items !== undefined) addProperties(alternative.items, `${path}[]`, rows);
    const member = alternative.additionalProperties;
    const name = MAP_KEYS[key];
    if (typeof member !== 'object' || name === undefined) continue;
    if (member.description !== undefined) addRow(`${path}.${name}`, member, false, rows);
    addBelow(`${path}.${name}`, '', member, rows);
  }
}

function addRow(path: string, part: Part, required: boolean, rows: string[]): void {
  const description = part.description;
  if (description === undefined) throw new Error(`The configuration key ${path} has no description`);
  const fallback = required && part.default === undefined ? 'required' : defaultText(part.default);
  rows.push(`| \`${path}\` | ${fallback} | ${description.replaceAll('|', '\\|')} |`);
}

function defaultText(value: unknown): string {
  if (value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0))
    return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}
