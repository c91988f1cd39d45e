import type pg from 'pg';
import { type AuditEntry, readAudit, type TextRow } from '../world/audit.js';
import { ENTITIES, SYSTEMS, TABLES, tableOf, type EntityName, type SystemName } from '../world/model.js';
import { Accounts } from './accounting.js';
import { type Databases, verifyEquality } from './equality.js';
import { answersOf, tableOfEntry, verifySequences, type Violation } from './sequences.js';
import { recordName, type ToldTopics } from './topics.js';

export type { Violation } from './sequences.js';

/** What a round amounted to, once it was judged. */
export interface Verdict {
  readonly violations: readonly Violation[];
  readonly edits: number;
  readonly decisions: number;
  readonly commands: number;
  /** Standing now, by reason. */
  readonly holds: Readonly<Record<string, number>>;
}

/** A reconciler that writes more than this for each edit is at odds with itself. */
const COMMANDS_AN_EDIT = 16;
const COMMANDS_FREE = 200;

/**
 * Judges what Duolog did by the databases' own audit and by the topics as Kafka's own consumer reads them. Nothing here
 * is Duolog's code.
 */
export class Oracle {
  readonly audit: AuditEntry[] = [];
  private readonly read: Record<SystemName, number> = { crm: 0, erp: 0 };
  private judged = 0;
  /** Row changes from before the start, which only the snapshot told. */
  private baseline: number | null = null;
  private counted = { decisions: 0, commands: 0 };

  constructor(
    private readonly pools: Readonly<Record<SystemName, pg.Pool>>,
    private readonly told: ToldTopics,
    /** Changes made after this are told one by one; the slots are there. */
    public startedMs: number,
  ) {}

  /** Commands without an answer yet, as far as answers can be known. */
  unanswered(): number {
    if (this.told.missedOwn > 0) return 0;
    const answers = answersOf(this.told);
    let open = 0;
    for (const command of this.told.commands.keys()) if (!answers.has(command)) open++;
    return open;
  }

  /** Row changes that no change topic has told yet, against what was settled; zero before anything was. */
  async untold(): Promise<number> {
    if (this.baseline === null) return 0;
    return (await this.captured()) - this.toldOneByOne() - this.baseline;
  }

  private async captured(): Promise<number> {
    const tables = TABLES.filter(({ captured }) => captured).map(({ table }) => table);
    const counts = await Promise.all(
      SYSTEMS.map((system) =>
        this.pools[system].query<{ n: string }>('SELECT count(*) AS n FROM audit.entry WHERE relation = ANY($1)', [
          tables,
        ]),
      ),
    );
    return counts.reduce((sum, { rows }) => sum + Number(rows[0]!.n), 0);
  }

  private toldOneByOne(): number {
    return this.told.changes.filter(({ operation }) => !['read', 'outcome', 'end'].includes(operation)).length;
  }

  /** Judges all there is; a verdict that is not final may be followed by another one about the same. */
  async judge(): Promise<Verdict> {
    await this.told.decode();
    for (const system of SYSTEMS) {
      const entries = await readAudit(this.pools[system], system, this.read[system]);
      for (const entry of entries) this.audit.push(entry);
      this.read[system] = entries.at(-1)?.number ?? this.read[system];
    }
    const databases = await this.readDatabases();
    const fresh = this.audit.slice(this.judged);
    const edits = fresh.filter(({ byUser }) => byUser).length;
    const accounts = new Accounts(this.audit, this.told, databases);
    const commands = this.told.commands.size - this.counted.commands;
    return {
      violations: [
        ...verifySequences(this.audit, this.told, this.startedMs),
        ...verifyEquality(databases, this.told),
        ...accounts.verify(fresh),
        ...boundedBy(edits, commands),
      ],
      edits,
      commands,
      decisions: this.told.decisions.length - this.counted.decisions,
      holds: this.holds(),
    };
  }

  /** What was judged is settled: the next verdict counts from here. */
  async settle(): Promise<void> {
    this.baseline ??= (await this.captured()) - this.toldOneByOne();
    this.judged = this.audit.length;
    this.counted = { decisions: this.told.decisions.length, commands: this.told.commands.size };
  }

  /** All that is known of a record, or a link, and of what belongs to it, for whoever looks into a broken round. */
  evidence(record: string): unknown {
    const links = this.told.links.has(record) ? [record] : [...(this.told.linksOfRecord.get(record) ?? [])];
    const records = new Set([record]);
    for (const [name, named] of this.told.linksOfRecord) if (links.some((link) => named.has(link))) records.add(name);
    for (const link of links) this.addParents(records, link);
    const nameOf = (entry: AuditEntry) => recordName(entry.system, tableOfEntry(entry).entity, entry.key);
    return {
      record,
      links: links.map((link) => this.told.links.get(link)),
      linksOfRecords: Array.from(records, (each) => [each, [...(this.told.linksOfRecord.get(each) ?? [])]]),
      holds: [...this.told.holds.values()].filter(({ link }) => links.includes(link)),
      happened: this.audit.filter((entry) => records.has(nameOf(entry))),
      told: this.told.changes.filter(({ system, entity, key }) => records.has(recordName(system, entity, key ?? ''))),
      commands: [...this.told.commands].filter(([, { link }]) => links.includes(link)),
      decisions: this.told.decisions.filter(({ link }) => links.includes(link)),
    };
  }

  private addParents(records: Set<string>, link: string): void {
    const parent = this.told.links.get(link)?.fields?.['company'];
    if (parent?.kind !== 'link') return;
    for (const [name, named] of this.told.linksOfRecord) if (named.has(parent.link)) records.add(name);
  }

  private holds(): Record<string, number> {
    const holds: Record<string, number> = {};
    for (const { reason } of this.told.holds.values()) holds[reason] = (holds[reason] ?? 0) + 1;
    return holds;
  }

  private async readDatabases(): Promise<Databases> {
    const perSystem = await Promise.all(
      SYSTEMS.map(async (system) => [system, await readTables(this.pools[system], system)] as const),
    );
    return Object.fromEntries(perSystem) as Databases;
  }
}

async function readTables(
  pool: pg.Pool,
  system: SystemName,
): Promise<Record<EntityName, ReadonlyMap<string, TextRow>>> {
  const tables = await Promise.all(
    ENTITIES.map(async (entity) => {
      const { key, table } = tableOf(system, entity);
      const { rows } = await pool.query<{ row: TextRow }>(
        `SELECT (SELECT jsonb_object_agg(part.key, part.value) FROM jsonb_each_text(to_jsonb(t)) part) AS row FROM ${table} t`,
      );
      return [entity, new Map(rows.map(({ row }) => [row[key]!, row]))] as const;
    }),
  );
  return Object.fromEntries(tables) as unknown as Record<EntityName, ReadonlyMap<string, TextRow>>;
}

function boundedBy(edits: number, commands: number): Violation[] {
  const allowed = COMMANDS_AN_EDIT * edits + COMMANDS_FREE;
  if (commands <= allowed) return [];
  return [{ rule: 'bounded commands', message: `${commands} commands for ${edits} edits; at most ${allowed}` }];
}
