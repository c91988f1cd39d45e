import pg from 'pg';
import type { Agreements, RecordName } from './subscriber.js';

/** The scripted edits: what a person does in one system or in both, and how one sees in the other that it arrived. */

export interface Databases {
  readonly erp: pg.Pool;
  readonly crm: pg.Pool;
}

export interface Edit {
  readonly title: string;
  /** Makes the edit. */
  play(databases: Databases): Promise<Played>;
}

export interface Played {
  /** What was done, for people. */
  readonly done: readonly string[];
  /** What is to be seen, and where. */
  readonly arrivals: readonly Arrival[];
  /** The record whose decisions are to be shown. */
  readonly record: RecordName;
  /** Both sides changed the same: there will be a decision of a conflict, unless one came much earlier. */
  readonly conflict?: boolean;
  /** The agreed record shows all of it; by default once a version of it was published. */
  readonly told?: (agreements: Agreements) => boolean;
}

export interface Arrival {
  readonly system: 'erp' | 'crm';
  /** What is looked for, for whoever waits in vain. */
  readonly what: string;
  /** What is to be seen there now, or null while it has not come. */
  readonly look: (databases: Databases) => Promise<string | null>;
}

/** Arrived once the query gives a row. */
function arrival(system: Arrival['system'], what: string, query: string, parameters: readonly unknown[]): Arrival {
  const look = async (databases: Databases) =>
    (await databases[system].query(query, [...parameters])).rowCount === 0 ? null : what;
  return { system, what, look };
}

/** Different on each run, so that a second demo on the same databases has something to change. */
const run = String(Date.now() % 1_000_000).padStart(6, '0');

export const edits: readonly Edit[] = [
  { title: 'A telephone number changes in the ERP', play: updateInErp },
  { title: 'A company is renamed in the CRM', play: updateInCrm },
  { title: 'Different fields of one company change on both sides at once', play: differentFields },
  { title: 'The same field changes on both sides at once', play: sameField },
  { title: 'A company comes with its person in the CRM', play: newCompany },
  { title: 'An order comes with its lines in the ERP', play: newOrder },
  { title: 'A company and its contact are deleted in the ERP', play: deleteInErp },
  { title: 'A company and its person are deleted in the CRM', play: deleteInCrm },
  { title: 'A burst of 200 edits of one record in the ERP', play: burst },
];

async function updateInErp({ erp }: Databases): Promise<Played> {
  const phone = `030-${run}`;
  await erp.query(`UPDATE customer SET phone = $1 WHERE customer_id = 'ALFKI'`, [phone]);
  return {
    done: [`erp: ALFKI's telephone is now ${phone}`],
    arrivals: [await crmCompany(erp, 'ALFKI', { comp_phone: phone })],
    record: { entity: 'company', system: 'erp', key: 'ALFKI' },
  };
}

async function updateInCrm({ erp, crm }: Databases): Promise<Played> {
  const vat = await vatOf(erp, 'ANTON');
  const name = `Antonio Moreno Taquería ${run}`;
  await crm.query('UPDATE company SET comp_name = $1 WHERE comp_vat = $2 AND comp_deleted = 0', [name, vat]);
  return {
    done: [`crm: the company with VAT number ${vat} is now called ${name}`],
    arrivals: [erpCustomer('ANTON', { company_name: name })],
    record: { entity: 'company', system: 'erp', key: 'ANTON' },
  };
}

async function differentFields({ erp, crm }: Databases): Promise<Played> {
  const vat = await vatOf(erp, 'AROUT');
  const street = `${run} Hanover Sq.`;
  const phone = `(171) ${run}`;
  await together(
    [erp, `UPDATE customer SET address = $1 WHERE customer_id = 'AROUT'`, [street]],
    [crm, 'UPDATE company SET comp_phone = $1 WHERE comp_vat = $2 AND comp_deleted = 0', [phone, vat]],
  );
  return {
    done: [`erp: AROUT moves to ${street}`, `crm: its telephone is now ${phone}`],
    arrivals: [
      await crmCompany(erp, 'AROUT', { comp_street: street, comp_phone: phone }),
      erpCustomer('AROUT', { address: street, phone }),
    ],
    record: { entity: 'company', system: 'erp', key: 'AROUT' },
    told: ({ now }) => now?.fields['street'] === street && now.fields['phone'] === phone,
  };
}

async function sameField({ erp, crm }: Databases): Promise<Played> {
  const vat = await vatOf(erp, 'BERGS');
  const [ours, theirs] = [`0921-1${run}`, `0921-2${run}`];
  await together(
    [erp, `UPDATE customer SET phone = $1 WHERE customer_id = 'BERGS'`, [ours]],
    [crm, 'UPDATE company SET comp_phone = $1 WHERE comp_vat = $2 AND comp_deleted = 0', [theirs, vat]],
  );
  return {
    done: [`erp: BERGS' telephone is now ${ours}`, `crm: no, it is ${theirs}`],
    arrivals: [
      {
        system: 'crm',
        what: 'one of both numbers on both sides',
        // Which one is Duolog's to decide: commits that are far enough apart have an order.
        look: async (databases) => {
          const phones = await Promise.all([
            databases.erp.query<{ phone: string }>(`SELECT phone FROM customer WHERE customer_id = 'BERGS'`),
            databases.crm.query<{ phone: string }>(
              'SELECT comp_phone AS phone FROM company WHERE comp_vat = $1 AND comp_deleted = 0',
              [vat],
            ),
          ]);
          const [left, right] = phones.map(({ rows }) => rows[0]?.phone);
          return left !== undefined && left === right ? `${left} on both sides` : null;
        },
      },
    ],
    record: { entity: 'company', system: 'erp', key: 'BERGS' },
    conflict: true,
  };
}

async function newCompany({ crm }: Databases): Promise<Played> {
  const vat = `DE9${run}00`;
  const email = `hanna.neu.${run}@neu.example`;
  const key = await inTransaction(crm, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `INSERT INTO company (comp_name, comp_vat, comp_city, comp_country, comp_territory)
       VALUES ('Neu & Söhne GmbH', $1, 'Köln', 'DE', 'Worldwide') RETURNING comp_companyid AS id`,
      [vat],
    );
    await client.query(
      `INSERT INTO person (pers_companyid, pers_fullname, pers_email, pers_territory)
       VALUES ($1, 'Hanna Neu', $2, 'Worldwide')`,
      [rows[0]?.id, email],
    );
    return String(rows[0]?.id);
  });
  return {
    done: [`crm: Neu & Söhne GmbH is company ${key}, Hanna Neu works there`],
    arrivals: [
      arrival(
        'erp',
        'both, the contact under the key that the ERP gave the customer',
        `SELECT 1 FROM contact JOIN customer USING (customer_id)
                 WHERE email = $1 AND vat_number = $2 AND country = 'Germany'`,
        [email, vat],
      ),
    ],
    record: { entity: 'company', system: 'crm', key },
    told: onBothSides,
  };
}

async function newOrder({ erp }: Databases): Promise<Played> {
  const order = await inTransaction(erp, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `INSERT INTO sales_order (customer_id, order_date, freight, ship_name)
       VALUES ('ALFKI', current_date, 12.50, 'Alfreds Futterkiste') RETURNING order_id AS id`,
    );
    await client.query(
      `INSERT INTO order_line (order_id, product_id, unit_price, quantity)
       VALUES ($1, '1', 18.00, 10), ($1, '2', 19.00, 5)`,
      [rows[0]?.id],
    );
    return String(rows[0]?.id);
  });
  return {
    done: [`erp: ALFKI orders 10 of product 1 and 5 of product 2 (order ${order})`],
    arrivals: [
      arrival(
        'crm',
        'the order and both lines, referring by the keys of the CRM',
        `SELECT 1 FROM orders JOIN order_item ON orit_orderid = orde_orderid
                  JOIN product ON prod_productid = orit_productid
                 WHERE orde_reference = $1 AND prod_code IN ('1', '2') HAVING count(*) = 2`,
        [order],
      ),
    ],
    record: { entity: 'order', system: 'erp', key: order },
    told: onBothSides,
  };
}

async function deleteInErp({ erp }: Databases): Promise<Played> {
  const { id, vat } = await customerWithoutOrders(erp);
  await inTransaction(erp, async (client) => {
    await client.query('DELETE FROM contact WHERE customer_id = $1', [id]);
    await client.query('DELETE FROM customer WHERE customer_id = $1', [id]);
  });
  return {
    done: [`erp: customer ${id} and its contact are gone`],
    arrivals: [
      arrival(
        'crm',
        'both flagged as deleted',
        `SELECT 1 FROM company WHERE comp_vat = $1 AND comp_deleted = 1
                   AND NOT EXISTS (SELECT FROM person WHERE pers_companyid = comp_companyid AND pers_deleted = 0)`,
        [vat],
      ),
    ],
    record: { entity: 'company', system: 'erp', key: id },
    told: ({ versions, now }) => versions > 0 && now === null,
  };
}

async function deleteInCrm({ erp, crm }: Databases): Promise<Played> {
  const { id, vat } = await customerWithoutOrders(erp);
  await inTransaction(crm, async (client) => {
    await client.query(
      `UPDATE person SET pers_deleted = 1 WHERE pers_deleted = 0
          AND pers_companyid = (SELECT comp_companyid FROM company WHERE comp_vat = $1 AND comp_deleted = 0)`,
      [vat],
    );
    await client.query('UPDATE company SET comp_deleted = 1 WHERE comp_vat = $1 AND comp_deleted = 0', [vat]);
  });
  return {
    done: [`crm: the company with VAT number ${vat} and its person are flagged as deleted`],
    arrivals: [
      arrival(
        'erp',
        `customer ${id} and its contact removed`,
        `SELECT 1 WHERE NOT EXISTS (SELECT FROM customer WHERE customer_id = $1)
                           AND NOT EXISTS (SELECT FROM contact WHERE customer_id = $1)`,
        [id],
      ),
    ],
    record: { entity: 'company', system: 'erp', key: id },
    told: ({ versions, now }) => versions > 0 && now === null,
  };
}

async function burst({ erp }: Databases): Promise<Played> {
  let phone = '';
  for (let count = 1; count <= 200; count += 1) {
    phone = `0621-${run}-${count}`;
    await erp.query(`UPDATE customer SET phone = $1 WHERE customer_id = 'BLAUS'`, [phone]);
  }
  return {
    done: [`erp: BLAUS' telephone changes 200 times, at last to ${phone}`],
    arrivals: [await crmCompany(erp, 'BLAUS', { comp_phone: phone })],
    record: { entity: 'company', system: 'erp', key: 'BLAUS' },
    told: ({ now }) => now?.fields['phone'] === phone,
  };
}

function onBothSides({ now }: Agreements): boolean {
  return now?.keys['erp'] !== undefined && now.keys['crm'] !== undefined;
}

async function vatOf(erp: pg.Pool, customer: string): Promise<string> {
  const { rows } = await erp.query<{ vat: string }>('SELECT vat_number AS vat FROM customer WHERE customer_id = $1', [
    customer,
  ]);
  if (rows[0] === undefined) throw new Error(`The ERP has no customer ${customer}`);
  return rows[0].vat;
}

async function crmCompany(erp: pg.Pool, customer: string, values: { [column: string]: string }): Promise<Arrival> {
  const parameters = [await vatOf(erp, customer), ...Object.values(values)];
  const query = `SELECT 1 FROM company WHERE comp_deleted = 0 AND comp_vat = $1${conditions(values)}`;
  return arrival('crm', Object.values(values).join(', '), query, parameters);
}

function erpCustomer(customer: string, values: { [column: string]: string }): Arrival {
  return arrival(
    'erp',
    Object.values(values).join(', '),
    `SELECT 1 FROM customer WHERE customer_id = $1${conditions(values)}`,
    [customer, ...Object.values(values)],
  );
}

function conditions(values: { [column: string]: string }): string {
  return Object.keys(values)
    .map((column, index) => ` AND ${column} = $${index + 2}`)
    .join('');
}

async function customerWithoutOrders(erp: pg.Pool): Promise<{ id: string; vat: string }> {
  const { rows } = await erp.query<{ id: string; vat: string }>(
    `SELECT customer_id AS id, vat_number AS vat FROM customer
      WHERE vat_number IS NOT NULL AND NOT EXISTS (SELECT FROM sales_order WHERE sales_order.customer_id = customer.customer_id)
      ORDER BY customer_id LIKE 'C0%', customer_id LIMIT 1`,
  );
  if (rows[0] === undefined) throw new Error('Every customer has orders: nobody is left to be deleted.');
  return rows[0];
}

type Statement = readonly [database: pg.Pool, statement: string, parameters: readonly unknown[]];

/** Runs statements in different databases and commits them in the same moment. */
async function together(...statements: readonly Statement[]): Promise<void> {
  const clients = await Promise.all(statements.map(([database]) => database.connect()));
  try {
    await Promise.all(
      statements.map(async ([, statement, parameters], index) => {
        await clients[index]?.query('BEGIN');
        await clients[index]?.query(statement, [...parameters]);
      }),
    );
    await Promise.all(clients.map((client) => client.query('COMMIT')));
  } finally {
    for (const client of clients) client.release();
  }
}

async function inTransaction<T>(database: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await database.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}
