-- The CRM: the same things under other names, with number keys, soft deletes and rules of its own.

CREATE SEQUENCE company_ids START 5001;
CREATE SEQUENCE person_ids START 5001;
CREATE SEQUENCE product_ids START 1;
CREATE SEQUENCE order_ids START 1;
CREATE SEQUENCE order_item_ids START 1;

CREATE TABLE company (
  comp_companyid   bigint PRIMARY KEY DEFAULT nextval('company_ids'),
  comp_name        varchar(60) NOT NULL,
  comp_vat         varchar(20),
  comp_street      varchar(60),
  comp_city        varchar(30),
  comp_state       varchar(20),
  comp_zip         varchar(12),
  comp_country     char(2) NOT NULL,
  comp_phone       varchar(30),
  comp_creditlimit numeric(12, 2),
  comp_territory   varchar(20) NOT NULL,
  comp_deleted     smallint NOT NULL DEFAULT 0 CHECK (comp_deleted IN (0, 1)),
  comp_createddate timestamptz NOT NULL DEFAULT now(),
  comp_updateddate timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT comp_territory_worldwide CHECK (comp_territory = 'Worldwide' OR comp_createddate < '2020-01-01')
);
COMMENT ON COLUMN company.comp_country IS 'ISO 3166 code';
COMMENT ON COLUMN company.comp_territory IS 'Territories were given up in 2020: rows since then must say Worldwide';
COMMENT ON COLUMN company.comp_deleted IS '1: deleted; rows are never removed';
CREATE INDEX company_vat ON company (comp_vat);
CREATE UNIQUE INDEX company_vat_present ON company (comp_vat) WHERE comp_deleted = 0;
CREATE INDEX company_name ON company (comp_name);

CREATE TABLE person (
  pers_personid    bigint PRIMARY KEY DEFAULT nextval('person_ids'),
  pers_companyid   bigint NOT NULL REFERENCES company,
  pers_fullname    varchar(60) NOT NULL,
  pers_title       varchar(40),
  pers_email       varchar(80),
  pers_phone       varchar(30),
  pers_territory   varchar(20) NOT NULL,
  pers_deleted     smallint NOT NULL DEFAULT 0 CHECK (pers_deleted IN (0, 1)),
  pers_createddate timestamptz NOT NULL DEFAULT now(),
  pers_updateddate timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pers_territory_worldwide CHECK (pers_territory = 'Worldwide' OR pers_createddate < '2020-01-01')
);
CREATE INDEX person_email ON person (pers_email);
CREATE UNIQUE INDEX person_email_present ON person (pers_email) WHERE pers_deleted = 0;
CREATE INDEX person_company ON person (pers_companyid);

CREATE TABLE product (
  prod_productid bigint PRIMARY KEY DEFAULT nextval('product_ids'),
  prod_code      varchar(20) NOT NULL UNIQUE,
  prod_name      varchar(60) NOT NULL,
  prod_packaging varchar(40),
  prod_price     numeric(10, 2) NOT NULL,
  prod_status    varchar(20) NOT NULL CHECK (prod_status IN ('Active', 'Discontinued')),
  prod_deleted   smallint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN product.prod_code IS 'The ERP''s key';

CREATE TABLE orders (
  orde_orderid     bigint PRIMARY KEY DEFAULT nextval('order_ids'),
  orde_reference   varchar(20) NOT NULL UNIQUE,
  orde_companyid   bigint NOT NULL REFERENCES company,
  orde_opened      date NOT NULL,
  orde_due         date,
  orde_shipped     date,
  orde_freight     numeric(10, 2) NOT NULL,
  orde_shiptoname  varchar(60),
  orde_shiptocity  varchar(30)
);
COMMENT ON COLUMN orders.orde_reference IS 'The ERP''s key';
CREATE INDEX orders_company ON orders (orde_companyid);

CREATE TABLE order_item (
  orit_itemid    bigint PRIMARY KEY DEFAULT nextval('order_item_ids'),
  orit_reference varchar(20) NOT NULL UNIQUE,
  orit_orderid   bigint NOT NULL REFERENCES orders,
  orit_productid bigint NOT NULL REFERENCES product,
  orit_quantity  integer NOT NULL,
  orit_price     numeric(10, 2) NOT NULL,
  orit_discount  numeric(4, 3) NOT NULL,
  UNIQUE (orit_orderid, orit_productid)
);
COMMENT ON COLUMN order_item.orit_reference IS 'The ERP''s key';
CREATE INDEX order_item_product ON order_item (orit_productid);

CREATE FUNCTION set_updated_date() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'company' THEN
    NEW.comp_updateddate := now();
  ELSE
    NEW.pers_updateddate := now();
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER company_updated BEFORE UPDATE ON company FOR EACH ROW EXECUTE FUNCTION set_updated_date();
CREATE TRIGGER person_updated BEFORE UPDATE ON person FOR EACH ROW EXECUTE FUNCTION set_updated_date();
