import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createTable, fill, type Sentinel } from '../contact-table.js';
import type { Awaited } from '../equality.js';
import { latencyOf, type Measurement } from '../figures.js';
import { measurementOf } from '../measurement.js';
import type { Replicator } from '../replicator.js';
import type { Database, Servers } from '../servers.js';
import { watchUsage } from '../usage.js';

export interface SteadySize {
  readonly preloaded: number;
  readonly seconds: number;
  readonly perSecond: number;
}

/**
 * The broker, new as it is, compiles its code for half a minute after the first small transactions, with half a
 * processor: a broker that has been there for a day does not, and it is not what is measured.
 */
const WARM_UP_SECONDS = 30;
const SESSIONS = 8;
const TIMEOUT_MS = 120_000;

/**
 * W2: so many single-row transactions a second (two-way: half of them on each side), two updates to an insert, each on
 * a row of its own. The latency runs from the statement in one database to the commit in the other; the first seconds
 * are run and not counted.
 */
export async function runSteady(servers: Servers, replicator: Replicator, size: SteadySize): Promise<Measurement> {
  await Promise.all([createTable(servers.source), createTable(servers.target)]);
  await fill(servers.source, size.preloaded);
  await replicator.start();
  const copied = await replicator.untilArrived({ changes: size.preloaded, last: [], timeoutMs: 600_000 });
  if (!copied.equal) throw new Error(`The first copy of ${replicator.name} did not end: ${copied.problem}`);
  await servers.target.pool.query('VACUUM ANALYZE contact');
  await replicator.beforeSteady?.();
  const sides = replicator.path === 'two-way' ? [servers.source, servers.target] : [servers.source];
  const loads = await Promise.all(
    sides.map((database, side) =>
      Load.open(database, { side, sides: sides.length, perSecond: size.perSecond / sides.length }),
    ),
  );
  try {
    await Promise.all(loads.map((load) => load.run(Math.min(WARM_UP_SECONDS, size.seconds))));
    const beganMs = Date.now();
    const used = watchUsage(servers, replicator);
    await Promise.all(loads.map((load) => load.run(size.seconds)));
    const changes = loads.reduce((sum, load) => sum + load.lastRun, 0);
    const last = await Promise.all(loads.map((load) => load.end()));
    const awaited = last.map((sentinel, side): Awaited => {
      return { sentinel, database: side === 0 ? servers.target : servers.source };
    });
    const usage = used(changes);
    const equality = await replicator.untilArrived({ changes, last: awaited, timeoutMs: TIMEOUT_MS });
    const latencies = await replicator.latencies(beganMs);
    return measurementOf(replicator, {
      workload: 'steady',
      changes,
      seconds: (equality.atMs - beganMs) / 1000,
      latency: latencyOf(latencies),
      used: usage,
      equality,
    });
  } finally {
    await Promise.all(loads.map((load) => load.close()));
  }
}

const UPDATE = `UPDATE contact SET phone = $2, city = 'Steady', updated = clock_timestamp() WHERE id = $1`;
const INSERT = `INSERT INTO contact VALUES ($1, 'First', 'Last', 'steady@example.com', $2, 'Steady', 'NL',
  repeat('n', 150), 10.5, clock_timestamp())`;

interface LoadOptions {
  readonly side: number;
  readonly sides: number;
  readonly perSecond: number;
}

/** Somebody who works on one database at an even pace, in several sessions. */
class Load {
  lastRun = 0;
  private number = 0;

  static async open(database: Database, options: LoadOptions): Promise<Load> {
    const clients = Array.from({ length: SESSIONS }, () => new pg.Client({ connectionString: database.url }));
    await Promise.all(clients.map((client) => client.connect()));
    return new Load(database, clients, options);
  }

  private constructor(
    private readonly database: Database,
    private readonly clients: readonly pg.Client[],
    private readonly options: LoadOptions,
  ) {}

  /** Every session takes the next transaction when it is due; all are awaited. */
  async run(seconds: number): Promise<void> {
    const count = Math.round(seconds * this.options.perSecond);
    const began = performance.now();
    let next = 0;
    const work = async (client: pg.Client) => {
      while (next < count) {
        const dueMs = began + (next++ * 1000) / this.options.perSecond;
        const waitMs = dueMs - performance.now();
        if (waitMs > 1) await delay(waitMs);
        await this.change(client);
      }
    };
    await Promise.all(this.clients.map(work));
    this.lastRun = count;
  }

  /** The very last change, by whose arrival all others are known to be there. */
  async end(): Promise<Sentinel> {
    const id = this.freshId(999_999);
    const phone = `the last of side ${this.options.side}`;
    await this.database.pool.query({ text: INSERT, values: [id, phone] });
    return { id: String(id), phone };
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.end()));
  }

  private async change(client: pg.Client): Promise<void> {
    const number = ++this.number;
    const isInsert = number % 3 === 0;
    const { side, sides } = this.options;
    const id = isInsert ? this.freshId(number) : number * sides - side;
    await client.query({
      name: isInsert ? 'insert' : 'update',
      text: isInsert ? INSERT : UPDATE,
      values: [id, `+32 4 ${number}`],
    });
  }

  private freshId(number: number): number {
    return 20_000_000 + number * this.options.sides - this.options.side;
  }
}
