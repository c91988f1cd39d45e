-- The ERP: Northwind as it is, with text keys that the database gives to new rows, and hard deletes.

CREATE SEQUENCE customer_number START 1001;
CREATE SEQUENCE contact_number START 1001;
CREATE SEQUENCE product_number START 1001;
CREATE SEQUENCE order_number START 20001;
CREATE SEQUENCE order_line_number START 1;

CREATE TABLE customer (
  customer_id  text PRIMARY KEY DEFAULT 'C' || lpad(nextval('customer_number')::text, 6, '0'),
  company_name varchar(60) NOT NULL,
  vat_number   varchar(20) UNIQUE,
  address      varchar(60),
  city         varchar(30),
  region       varchar(20),
  postal_code  varchar(12),
  country      varchar(30) NOT NULL,
  phone        varchar(30),
  credit_limit numeric(12, 2),
  changed_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE customer IS 'Whoever buys from us, or may';
COMMENT ON COLUMN customer.vat_number IS 'VAT number with its country code, without spaces';
COMMENT ON COLUMN customer.credit_limit IS 'In USD; set by accounting, here and nowhere else';

CREATE TABLE contact (
  contact_id  text PRIMARY KEY DEFAULT 'P' || lpad(nextval('contact_number')::text, 6, '0'),
  customer_id text NOT NULL REFERENCES customer,
  full_name   varchar(60) NOT NULL,
  job_title   varchar(40),
  email       varchar(80) UNIQUE,
  phone       varchar(30),
  changed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE contact IS 'A person at a customer';
CREATE INDEX contact_customer ON contact (customer_id);

CREATE TABLE product (
  product_id        text PRIMARY KEY DEFAULT 'A' || lpad(nextval('product_number')::text, 6, '0'),
  product_name      varchar(60) NOT NULL,
  quantity_per_unit varchar(40),
  unit_price        numeric(10, 2) NOT NULL,
  discontinued      boolean NOT NULL DEFAULT false
);

CREATE TABLE sales_order (
  order_id      text PRIMARY KEY DEFAULT 'O' || nextval('order_number'),
  customer_id   text NOT NULL REFERENCES customer,
  order_date    date NOT NULL,
  required_date date,
  shipped_date  date,
  freight       numeric(10, 2) NOT NULL DEFAULT 0,
  ship_name     varchar(60),
  ship_city     varchar(30),
  ship_country  varchar(30)
);
CREATE INDEX sales_order_customer ON sales_order (customer_id);

CREATE TABLE order_line (
  line_id    text PRIMARY KEY DEFAULT 'L' || lpad(nextval('order_line_number')::text, 7, '0'),
  order_id   text NOT NULL REFERENCES sales_order ON DELETE CASCADE,
  product_id text NOT NULL REFERENCES product,
  unit_price numeric(10, 2) NOT NULL,
  quantity   integer NOT NULL CHECK (quantity > 0),
  discount   numeric(4, 3) NOT NULL DEFAULT 0,
  UNIQUE (order_id, product_id)
);
COMMENT ON COLUMN order_line.discount IS 'As a share of the price: 0.15 is 15 percent';

CREATE FUNCTION set_changed_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER customer_changed BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION set_changed_at();
CREATE TRIGGER contact_changed BEFORE UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION set_changed_at();
