import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { removeFolder, temporaryFolder } from '../../../deploy/dev/guardian.js';
import { type LocalPostgres, startStack } from '../../../deploy/dev/stack.js';
import { eventually } from '../../support/eventually.js';
import { DuologProcess, ROLES } from '../duolog-process.js';

/** What the standby run found out, in milliseconds. */
export interface StandbyReport {
  readonly links: number;
  readonly sessionTimeoutMs: number | 'default';
  /** From an empty state to all links agreed. */
  readonly firstAgreementMs: number;
  /** From kill -9 of the process that ran all tasks to the first new write in the target, by the target's clock. */
  readonly takeoverMs: readonly number[];
  /** From the start of a process to its running stream task. */
  readonly restoreMs: { readonly fromChangelog: number; readonly fromOwnStore: number };
  /** Largest resident size of the process that restored from the changelog. */
  readonly peakMegabytes: number;
}

const TAKEOVERS = 5;
/** So that there is always something to write: single-row edits. */
const EDIT_EVERY_MS = 40;
const AGREE_TIMEOUT_MS = 1_800_000;
const RESTORE_TIMEOUT_MS = 600_000;

const TABLE = `CREATE TABLE item (id bigint PRIMARY KEY, code text NOT NULL, name text, stock int);
CREATE UNIQUE INDEX item_code ON item (code);
ALTER TABLE item REPLICA IDENTITY FULL`;

/** Every write with its time, once the watch begins. */
const WATCH = `CREATE TABLE written (time timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO written DEFAULT VALUES; RETURN NULL; END $$;
CREATE TRIGGER noted AFTER UPDATE ON item FOR EACH STATEMENT EXECUTE FUNCTION note_write()`;

/** Takeover by a standby and restore of the state, with so many links in it. */
export async function runStandby(links: number, sessionTimeout: string | undefined, out: string): Promise<number> {
  const stack = await startStack({
    kafka: { heapMegabytes: 1024 },
    postgres: { crm: { version: 18, settings: QUICK }, erp: { version: 14, settings: QUICK } },
  });
  const folder = await temporaryFolder('standby');
  try {
    const place = await Place.create(folder, stack.postgres, links, (crm, erp) =>
      configuration(stack.kafka.brokers, stack.registry.url, crm, erp, folder, sessionTimeout),
    );
    const report = await place.measure(sessionTimeout);
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, 'standby.json'), `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return Math.max(...report.takeoverMs) <= 10_000 ? 0 : 1;
  } finally {
    await stack.destroy();
    await removeFolder(folder);
  }
}

const QUICK = { fsync: 'off', full_page_writes: 'off', max_wal_size: '4GB', shared_buffers: '256MB' };

class Place {
  private count = 0;

  private constructor(
    private readonly folder: string,
    private readonly links: number,
    private readonly configFile: string,
    private readonly crm: pg.Pool,
    private readonly erp: pg.Pool,
  ) {}

  /** The same records on both sides, so that each pair becomes a link and nothing needs writing. */
  static async create(
    folder: string,
    servers: { readonly crm: LocalPostgres; readonly erp: LocalPostgres },
    links: number,
    configured: (crm: string, erp: string) => string,
  ): Promise<Place> {
    const urls = { crm: await servers.crm.createDatabase('crm'), erp: await servers.erp.createDatabase('erp') };
    const pools = { crm: pool(urls.crm), erp: pool(urls.erp) };
    await Promise.all(
      Object.values(pools).map(async (each) => {
        await each.query(TABLE);
        await each.query(
          `INSERT INTO item SELECT n, 'code-' || n, 'item number ' || n, n % 1000 FROM generate_series(1, $1::int) n`,
          [links],
        );
        await each.query('ANALYZE item');
      }),
    );
    const configFile = join(folder, 'duolog.yaml');
    writeFileSync(configFile, configured(urls.crm, urls.erp));
    return new Place(folder, links, configFile, pools.crm, pools.erp);
  }

  async measure(sessionTimeout: string | undefined): Promise<StandbyReport> {
    const began = Date.now();
    let leader = this.spawn();
    await this.agreed();
    const firstAgreementMs = Date.now() - began;
    say(`${this.links} links agreed after ${firstAgreementMs} ms`);
    await this.erp.query(WATCH);
    const takeoverMs: number[] = [];
    for (let time = 0; time < TAKEOVERS; time++) {
      const standby = this.spawn();
      await standby.started();
      await untilIdle(standby);
      takeoverMs.push(await this.takeover(leader));
      leader = standby;
      say(`takeover ${time + 1}: ${takeoverMs.at(-1)} ms`);
    }
    await leader.stop();
    const fromOwnStore = await this.restart();
    rmSync(join(this.folder, 'state'), { recursive: true, force: true });
    const peak = { megabytes: 0 };
    const fromChangelog = await this.restart(peak);
    const report = { links: this.links, sessionTimeoutMs: milliseconds(sessionTimeout), firstAgreementMs, takeoverMs };
    await Promise.all([this.crm.end(), this.erp.end()]);
    return { ...report, restoreMs: { fromChangelog, fromOwnStore }, peakMegabytes: peak.megabytes };
  }

  private spawn(): DuologProcess {
    const { configFile, folder } = this;
    return new DuologProcess({ configFile, folder, name: `all-${++this.count}`, roles: ROLES });
  }

  /** The last rows of both sides were read, and an edit made after that has crossed. */
  private async agreed(): Promise<void> {
    const crossed = async () => {
      await this.crm.query('UPDATE item SET stock = stock + 1 WHERE id = $1', [this.links]);
      const [from, to] = await Promise.all(
        [this.crm, this.erp].map((each) => each.query('SELECT stock FROM item WHERE id = $1', [this.links])),
      );
      return to!.rows[0].stock > 1000 && from!.rows[0].stock >= to!.rows[0].stock;
    };
    await this.crm.query('UPDATE item SET stock = 1000 WHERE id = $1', [this.links]);
    await eventually(crossed, { timeoutMs: AGREE_TIMEOUT_MS, intervalMs: 1_000, what: 'an edit to cross' });
  }

  private async takeover(leader: DuologProcess): Promise<number> {
    const stopping = new AbortController();
    const editing = this.edit(stopping.signal);
    await eventually(async () => (await this.writesAfter(Date.now() - 1_000)) !== null, { timeoutMs: 60_000 });
    const killedMs = Date.now();
    leader.kill('SIGKILL');
    const firstMs = await eventually(() => this.writesAfter(killedMs), { timeoutMs: 120_000, intervalMs: 20 });
    stopping.abort();
    await editing;
    return firstMs - killedMs;
  }

  /** When the target was first written to after a moment. */
  private async writesAfter(afterMs: number): Promise<number | null> {
    // A transaction that the killed process had sent may still end; a moment is left for it.
    const { rows } = await this.erp.query<{ ms: string | null }>(
      `SELECT floor(extract(epoch FROM min(time)) * 1000) AS ms FROM written
       WHERE time > to_timestamp($1::float8 / 1000) + interval '100 milliseconds'`,
      [afterMs],
    );
    const ms = rows[0]?.ms ?? null;
    return ms === null ? null : Number(ms);
  }

  private async edit(signal: AbortSignal): Promise<void> {
    for (let at = 1; !signal.aborted; at++) {
      await this.crm.query('UPDATE item SET stock = stock + 1 WHERE id = $1', [(at * 7919) % this.links]);
      await delay(EDIT_EVERY_MS);
    }
  }

  /** From the start of a process to its running stream task. */
  private async restart(peak?: { megabytes: number }): Promise<number> {
    const began = Date.now();
    const process = this.spawn();
    const runs = () => /"task":"stream [^"]*","msg":"running"/.test(process.log());
    await eventually(runs, { timeoutMs: RESTORE_TIMEOUT_MS, intervalMs: 20, what: 'the stream task to run' });
    const took = Date.now() - began;
    if (peak !== undefined) peak.megabytes = peakOf(process);
    say(`restored after ${took} ms`);
    await process.stop();
    return took;
  }
}

/** A standby that has read all there is uses the processor no more. */
async function untilIdle(process: DuologProcess): Promise<void> {
  await eventually(
    async () => {
      const before = ticks(process);
      await delay(3_000);
      return ticks(process) - before < 60;
    },
    { timeoutMs: RESTORE_TIMEOUT_MS, intervalMs: 0, what: 'the standby to have caught up' },
  );
}

/** Hundredths of a second of processor time. */
function ticks({ pid }: DuologProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function peakOf({ pid }: DuologProcess): number {
  const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}

function pool(url: string): pg.Pool {
  const made = new pg.Pool({ connectionString: url, max: 4 });
  made.on('error', () => undefined);
  return made;
}

function configuration(
  brokers: readonly string[],
  registry: string,
  crm: string,
  erp: string,
  folder: string,
  sessionTimeout: string | undefined,
): string {
  const item = '{ table: public.item, map: { code: code, name: name, stock: stock } }';
  return `
prefix: standby
kafka:
  brokers: "${brokers.join(',')}"
  schemaRegistry: "${registry}"
  replicationFactor: 1
  minInsyncReplicas: 1
${sessionTimeout === undefined ? '' : `  sessionTimeout: ${sessionTimeout}\n`}systems:
  crm: { connector: postgres, url: "${crm}" }
  erp: { connector: postgres, url: "${erp}" }
state: { folder: "${folder}/state" }
http: { port: 0 }
log: { level: info, format: json }
syncs:
  items:
    leading: [erp, crm]
    entities:
      item:
        fields: { code: string, name: "string?", stock: "integer?" }
        match: [{ on: [code] }]
        conflict: { policy: newest, within: 0s, otherwise: leading }
        delete: hard
        systems: { crm: ${item}, erp: ${item} }
`;
}

function milliseconds(sessionTimeout: string | undefined): number | 'default' {
  if (sessionTimeout === undefined) return 'default';
  return sessionTimeout.endsWith('ms') ? Number.parseFloat(sessionTimeout) : Number.parseFloat(sessionTimeout) * 1000;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
