import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { packageRoot } from '../../deploy/dev/paths.js';

/** Northwind as it came, and what the example makes up on top of it. The same for everybody, run after run. */

export type CsvRow = { readonly [column: string]: string | null };

/** The folder of this example's files that are not code. */
export const exampleFolder = join(packageRoot(), 'examples', 'northwind');

/** One of Northwind's tables; an empty cell is null. */
export function readTable(name: 'customers' | 'suppliers' | 'products' | 'orders' | 'order_details'): CsvRow[] {
  const text = readFileSync(join(exampleFolder, 'data', `${name}.csv`), 'utf8');
  return parse(text, { columns: true, cast: (cell) => (cell === '' ? null : cell) });
}

/** A company with its person, as both systems may know them. */
export interface Company {
  /** Northwind's own: ALFKI for a customer, a number for a supplier. */
  readonly id: string;
  readonly name: string;
  readonly vat: string;
  readonly address: CsvRow;
  readonly country: string;
  readonly phone: string | null;
  readonly credit: string;
  readonly person: { readonly name: string; readonly title: string | null; readonly email: string };
}

export function customers(): Company[] {
  return readTable('customers').map((row) => company(row, text(row, 'customer_id')));
}

export function suppliers(): Company[] {
  return readTable('suppliers').map((row) => company(row, text(row, 'supplier_id')));
}

export function text(row: CsvRow, column: string): string {
  const value = row[column];
  if (value === null || value === undefined) throw new Error(`Northwind has no ${column} in a row that needs one`);
  return value;
}

function company(row: CsvRow, id: string): Company {
  const name = text(row, 'company_name');
  const contact = text(row, 'contact_name');
  const country = text(row, 'country');
  return {
    id,
    name,
    vat: `${countryCode(country)}${digits(name, 9)}`,
    address: row,
    country,
    phone: row.phone ?? null,
    credit: `${(Number(digits(name, 2)) + 1) * 500}.00`,
    person: {
      name: contact,
      title: row.contact_title ?? null,
      email: `${letters(contact, '.')}@${letters(name, '-')}.example`,
    },
  };
}

const countryCodes: { readonly [country: string]: string } = {
  Argentina: 'AR',
  Australia: 'AU',
  Austria: 'AT',
  Belgium: 'BE',
  Brazil: 'BR',
  Canada: 'CA',
  Denmark: 'DK',
  Finland: 'FI',
  France: 'FR',
  Germany: 'DE',
  Ireland: 'IE',
  Italy: 'IT',
  Japan: 'JP',
  Mexico: 'MX',
  Netherlands: 'NL',
  Norway: 'NO',
  Poland: 'PL',
  Portugal: 'PT',
  Singapore: 'SG',
  Spain: 'ES',
  Sweden: 'SE',
  Switzerland: 'CH',
  UK: 'GB',
  USA: 'US',
  Venezuela: 'VE',
};

/** ISO 3166, as the CRM writes countries. */
export function countryCode(country: string): string {
  const code = countryCodes[country];
  if (code === undefined) throw new Error(`No code for the country ${country}`);
  return code;
}

/** So many digits made of a text: made up, but always the same. */
function digits(seed: string, count: number): string {
  let hash = 2166136261;
  for (const character of seed) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619) >>> 0;
  return String(hash).padStart(count, '0').slice(-count);
}

/** A text in plain lower-case letters, its words joined. */
function letters(value: string, joiner: string): string {
  const plain = value.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
  return plain
    .split(/[^a-z]+/)
    .filter(Boolean)
    .join(joiner);
}

/** How the CRM's people typed what the ERP has too: the same thing, spelled a little differently. */
export function misspelledCompany(name: string, index: number): string {
  switch (index % 4) {
    case 0:
      return name.toUpperCase();
    case 1:
      return name.normalize('NFD').replace(/\p{M}/gu, '');
    case 2:
      return `${name} Ltd.`;
    default:
      return name.replaceAll(' ', '  ');
  }
}

/** `Maria Anders` as `Anders, Maria`. */
export function surnameFirst(name: string): string {
  const [first, ...rest] = name.split(' ');
  return rest.length === 0 ? name : `${rest.join(' ')}, ${first}`;
}
