import { describe, expect, it } from 'vitest';
import { hasCursors } from '../../../src/decision/state.js';
import type { Row, Value } from '../../../src/model/value.js';
import { planOf, type EntityOptions, type SystemOptions } from '../../support/decision-fixtures.js';
import { findFaults, plain } from './random-check.js';
import { Random, World, type Rules } from './random-world.js';

/** Configurations under which every run must end clean. */
interface Setting {
  readonly name: string;
  readonly systems: readonly string[];
  readonly entity?: Partial<EntityOptions>;
  readonly system?: Readonly<Record<string, SystemOptions>>;
  readonly rules?: Partial<Rules>;
  readonly persons?: boolean;
  /** How often users do what: weights. */
  readonly deletes?: number;
  readonly matchEdits?: number;
  readonly rekeys?: number;
  /** Rows before the first start, and snapshots under way while users work. */
  readonly preloaded?: number;
  readonly codes?: number;
}

const SETTINGS: readonly Setting[] = [
  { name: 'edits', systems: ['a', 'b'] },
  {
    name: 'newest',
    systems: ['a', 'b'],
    entity: { conflict: { policy: 'newest', withinMicros: 1000, first: 'newest' } },
  },
  { name: 'deletes', systems: ['a', 'b'], deletes: 2 },
  { name: 'match edits', systems: ['a', 'b'], deletes: 1, matchEdits: 2 },
  { name: 'three systems', systems: ['a', 'b', 'c'], deletes: 1, matchEdits: 1, rekeys: 1 },
  {
    name: 'three systems newest',
    systems: ['a', 'b', 'c'],
    deletes: 1,
    matchEdits: 1,
    entity: { conflict: { policy: 'newest', first: 'fill' } },
  },
  { name: 'held conflicts', systems: ['a', 'b'], deletes: 1, entity: { conflict: { policy: 'hold' } } },
  { name: 'soft', systems: ['a', 'b'], deletes: 2, system: { a: { softDelete: true, delete: 'soft' } } },
  { name: 'never', systems: ['a', 'b'], deletes: 2, system: { a: { delete: 'never' } } },
  { name: 'unlink', systems: ['a', 'b', 'c'], deletes: 2, system: { a: { delete: 'unlink' } } },
  { name: 'snapshots', systems: ['a', 'b'], preloaded: 4, deletes: 1 },
  {
    name: 'snapshots of three, match edits',
    systems: ['a', 'b', 'c'],
    preloaded: 4,
    deletes: 1,
    matchEdits: 1,
    rules: { fullIdentity: true },
  },
  { name: 'key changes', systems: ['a', 'b'], rekeys: 2, deletes: 1, rules: { tellsKeyChanges: true } },
  { name: 'key changes untold', systems: ['a', 'b'], rekeys: 2, deletes: 1 },
  { name: 'constraints', systems: ['a', 'b'], deletes: 1, rules: { unique: ['note'], check: ['b name'] } },
  { name: 'unique codes', systems: ['a', 'b'], deletes: 1, matchEdits: 1, rules: { unique: ['code'] } },
  { name: 'upper', systems: ['a', 'b'], rules: { upper: ['b name'] } },
  { name: 'both rewrite', systems: ['a', 'b'], rules: { bump: ['a name', 'b name'] } },
  { name: 'references', systems: ['a', 'b'], persons: true, deletes: 1, rules: { foreignKeys: true } },
  {
    name: 'references, match edits, three',
    systems: ['a', 'b', 'c'],
    persons: true,
    deletes: 1,
    matchEdits: 1,
    rekeys: 1,
    preloaded: 2,
  },
  { name: 'one way', systems: ['a', 'b'], deletes: 1, matchEdits: 1, system: { b: { columns: unread() } } },
  {
    name: 'one way, not captured',
    systems: ['a', 'b'],
    deletes: 1,
    system: { b: { captured: false, columns: unread() } },
  },
  { name: 'groups', systems: ['a', 'b'], entity: { groups: { both: ['name', 'note'] } } },
];

function unread(): NonNullable<SystemOptions['columns']> {
  return { code: { read: false }, name: { read: false }, note: { read: false } };
}

function planFor(setting: Setting) {
  const systems = Object.fromEntries(setting.systems.map((system) => [system, setting.system?.[system] ?? {}]));
  const plain = Object.fromEntries(setting.systems.map((system) => [system, {}]));
  return planOf({
    entities: {
      company: {
        fields: { code: 'string', name: 'string', note: 'string' },
        match: [['code']],
        ...setting.entity,
        systems,
      },
      ...(setting.persons === true
        ? {
            person: {
              fields: { email: 'string', title: 'string', company: { kind: 'reference', entity: 'company' } },
              match: [['email']],
              systems: plain,
            } satisfies EntityOptions,
          }
        : {}),
    },
  });
}

function run(setting: Setting, seed: number): World {
  const random = new Random(seed);
  const rules: Rules = {
    unique: [],
    check: [],
    upper: [],
    bump: [],
    foreignKeys: false,
    fullIdentity: random.chance(0.5),
    tellsKeyChanges: false,
    ...setting.rules,
  };
  const world = new World(planFor(setting), rules, random);
  const user = new User(world, setting, random);
  for (let at = 0; at < (setting.preloaded ?? 0) * setting.systems.length; at++) user.act(0);
  for (const table of world.tables.values()) {
    // What happened before the first start is told by the snapshot alone.
    table.topic.length = 0;
    if (!table.plan.captured) table.snapshot = 'ended';
    if ((setting.preloaded ?? 0) === 0) while (table.snapshot !== 'ended') world.readSnapshot(table);
  }
  const steps = 10 + random.below(60);
  for (let step = 0; step < steps; step++) {
    if (random.chance(0.35)) user.act(random.next());
    else advance(world, random);
  }
  for (let rounds = 0; !isAtRest(world); rounds++) {
    if (rounds > 20_000) throw new Error('no rest');
    advance(world, random);
    if (hasCursors(world.state)) world.decide({ kind: 'continue' });
  }
  return world;
}

function advance(world: World, random: Random): void {
  const table = random.of([...world.tables.values()]);
  switch (random.below(4)) {
    case 0:
      world.readSnapshot(table);
      return;
    case 1:
      world.applyNext(random.of(world.plan.systems));
      return;
    default:
      world.decideNext(table);
  }
}

function isAtRest(world: World): boolean {
  if (hasCursors(world.state)) return false;
  for (const { topic, snapshot } of world.tables.values()) if (topic.length > 0 || snapshot !== 'ended') return false;
  for (const commands of world.commands.values()) if (commands.length > 0) return false;
  return true;
}

/** A person at one of the systems. */
class User {
  private count = 0;

  constructor(
    private readonly world: World,
    private readonly setting: Setting,
    private readonly random: Random,
  ) {}

  act(choice: number): void {
    const { random, world, setting } = this;
    const table = random.of([...world.tables.values()].filter(({ plan }) => plan.captured));
    const keys = [...table.rows.keys()].filter((key) => table.rows.get(key)!['gone'] !== 1);
    const { system, entity } = table.plan;
    const name = `${system} ${entity}`;
    if (keys.length === 0 || choice < 0.25) {
      world.user(`inserts ${name}`, () => void world.insert(table, this.row(system, entity)));
      return;
    }
    const key = random.of(keys);
    const weights = [4, setting.deletes ?? 0, setting.matchEdits ?? 0, setting.rekeys ?? 0];
    let pick = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
    const kind = weights.findIndex((weight) => (pick -= weight) < 0);
    if (kind === 1) this.remove(name, table, key);
    else if (kind === 3) this.rekey(name, table, key);
    else world.user(`edits ${name} ${key}`, () => this.edit(table, key, kind === 2));
  }

  private remove(name: string, table: ReturnType<World['table']>, key: string): void {
    const { world, random } = this;
    const gone = [...table.rows].filter(([, row]) => row['gone'] === 1);
    if (gone.length > 0 && random.chance(0.3)) {
      const [undeleted] = random.of(gone);
      world.user(`undeletes ${name} ${undeleted}`, () => world.update(table, undeleted, { gone: 0 }));
      return;
    }
    world.user(`deletes ${name} ${key}`, () => {
      this.supersede(table.rows.get(key)!);
      if (table.plan.softDelete !== null) world.update(table, key, { gone: 1 });
      else world.remove(table, key);
    });
  }

  private rekey(name: string, table: ReturnType<World['table']>, key: string): void {
    const { world, random } = this;
    const to = `r${++this.count}${random.below(3)}`;
    if (world.rules.foreignKeys) return;
    world.user(`changes the key of ${name} ${key} to ${to}`, () => {
      const children = [...world.tables.values()].filter(({ plan }) => plan.system === table.plan.system);
      world.update(table, key, { id: to });
      for (const other of children) {
        for (const { column, fieldType } of other.plan.columns) {
          if (fieldType.kind !== 'reference' || fieldType.entity !== table.plan.entity) continue;
          for (const [child, row] of [...other.rows])
            if (row[column] === key) world.update(other, child, { [column]: to });
        }
      }
    });
  }

  private edit(table: ReturnType<World['table']>, key: string, isMatch: boolean): void {
    const { world, random } = this;
    const { system, entity } = table.plan;
    const row = this.row(system, entity);
    const match = entity === 'company' ? 'code' : 'email';
    const fields = table.plan.columns.map(({ field }) => field).filter((field) => isMatch === (field === match));
    const set: Record<string, Value> = {};
    for (const field of fields)
      if (isMatch || random.chance(0.5)) set[`${system}_${field}`] = row[`${system}_${field}`] ?? null;
    const former = table.rows.get(key)!;
    this.supersede(Object.fromEntries(Object.keys(set).map((column) => [column, former[column] ?? null])));
    // Values of `row` that are not written never existed.
    for (const [column, value] of Object.entries(row)) if (!(column in set)) this.world.values.delete(String(value));
    world.update(table, key, set);
  }

  private supersede(row: Row): void {
    for (const value of Object.values(row)) {
      for (const known of this.world.values.keys()) {
        if (plain(known) === plain(value)) this.world.values.set(known, 'superseded');
      }
    }
  }

  private row(system: string, entity: string): Row {
    const { random, world } = this;
    const unique = (): string => {
      const value = `${system}${++this.count}${world.rules.check.length > 0 && random.chance(0.1) ? 'bad' : ''}`;
      if (world.table(system, entity).plan.columns.some(({ read }) => read)) world.values.set(value, 'there');
      return value;
    };
    const code = `c${random.below(this.setting.codes ?? 4)}`;
    if (entity === 'person') {
      const companies = [...world.table(system, 'company').rows.keys()];
      const company = companies.length === 0 || random.chance(0.1) ? null : random.of(companies);
      return { [`${system}_email`]: code, [`${system}_title`]: unique(), [`${system}_company`]: company };
    }
    const note = world.rules.unique.includes('note') ? `n${random.below(6)}` : unique();
    const extra = world.table(system, entity).plan.softDelete === null ? {} : { gone: 0 };
    return { [`${system}_code`]: code, [`${system}_name`]: unique(), [`${system}_note`]: note, ...extra };
  }
}

const RUNS = Number(process.env['DECISION_RUNS'] ?? 100);
const SEED = Number(process.env['DECISION_SEED'] ?? 1);
const ONLY = process.env['DECISION_SETTING'];

describe('random interleavings end clean', () => {
  it.each(SETTINGS.filter(({ name }) => ONLY === undefined || name === ONLY))(
    '$name',
    { timeout: 600_000 },
    (setting) => {
      const failures: string[] = [];
      for (let seed = SEED; seed < SEED + RUNS; seed++) {
        let faults: string[];
        try {
          faults = findFaults(run(setting, seed));
        } catch (error) {
          faults = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
        }
        if (faults.length > 0) failures.push(`seed ${seed}: ${faults.join('; ')}`);
      }
      if (process.env['DECISION_TRACE'] !== undefined) console.log(run(setting, SEED).trace.join('\n'));
      expect(failures.slice(0, 3), `${failures.length} of ${RUNS} runs failed`).toEqual([]);
    },
  );
});
