import { setTimeout as delay } from 'node:timers/promises';
import { type Equality, untilEqual } from './equality.js';
import type { Expected, Replicator } from './replicator.js';
import type { Servers } from './servers.js';

/** PostgreSQL's own logical replication, one way: what the machine can do when nothing is looked at on the way. */
export class PostgresReplication implements Replicator {
  readonly name = 'postgres';
  readonly variant = 'its own replication';
  readonly path = 'one-way';
  readonly processCount = 0;

  constructor(private readonly servers: Servers) {}

  async start(): Promise<number> {
    const { source, target } = this.servers;
    await target.pool.query('CREATE TABLE public.arrival (id bigint, at timestamptz)');
    await target.pool.query(`CREATE FUNCTION note_arrival() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.city = 'Steady' THEN INSERT INTO public.arrival VALUES (NEW.id, clock_timestamp()); END IF;
        RETURN NULL;
      END $$`);
    await source.pool.query('CREATE PUBLICATION own FOR TABLE contact');
    const beganMs = Date.now();
    await target.pool.query(`CREATE SUBSCRIPTION own CONNECTION '${source.url}' PUBLICATION own`);
    return beganMs;
  }

  async pause(): Promise<void> {
    await this.servers.target.pool.query('ALTER SUBSCRIPTION own DISABLE');
    await this.awaitWorker(false);
  }

  async resume(): Promise<number> {
    const beganMs = Date.now();
    await this.servers.target.pool.query('ALTER SUBSCRIPTION own ENABLE');
    return beganMs;
  }

  processes(): Readonly<Record<string, number>> {
    return {};
  }

  untilArrived({ last, timeoutMs }: Expected): Promise<Equality> {
    return untilEqual(this.servers, { last, timeoutMs });
  }

  /** Its commits carry the source's commit time, so a trigger has to tell when a row came: some tenths too early. */
  async beforeSteady(): Promise<void> {
    const { pool } = this.servers.target;
    await pool.query(
      'CREATE TRIGGER note_arrival AFTER INSERT OR UPDATE ON contact FOR EACH ROW EXECUTE FUNCTION note_arrival()',
    );
    await pool.query('ALTER TABLE contact ENABLE ALWAYS TRIGGER note_arrival');
  }

  async latencies(sinceMs: number): Promise<readonly number[]> {
    const { rows } = await this.servers.target.pool.query<{ ms: number }>(
      `SELECT extract(epoch FROM at - updated)::float8 * 1000 AS ms FROM arrival JOIN contact USING (id)
        WHERE updated >= to_timestamp($1::float8 / 1000)`,
      [sinceMs],
    );
    return rows.map(({ ms }) => ms);
  }

  async destroy(): Promise<void> {
    await this.servers.target.pool.query('DROP SUBSCRIPTION IF EXISTS own').catch(() => undefined);
  }

  private async awaitWorker(there: boolean): Promise<void> {
    for (;;) {
      const { rows } = await this.servers.target.pool.query(
        "SELECT FROM pg_stat_subscription WHERE subname = 'own' AND pid IS NOT NULL",
      );
      if (rows.length > 0 === there) return;
      await delay(50);
    }
  }
}
