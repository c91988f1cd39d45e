import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Random } from '../../simulation/random.js';
import { USER_OPTION } from './audit.js';
import type { SystemName } from './model.js';

export type UserPools = Readonly<Record<SystemName, pg.Pool>>;

export interface LoadShape {
  readonly workers: number;
  readonly pauseMs: readonly [least: number, most: number];
  /** The most rows that one transaction may touch; one transaction in some hundred comes near. */
  readonly largest: number;
}

export interface LoadCounts {
  transactions: number;
  /** Refused by the database, or broken off with it. */
  failed: number;
  largest: number;
}

/** Match values that everybody works on all the time. */
const HOT = Array.from({ length: 24 }, (_, at) => `H${at}`);
/** Match values made during the run that are remembered for more work. */
const REMEMBERED = 400;

export function userPool(url: string): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: 8,
    options: `${USER_OPTION} -c lock_timeout=3000 -c statement_timeout=20000`,
    application_name: 'users',
    connectionTimeoutMillis: 3_000,
  });
  // A session that ends with its server is part of the game, whether it is at work or not.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** People at work on both sides at once. Which work is chosen by the seed; how it interleaves is the machine's. */
export class Users {
  readonly counts: LoadCounts = { transactions: 0, failed: 0, largest: 0 };
  readonly #stopping = new AbortController();
  readonly #workers: Promise<void>[] = [];
  readonly #known: string[] = [...HOT];
  #tokens = 0;

  constructor(
    private readonly pools: UserPools,
    private readonly seed: number,
    private readonly shape: LoadShape,
  ) {}

  start(): void {
    for (let worker = 0; worker < this.shape.workers; worker++) {
      this.#workers.push(this.#work(new Random(this.seed * 31 + worker)));
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#workers);
  }

  async #work(random: Random): Promise<void> {
    const [least, most] = this.shape.pauseMs;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#act(random);
        this.counts.transactions++;
      } catch {
        // A constraint said no, or the server went away in the middle: the audit knows what became of it.
        this.counts.failed++;
      }
      await delay(random.between(least, most), undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  #act(random: Random): Promise<unknown> {
    const act = random.weighted<(random: Random) => Promise<unknown>>([
      [(it) => this.#editBothSides(it), 6],
      [(it) => this.#edit(random.of(['crm', 'erp']), this.#vat(it), it), 6],
      [(it) => this.#insertOnBothSides(it), 4],
      [(it) => this.#insert(it.of(['crm', 'erp']), this.#newVat(), it), 4],
      [(it) => this.#deleteAgainstEdit(it), 3],
      [(it) => this.#delete(it.of(['crm', 'erp']), this.#vat(it)), 1],
      [(it) => this.#takeBack(this.#vat(it)), 1],
      [(it) => this.#person(it), 5],
      [(it) => this.#note(it), 3],
      [(it) => this.#large(it), 1],
    ]);
    return act(random);
  }

  async #editBothSides(random: Random): Promise<void> {
    const vat = this.#vat(random);
    await Promise.all([this.#edit('crm', vat, random), this.#edit('erp', vat, random)]);
  }

  /** One to four statements on one company in one transaction. */
  async #edit(system: SystemName, vat: string, random: Random): Promise<void> {
    const columns = random.of([['name'], ['city'], ['credit'], ['name', 'city'], ['city', 'credit']]);
    const times = random.chance(0.15) ? random.between(2, 4) : 1;
    await this.#transaction(system, async (client) => {
      for (let time = 0; time < times; time++) {
        const values = columns.map((column) => (column === 'credit' ? this.#amount() : this.#token()));
        const text =
          system === 'crm'
            ? `UPDATE company SET ${columns.map((each, at) => `comp_${each} = $${at + 2}`).join(', ')} WHERE comp_vat = $1 AND comp_deleted = 0`
            : `UPDATE customer SET ${columns.map((each, at) => `${each} = $${at + 2}`).join(', ')} WHERE vat = $1`;
        await client.query(text, [vat, ...values]);
      }
    });
  }

  async #insertOnBothSides(random: Random): Promise<void> {
    const vat = this.#newVat();
    await Promise.all([this.#insert('crm', vat, random), this.#insert('erp', vat, random)]);
    this.#remember(vat);
  }

  async #insert(system: SystemName, vat: string, random: Random): Promise<void> {
    const city = random.chance(0.7) ? this.#token() : null;
    const values = [this.#token(), vat, city, this.#amount()];
    await this.pools[system].query(
      system === 'crm'
        ? `INSERT INTO company (comp_name, comp_vat, comp_city, comp_credit, comp_territory) VALUES ($1, $2, $3, $4, 'Here')`
        : 'INSERT INTO customer (name, vat, city, credit) VALUES ($1, $2, $3, $4)',
      values,
    );
    this.#remember(vat);
  }

  async #deleteAgainstEdit(random: Random): Promise<void> {
    const vat = this.#vat(random);
    const [one, other] = random.of<readonly [SystemName, SystemName]>([
      ['crm', 'erp'],
      ['erp', 'crm'],
    ]);
    await Promise.allSettled([this.#delete(one, vat), this.#edit(other, vat, random)]);
  }

  async #delete(system: SystemName, vat: string): Promise<void> {
    await this.pools[system].query(
      system === 'crm'
        ? 'UPDATE company SET comp_deleted = 1 WHERE comp_vat = $1 AND comp_deleted = 0'
        : 'DELETE FROM customer WHERE vat = $1',
      [vat],
    );
  }

  /** A soft-deleted company comes back. */
  async #takeBack(vat: string): Promise<void> {
    await this.pools.crm.query(
      `UPDATE company SET comp_deleted = 0, comp_city = $2
       WHERE comp_id = (SELECT max(comp_id) FROM company WHERE comp_vat = $1 AND comp_deleted = 1)`,
      [vat, this.#token()],
    );
  }

  async #person(random: Random): Promise<void> {
    const system = random.of<SystemName>(['crm', 'erp']);
    const vat = this.#vat(random);
    const email = random.chance(0.6) ? `E${random.below(60)}` : this.#token();
    const crm = system === 'crm';
    const parent = crm
      ? '(SELECT max(comp_id) FROM company WHERE comp_vat = $2)'
      : '(SELECT max(id) FROM customer WHERE vat = $2)';
    const [table, key, name, mail, company] = crm
      ? ['person', 'pers_id', 'pers_name', 'pers_email', 'pers_company']
      : ['contact', 'id', 'name', 'email', 'customer'];
    const pool = this.pools[system];
    switch (random.below(8)) {
      case 0:
        return void (await pool.query(`DELETE FROM ${table} WHERE ${mail} = $1`, [email]));
      case 1:
      case 2:
        return void (await pool.query(`UPDATE ${table} SET ${company} = ${parent} WHERE ${mail} = $1`, [email, vat]));
      case 3:
      case 4:
        return void (await pool.query(`UPDATE ${table} SET ${name} = $2 WHERE ${mail} = $1`, [email, this.#token()]));
      default:
        await pool.query(
          `INSERT INTO ${table} (${mail}, ${company}, ${name}) VALUES ($1, ${parent}, $3) ON CONFLICT (${mail}) DO UPDATE
             SET ${name} = $3 WHERE ${table}.${key} IS NOT NULL`,
          [email, vat, this.#token()],
        );
    }
  }

  async #note(random: Random): Promise<void> {
    const author = `A${random.below(50)}`;
    switch (random.below(4)) {
      case 0:
        return void (await this.pools.crm.query('DELETE FROM note WHERE note_author = $1', [author]));
      case 1:
        return void (await this.pools.crm.query('UPDATE note SET note_text = $2 || note_id WHERE note_author = $1', [
          author,
          this.#token(),
        ]));
      default:
        await this.pools.crm.query('INSERT INTO note (note_author, note_text) VALUES ($1, $2)', [
          author,
          this.#token(),
        ]);
    }
  }

  /** One transaction of many rows: inserts, edits or deletions of companies that only such transactions touch. */
  async #large(random: Random): Promise<void> {
    const rows = Math.max(1, Math.floor(Math.exp(random.next() * Math.log(this.shape.largest))));
    const system = random.of<SystemName>(['crm', 'erp']);
    const token = this.#token();
    const crm = system === 'crm';
    const some = crm
      ? `SELECT comp_id FROM company WHERE comp_vat LIKE 'L%' AND comp_deleted = 0 ORDER BY comp_vat LIMIT $2`
      : `SELECT id FROM customer WHERE vat LIKE 'L%' ORDER BY vat LIMIT $2`;
    const insert = crm
      ? `INSERT INTO company (comp_name, comp_vat, comp_territory) SELECT $1 || '.' || n, 'L' || $1 || '.' || n, 'Here' FROM generate_series(1, $2::int) n`
      : `INSERT INTO customer (name, vat) SELECT $1 || '.' || n, 'L' || $1 || '.' || n FROM generate_series(1, $2::int) n`;
    const update = crm
      ? `UPDATE company SET comp_city = $1 || '.' || comp_id WHERE comp_id IN (${some})`
      : `UPDATE customer SET city = $1 || '.' || id WHERE id IN (${some})`;
    const remove = crm
      ? `UPDATE company SET comp_deleted = 1, comp_territory = $1 WHERE comp_id IN (${some})`
      : `DELETE FROM customer WHERE id IN (${some}) AND name <> $1`;
    const text = random.weighted([
      [insert, 3],
      [update, 4],
      [remove, 2],
    ]);
    const { rowCount } = await this.pools[system].query(text, [token, rows]);
    this.counts.largest = Math.max(this.counts.largest, rowCount ?? 0);
  }

  async #transaction(system: SystemName, work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
    const client = await this.pools[system].connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      await work(client);
      await client.query('COMMIT');
    } catch (error) {
      broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  }

  #vat(random: Random): string {
    return random.chance(0.7) ? random.of(HOT) : random.of(this.#known);
  }

  #newVat(): string {
    return `N${this.#token()}`;
  }

  #remember(vat: string): void {
    if (this.#known.length < REMEMBERED) this.#known.push(vat);
  }

  /** A value that nobody has used before. */
  #token(): string {
    return `${this.seed}-${++this.#tokens}`;
  }

  /** Money that nobody has used before, as far as ten digits go. */
  #amount(): string {
    return `${(this.seed % 10_000) * 100_000 + (++this.#tokens % 100_000)}.${String(this.#tokens % 100).padStart(2, '0')}`;
  }
}

/** What is there on both sides before the first start: half of it the same things, told apart a little. */
export async function prefill(pools: UserPools, records: number): Promise<void> {
  await pools.crm.query(
    `INSERT INTO company (comp_name, comp_vat, comp_city, comp_credit, comp_territory)
     SELECT 'crm ' || n, CASE WHEN n <= 24 THEN 'H' || n - 1 ELSE 'P' || n END, 'crm city ' || n, n + 0.25, 'Here'
     FROM generate_series(1, $1::int) n`,
    [records],
  );
  await pools.erp.query(
    `INSERT INTO customer (name, vat, city, credit)
     SELECT 'erp ' || n, CASE WHEN n <= 24 THEN 'H' || n - 1 ELSE 'P' || n END, 'erp city ' || n, n + 0.75
     FROM generate_series(1, $1::int * 3 / 2) n WHERE n <= 24 OR n > $1::int / 2`,
    [records],
  );
  await pools.crm.query(
    `INSERT INTO person (pers_company, pers_name, pers_email)
     SELECT comp_id, 'crm person ' || comp_id, 'E' || (comp_id % 60) FROM company WHERE comp_id <= 40`,
  );
  await pools.erp.query(
    `INSERT INTO contact (customer, name, email)
     SELECT max(id), 'erp person ' || n, 'E' || n FROM customer, generate_series(20, 59) n GROUP BY n`,
  );
  await pools.crm.query(
    `INSERT INTO note (note_text, note_author) SELECT 'prefilled ' || n, 'A' || n FROM generate_series(1, 50) n`,
  );
}
