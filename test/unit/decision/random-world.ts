import type { Command, Origin, Outcome } from '../../../src/connector/contract.js';
import { decide } from '../../../src/decision/decide.js';
import type { ChangeEvent, StreamEvent } from '../../../src/decision/events.js';
import type { Output } from '../../../src/decision/outputs.js';
import { SHARE, type Share } from '../../../src/decision/settle.js';
import { hasCursors, initialState } from '../../../src/decision/state.js';
import type { Row, Value } from '../../../src/model/value.js';
import type { EntitySystemPlan, SyncPlan } from '../../../src/plan/plan.js';
import { MemoryState } from '../../support/memory-state.js';

/** What the databases of a run do beside storing rows. */
export interface Rules {
  /** Fields whose values are unique in their system. */
  readonly unique: readonly string[];
  /** The system refuses values with "bad" in this field. */
  readonly check: readonly string[];
  /** `system field`: a trigger puts the value in upper case, or changes it at every write of ours. */
  readonly upper: readonly string[];
  readonly bump: readonly string[];
  /** A child must have its parent. */
  readonly foreignKeys: boolean;
  /** The old image comes with updates and deletions. */
  readonly fullIdentity: boolean;
  /** The system says itself that a key changed. */
  readonly tellsKeyChanges: boolean;
}

export class Random {
  constructor(private state: number) {}
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
  chance(probability: number): boolean {
    return this.next() < probability;
  }
}

class Refusal extends Error {
  constructor(
    readonly code: string,
    readonly blockingKey: string | null,
  ) {
    super(code);
  }
}

interface Table {
  readonly plan: EntitySystemPlan;
  readonly rows: Map<string, Row>;
  /** Events of the entity's topic not decided yet. */
  readonly topic: StreamEvent[];
  /** Last key the snapshot has read; null before it began, `true` once it has ended. */
  snapshot: { after: string | null } | 'before' | 'ended';
}

/** Databases, topics and the decision, stepped one thing at a time. */
export class World {
  readonly state = new MemoryState();
  readonly outputs: Output[] = [];
  readonly commands = new Map<string, Command[]>();
  readonly tables = new Map<string, Table>();
  /** Values that a user wrote, and whether a user who saw them has since changed or deleted their record. */
  readonly values = new Map<string, 'there' | 'superseded'>();
  readonly trace: string[] = [];
  readonly share: Share;
  commandsSent = 0;
  userEdits = 0;
  private clock = 1_700_000_000_000_000;
  private count = 0;
  private transaction = 0;

  constructor(
    readonly plan: SyncPlan,
    readonly rules: Rules,
    readonly random: Random,
  ) {
    this.share = random.chance(0.5) ? SHARE : { visits: 1, consequences: 2 };
    initialState(this.state, { ...plan, birth: 'b' });
    for (const system of plan.systems) this.commands.set(system, []);
    for (const entity of plan.entities) {
      for (const one of Object.values(entity.systems)) {
        this.tables.set(`${one.system}/${entity.name}`, { plan: one, rows: new Map(), topic: [], snapshot: 'before' });
      }
    }
  }

  table(system: string, entity: string): Table {
    return this.tables.get(`${system}/${entity}`)!;
  }

  tableOf(system: string, entity: string): Table {
    return this.table(system, entity);
  }

  // ------------------------------------------------------------ users

  /** One transaction of a user; false when the database refused it. */
  user(what: string, work: () => void): boolean {
    const before = new Map([...this.tables].map(([name, { rows }]) => [name, new Map(rows)]));
    const topics = new Map([...this.tables].map(([name, { topic }]) => [name, topic.length]));
    const values = new Map(this.values);
    this.begin();
    try {
      work();
      this.end();
      this.trace.push(`user ${what}`);
      this.userEdits++;
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      for (const [name, table] of this.tables) {
        table.rows.clear();
        for (const [key, row] of before.get(name)!) table.rows.set(key, row);
        table.topic.length = topics.get(name)!;
      }
      this.values.clear();
      for (const [value, state] of values) this.values.set(value, state);
      return false;
    }
  }

  private deleted = new Set<Table>();
  begin(): void {
    this.clock += 1 + this.random.below(3_000_000);
    this.transaction++;
    this.deleted = new Set();
  }

  end(): void {
    for (const table of this.deleted) {
      table.topic.push({ kind: 'end', end: 'transaction', ...this.place(table) });
    }
  }

  private place(table: Table) {
    return {
      system: table.plan.system,
      entity: table.plan.entity,
      commitTimeMicros: this.clock,
      transaction: `t${this.transaction}`,
      position: String(++this.count).padStart(8, '0'),
    };
  }

  insert(table: Table, row: Row, origin: Origin | null = null): string {
    const keyColumn = table.plan.shape.key[0]!;
    const key = String(row[keyColumn] ?? `${table.plan.system}${++this.count}`);
    const full: Row = {
      ...Object.fromEntries(table.plan.shape.columns.map(({ name }) => [name, null])),
      ...row,
      [keyColumn]: key,
    };
    if (table.rows.has(key)) throw new Refusal('23505', key);
    const written = origin === null ? full : this.triggered(table, full);
    this.guard(table, key, written);
    table.rows.set(key, written);
    this.event(table, { operation: 'insert', key, before: null, after: written, origin });
    return key;
  }

  update(table: Table, key: string, set: Row, origin: Origin | null = null): void {
    const before = table.rows.get(key)!;
    const after = origin === null ? { ...before, ...set } : this.triggered(table, { ...before, ...set });
    const keyColumn = table.plan.shape.key[0]!;
    const newKey = String(after[keyColumn]);
    if (newKey !== key && table.rows.has(newKey)) throw new Refusal('23505', newKey);
    if (newKey !== key) this.guardChildren(table, key);
    this.guard(table, key, after);
    table.rows.delete(key);
    table.rows.set(newKey, after);
    if (newKey === key) {
      this.event(table, { operation: 'update', key, before, after, origin });
    } else if (this.rules.tellsKeyChanges) {
      this.event(table, { operation: 'delete', key, before, after: null, origin, keyChange: { to: newKey } });
      this.event(table, { operation: 'update', key: newKey, before, after, origin, keyChange: { from: key } });
      this.deleted.add(table);
    } else {
      this.event(table, { operation: 'delete', key, before, after: null, origin: null });
      this.event(table, { operation: 'insert', key: newKey, before: null, after, origin });
      this.deleted.add(table);
    }
  }

  remove(table: Table, key: string, origin: Origin | null = null): void {
    const before = table.rows.get(key)!;
    this.guardChildren(table, key);
    table.rows.delete(key);
    this.event(table, { operation: 'delete', key, before, after: null, origin });
    this.deleted.add(table);
  }

  private event(table: Table, event: Partial<ChangeEvent> & Pick<ChangeEvent, 'operation' | 'key' | 'after'>): void {
    const before = this.rules.fullIdentity ? (event.before ?? null) : null;
    table.topic.push({
      kind: 'change',
      keyChange: null,
      unchanged: [],
      origin: null,
      ...this.place(table),
      ...event,
      before,
    });
  }

  private guard(table: Table, key: string, row: Row): void {
    for (const { field, column } of table.plan.columns) {
      const value = row[column] ?? null;
      if (this.rules.check.includes(`${table.plan.system} ${field}`) && String(value).includes('bad'))
        throw new Refusal('23514', null);
      if (!this.rules.unique.includes(field) || value === null || row['gone'] === 1) continue;
      for (const [other, { [column]: same, gone }] of table.rows) {
        if (other !== key && same === value && gone !== 1) throw new Refusal('23505', other);
      }
    }
    if (!this.rules.foreignKeys) return;
    for (const { column, fieldType } of table.plan.columns) {
      const value = row[column] ?? null;
      if (fieldType.kind !== 'reference' || value === null) continue;
      if (!this.table(table.plan.system, fieldType.entity).rows.has(String(value))) throw new Refusal('23503', null);
    }
  }

  private guardChildren(table: Table, key: string): void {
    if (!this.rules.foreignKeys) return;
    for (const other of this.tables.values()) {
      if (other.plan.system !== table.plan.system) continue;
      for (const { column, fieldType } of other.plan.columns) {
        if (fieldType.kind !== 'reference' || fieldType.entity !== table.plan.entity) continue;
        for (const row of other.rows.values()) if (row[column] === key) throw new Refusal('23503', null);
      }
    }
  }

  private triggered(table: Table, row: Row): Row {
    const changed: Record<string, Value> = { ...row };
    for (const { field, column } of table.plan.columns) {
      const name = `${table.plan.system} ${field}`;
      const value = changed[column];
      if (typeof value !== 'string') continue;
      if (this.rules.upper.includes(name)) changed[column] = value.toUpperCase();
      if (this.rules.bump.includes(name)) changed[column] = `${value}+`;
    }
    return changed;
  }

  // ------------------------------------------------------------ tasks

  /** Reads one row of a first snapshot, or begins or ends it. */
  readSnapshot(table: Table): void {
    this.begin();
    if (table.snapshot === 'ended') return;
    if (table.snapshot === 'before') {
      table.topic.push({ kind: 'end', end: 'snapshot-begin', ...this.place(table) });
      table.snapshot = { after: null };
      return;
    }
    const { after } = table.snapshot;
    const key = [...table.rows.keys()].sort().find((one) => after === null || one > after);
    if (key === undefined) {
      table.topic.push({ kind: 'end', end: 'snapshot', ...this.place(table) });
      table.snapshot = 'ended';
      return;
    }
    table.snapshot = { after: key };
    const row = table.rows.get(key)!;
    this.event(table, { operation: 'read', key, after: row, commitTimeMicros: null });
  }

  /** Decides the next event of a topic. */
  decideNext(table: Table): void {
    const event = table.topic.shift();
    if (event !== undefined) this.decide(event);
  }

  decide(event: StreamEvent): void {
    this.trace.push(`event ${JSON.stringify(event)}`);
    const outputs = [...decide(this.state, event, this.plan, this.share)];
    // In half of the runs, work is left to later events in the smallest steps.
    while (hasCursors(this.state) && (event.kind === 'continue' || this.share === SHARE || this.random.chance(0.5))) {
      outputs.push(...decide(this.state, { kind: 'continue' }, this.plan, this.share));
    }
    for (const output of outputs) {
      this.outputs.push(output);
      this.trace.push(`  -> ${JSON.stringify(output)}`);
      if (output.kind !== 'command') continue;
      this.commandsSent++;
      this.commands.get(output.system)!.push(output.command);
    }
  }

  /** The sink applies a system's next command: all or nothing, its outcome in the same stream. */
  applyNext(system: string): void {
    const command = this.commands.get(system)!.shift();
    if (command === undefined) return;
    const table = this.table(system, command.entity);
    this.begin();
    const origin = { sync: this.plan.name, command: command.id, link: command.link };
    try {
      this.apply(table, command, origin);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { blockingKey, code } = error;
      const failure = { code, message: code, constraint: 'constraint', column: null, blockingKey };
      this.answer(table, command, { status: 'failed', key: command.key, ...failure });
    }
    this.end();
  }

  private apply(table: Table, command: Command, origin: Origin): void {
    if (command.operation === 'insert') {
      const met = [...table.rows].find(([, row]) => command.absent.some((absent) => shows(row, absent)));
      if (met !== undefined)
        this.answer(table, command, { status: 'refused', key: met[0], met: met[1], reason: 'exists' });
      else this.insert(table, command.set, origin);
      return;
    }
    const row = table.rows.get(command.key!);
    if (row === undefined || !shows(row, command.expect)) {
      const unchanged = row !== undefined && command.operation === 'update' && shows(row, command.set);
      if (unchanged) this.answer(table, command, { status: 'unchanged', key: command.key! });
      else this.answer(table, command, { status: 'refused', key: command.key, met: row ?? null, reason: 'differs' });
    } else if (command.operation === 'delete') {
      this.remove(table, command.key!, origin);
      // The end of a transaction of ours comes like that of any other.
    } else {
      this.update(table, command.key!, command.set, origin);
    }
  }

  private answer(table: Table, command: Command, outcome: object): void {
    const { id, link, entity } = command;
    const full = { command: id, link, entity, ...outcome } as Outcome;
    table.topic.push({ kind: 'outcome', outcome: full, ...this.place(table) });
  }
}

function shows(row: Row, values: Row): boolean {
  return Object.keys(values).every((column) => (row[column] ?? null) === (values[column] ?? null));
}
