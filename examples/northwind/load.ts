import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import {
  type Company,
  countryCode,
  customers,
  exampleFolder,
  misspelledCompany,
  readTable,
  suppliers,
  surnameFirst,
  text,
} from './northwind-data.js';

/** Rows as JSON texts and numbers; Postgres casts them to the columns' types. */
type Rows = readonly { readonly [column: string]: string | number | boolean | null }[];

/** All that exists was last touched long before the demo, the CRM's rows a year after the ERP's. */
const erpChanged = '2018-06-01T08:00:00Z';
const crmChanged = '2019-06-01T08:00:00Z';

/** Creates the ERP's tables in an empty database and fills them with Northwind. */
export async function loadErp(url: string): Promise<void> {
  await inTransaction(url, 'erp.sql', async (client) => {
    const companies = customers();
    await insert(client, 'customer', companies.map(customerRow));
    await insert(client, 'contact', companies.map(contactRow));
    await insert(client, 'product', productRows());
    await insert(client, 'sales_order', orderRows());
    await insert(client, 'order_line', orderLineRows());
  });
}

/**
 * Creates the CRM's tables in an empty database: every third of the ERP's companies with its person, spelled a little
 * differently, and Northwind's suppliers, whom the ERP does not know. No products, no orders.
 */
export async function loadCrm(url: string): Promise<void> {
  await inTransaction(url, 'crm.sql', async (client) => {
    const known = customers()
      .filter((_, index) => index % 3 === 0)
      .map((company, index) => misspelled(company, index));
    const companies = [...known, ...suppliers()];
    await insert(client, 'company', companies.map(companyRow));
    await insert(client, 'person', companies.map(personRow));
  });
}

/** Whether a database has the table that tells that it was filled. */
export async function isLoaded(url: string, table: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  // A connection that is lost while nothing is asked; whatever is asked next says so.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [table]);
    return rows[0]?.found ?? false;
  } finally {
    await client.end();
  }
}

function misspelled(company: Company, index: number): Company {
  const { person } = company;
  const phone = index % 2 === 0 ? null : company.phone;
  const title = person.title?.replace('Representative', 'Rep.') ?? null;
  return {
    ...company,
    name: misspelledCompany(company.name, index),
    phone,
    person: { ...person, name: surnameFirst(person.name), title },
  };
}

function customerRow(company: Company) {
  const { address } = company;
  return {
    customer_id: company.id,
    company_name: company.name,
    vat_number: company.vat,
    address: address.address ?? null,
    city: address.city ?? null,
    region: address.region ?? null,
    postal_code: address.postal_code ?? null,
    country: company.country,
    phone: company.phone,
    credit_limit: company.credit,
    changed_at: erpChanged,
  };
}

function contactRow(company: Company) {
  const { person } = company;
  return {
    contact_id: `${company.id}-1`,
    customer_id: company.id,
    full_name: person.name,
    job_title: person.title,
    email: person.email,
    phone: company.phone,
    changed_at: erpChanged,
  };
}

function productRows(): Rows {
  return readTable('products').map((row) => ({
    product_id: text(row, 'product_id'),
    product_name: text(row, 'product_name'),
    quantity_per_unit: row.quantity_per_unit ?? null,
    unit_price: text(row, 'unit_price'),
    discontinued: row.discontinued === '1',
  }));
}

function orderRows(): Rows {
  return readTable('orders').map((row) => ({
    order_id: text(row, 'order_id'),
    customer_id: text(row, 'customer_id'),
    order_date: text(row, 'order_date'),
    required_date: row.required_date ?? null,
    shipped_date: row.shipped_date ?? null,
    freight: text(row, 'freight'),
    ship_name: row.ship_name ?? null,
    ship_city: row.ship_city ?? null,
    ship_country: row.ship_country ?? null,
  }));
}

function orderLineRows(): Rows {
  return readTable('order_details').map((row) => ({
    order_id: text(row, 'order_id'),
    product_id: text(row, 'product_id'),
    unit_price: text(row, 'unit_price'),
    quantity: text(row, 'quantity'),
    discount: text(row, 'discount'),
  }));
}

const crmRegions = ['Europe', 'Americas', 'Asia'];

function companyRow(company: Company, index: number) {
  const { address } = company;
  return {
    comp_companyid: index + 1,
    comp_name: company.name,
    comp_vat: company.vat,
    comp_street: address.address ?? null,
    comp_city: address.city ?? null,
    comp_state: address.region ?? null,
    comp_zip: address.postal_code ?? null,
    comp_country: countryCode(company.country),
    comp_phone: company.phone,
    comp_creditlimit: null,
    comp_territory: crmRegions[index % crmRegions.length] ?? null,
    comp_createddate: crmChanged,
    comp_updateddate: crmChanged,
  };
}

function personRow(company: Company, index: number) {
  const { person } = company;
  return {
    pers_personid: index + 1,
    pers_companyid: index + 1,
    pers_fullname: person.name,
    pers_title: person.title,
    pers_email: person.email,
    pers_phone: company.phone,
    pers_territory: crmRegions[index % crmRegions.length] ?? null,
    pers_createddate: crmChanged,
    pers_updateddate: crmChanged,
  };
}

async function inTransaction(url: string, schema: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  // A connection that is lost while nothing is asked; whatever is asked next says so.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('BEGIN');
    await client.query(readFileSync(join(exampleFolder, schema), 'utf8'));
    await work(client);
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
}

async function insert(client: pg.Client, table: string, rows: Rows): Promise<void> {
  const columns = Object.keys(rows[0] ?? {})
    .map(pg.escapeIdentifier)
    .join(', ');
  const statement = `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM json_populate_recordset(null::${table}, $1)`;
  await client.query(statement, [JSON.stringify(rows)]);
}
