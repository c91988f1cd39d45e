import pg from 'pg';

/** Asks both databases, by SQL of its own, whether they agree. Knows nothing of Duolog. */

export interface Comparison {
  readonly entity: string;
  readonly inErp: number;
  readonly inCrm: number;
  /** Records that are on both sides with the same values. */
  readonly equal: number;
  /** Keys of some that are not. */
  readonly different: readonly string[];
}

const countries = `(VALUES ('AR','Argentina'),('AT','Austria'),('AU','Australia'),('BE','Belgium'),('BR','Brazil'),
  ('CA','Canada'),('CH','Switzerland'),('DE','Germany'),('DK','Denmark'),('ES','Spain'),('FI','Finland'),
  ('FR','France'),('GB','UK'),('IE','Ireland'),('IT','Italy'),('JP','Japan'),('MX','Mexico'),('NL','Netherlands'),
  ('NO','Norway'),('PL','Poland'),('PT','Portugal'),('SE','Sweden'),('SG','Singapore'),('US','USA'),
  ('VE','Venezuela')) AS countries (code, country)`;

/** For each entity two queries with the same columns in the same order; the first tells which record it is. */
const queries = {
  company: {
    erp: `SELECT vat_number, company_name, address, city, region, postal_code, country, phone, credit_limit
            FROM customer`,
    crm: `SELECT comp_vat, comp_name, comp_street, comp_city, comp_state, comp_zip, country, comp_phone,
                 comp_creditlimit
            FROM company LEFT JOIN ${countries} ON code = comp_country WHERE comp_deleted = 0`,
  },
  person: {
    erp: `SELECT email, full_name, job_title, contact.phone, vat_number FROM contact JOIN customer USING (customer_id)`,
    crm: `SELECT pers_email, pers_fullname, pers_title, pers_phone, comp_vat
            FROM person JOIN company ON comp_companyid = pers_companyid WHERE pers_deleted = 0`,
  },
  product: {
    erp: `SELECT product_id, product_name, quantity_per_unit, unit_price,
                 CASE WHEN discontinued THEN 'Discontinued' ELSE 'Active' END FROM product`,
    crm: `SELECT prod_code, prod_name, prod_packaging, prod_price, prod_status FROM product WHERE prod_deleted = 0`,
  },
  order: {
    erp: `SELECT order_id, order_date, required_date, shipped_date, freight, ship_name, ship_city, vat_number
            FROM sales_order JOIN customer USING (customer_id)`,
    crm: `SELECT orde_reference, orde_opened, orde_due, orde_shipped, orde_freight, orde_shiptoname, orde_shiptocity,
                 comp_vat
            FROM orders JOIN company ON comp_companyid = orde_companyid`,
  },
  order_line: {
    erp: `SELECT order_id || '/' || product_id, line_id, quantity, unit_price, discount FROM order_line`,
    crm: `SELECT orde_reference || '/' || prod_code, orit_reference, orit_quantity, orit_price, orit_discount
            FROM order_item JOIN orders ON orde_orderid = orit_orderid JOIN product ON prod_productid = orit_productid`,
  },
} as const;

export const entities = Object.keys(queries);

/** Compares all entities. @throws pg's error where a database does not answer. */
export async function compare(erp: pg.Pool, crm: pg.Pool): Promise<Comparison[]> {
  return Promise.all(
    Object.entries(queries).map(async ([entity, query]) => {
      const [left, right] = await Promise.all([records(erp, query.erp), records(crm, query.crm)]);
      const keys = new Set([...left.keys(), ...right.keys()]);
      const different = [...keys].filter((key) => left.get(key) !== right.get(key));
      return {
        entity,
        inErp: left.size,
        inCrm: right.size,
        equal: keys.size - different.length,
        different: different.slice(0, 5),
      };
    }),
  );
}

export function agree(comparisons: readonly Comparison[]): boolean {
  return comparisons.every(({ inErp, inCrm, equal }) => inErp === equal && inCrm === equal);
}

async function records(database: pg.Pool, query: string): Promise<Map<string, string>> {
  const types = { getTypeParser: () => (value: string) => value };
  const { rows } = await database.query<string[]>({ text: query, rowMode: 'array', types });
  const found = rows.map((row) => [String(row[0]), JSON.stringify(row)] as const);
  const records = new Map(found);
  // Two records of one key would hide each other; a double is a difference.
  if (records.size < found.length) {
    for (const [key] of found) {
      const same = found.filter(([other]) => other === key);
      if (same.length > 1) records.set(key, JSON.stringify(same));
    }
  }
  return records;
}
