import type { Value } from '../../src/model/value.js';
import type { Action, FieldValues, RowPick, UserAction } from './actions.js';
import { generateWorld } from './configurations.js';
import { Random } from './random.js';
import { CHOICES, type EntityConfig, type EntitySystemConfig, type WorldConfig } from './world-config.js';

/** A whole run, written down: nothing is left to chance when it is played. */
export interface Scenario {
  readonly configuration: string;
  readonly seed: number;
  readonly world: WorldConfig;
  readonly actions: readonly Action[];
}

/** The tasks of a world by name: a source or a sink for each system, and the stream between them. */
export function taskNames(world: WorldConfig): string[] {
  const names = ['stream'];
  for (const system of world.systems) {
    const entities = world.entities.map(({ systems }) => systems[system]!);
    if (entities.some(({ captured }) => captured)) names.push(`source.${system}`);
    if (entities.some(({ written }) => written)) names.push(`sink.${system}`);
  }
  return names;
}

export function generateScenario(configuration: string, seed: number): Scenario {
  const random = new Random(seed);
  const world = generateWorld(configuration, random);
  return { configuration, seed, world, actions: new Workload(world, random).generate() };
}

/** What users do, what becomes of the processes, and who goes on when. */
class Workload {
  private values = 0;
  private locks = 0;
  /** Match values by entity, with the systems where they were given. */
  private readonly codes = new Map<string, Map<string, Set<string>>>();
  private readonly tasks: readonly string[];
  private readonly troubles: Troubles;

  constructor(
    private readonly world: WorldConfig,
    private readonly random: Random,
  ) {
    this.tasks = taskNames(world);
    this.troubles = troublesOf(random);
  }

  generate(): Action[] {
    const actions: Action[] = [];
    const before = this.random.chance(0.7) ? this.random.between(1, 6) : 0;
    for (let count = 0; count < before; count++) actions.push(this.insert());
    const phases = this.random.between(1, 4);
    for (let phase = 0; phase < phases; phase++) this.phase(actions);
    return actions;
  }

  /** A stretch of time in which some tasks are fast and others slow, and users are busy or not. */
  private phase(actions: Action[]): void {
    const weights = this.tasks.map((task) => [task, this.random.of([1, 1, 3, 0.2])] as const);
    const busy = this.random.of([0.1, 0.25, 0.5]);
    const length = this.random.between(8, 45);
    for (let count = 0; count < length; count++) {
      if (this.world.losses && this.random.chance(0.06)) actions.push(...this.loss());
      else if (this.random.chance(busy)) actions.push(this.userAction(actions));
      else if (this.random.chance(this.troubles.crashes)) actions.push(...this.crash(weights));
      else if (this.random.chance(0.03))
        actions.push({ do: 'wait', milliseconds: this.random.of([1, 5, 100, 20_000, 90_000_000]) });
      else if (this.random.chance(0.01)) actions.push({ do: 'compact' });
      else actions.push(this.step(weights));
    }
  }

  private step(weights: readonly (readonly [string, number])[]): Extract<Action, { do: 'step' }> {
    const slow = this.troubles.slow && this.random.chance(0.3) ? this.slowTopic() : null;
    return {
      do: 'step',
      task: this.random.weighted(weights),
      roundTrips: this.random.chance(this.troubles.cutSteps) ? this.random.between(1, 5) : null,
      records: this.random.chance(0.2) ? this.random.between(1, 3) : null,
      slow,
    };
  }

  private slowTopic(): string {
    return `change.${this.random.of(this.world.systems)}.${this.random.of(this.world.entities).name}`;
  }

  private crash(weights: readonly (readonly [string, number])[]): Action[] {
    const task = this.random.weighted(weights);
    return this.random.weighted<() => Action[]>([
      [() => [this.partOfStep(task), { do: 'crash', task, leftBehind: false }], 4],
      [() => [{ do: 'cut', task, after: this.random.between(0, 6) }], 3],
      [() => this.takeover(task, weights), 4],
    ])();
  }

  /** A process stops somewhere within its step and is taken for dead; others go on, then it wakes up. */
  private takeover(task: string, weights: readonly (readonly [string, number])[]): Action[] {
    const actions: Action[] = [this.partOfStep(task), { do: 'crash', task, leftBehind: true }];
    for (let count = this.random.between(0, 6); count > 0; count--) {
      actions.push(this.random.chance(0.5) ? { ...this.partOfStep(task), roundTrips: null } : this.step(weights));
    }
    actions.push({ do: 'wake', task, roundTrips: this.random.between(1, 6) });
    return actions;
  }

  /** A resync, mostly because something was lost; seldom at once, and now and then nobody asks before the end. */
  private loss(): Action[] {
    const system = this.random.of(this.world.systems.filter((name) => this.tasks.includes(`source.${name}`)));
    const ask: Action[] = [
      { do: 'resync', system },
      { do: 'wait', milliseconds: this.random.of([1, 2500]) },
    ];
    return this.random.weighted<() => Action[]>([
      [() => ask, 2],
      [() => [{ do: 'lose', system }, ...ask], 3],
      [() => [{ do: 'lose', system }], 1],
    ])();
  }

  private partOfStep(task: string): Extract<Action, { do: 'step' }> {
    return { do: 'step', task, roundTrips: this.random.between(1, 5), records: null, slow: null };
  }

  // ------------------------------------------------------------ users

  private userAction(actions: Action[]): Action {
    if (this.random.chance(this.troubles.locks)) return this.lockAction();
    if (this.random.chance(this.troubles.transactions)) return this.transaction();
    const earlier = actions.at(-1);
    // The same row again, or the same thing in another system: most of what can go wrong is there.
    if (earlier && 'row' in earlier && earlier.do !== 'lock' && this.random.chance(0.3)) {
      const row = this.random.chance(0.5)
        ? earlier.row
        : { ...earlier.row, system: this.editedSystem(earlier.row.entity) };
      return this.rowAction(row);
    }
    return this.random.chance(0.3) ? this.insert() : this.rowAction(this.pick());
  }

  private transaction(): Action {
    const first = this.insert();
    const others: UserAction[] = [];
    for (let count = this.random.between(1, 2); count > 0; count--) {
      const pick = { ...this.pick(), system: first.system };
      if (this.entity(pick.entity).systems[first.system]) others.push(this.rowAction(pick));
    }
    const sameCode: UserAction[] =
      this.random.chance(0.4) && others.length > 0
        ? [
            {
              do: 'delete',
              row: { system: first.system, entity: first.entity, code: first.values.code!, nth: 0 },
              soft: false,
            },
          ]
        : [];
    return { do: 'transaction', system: first.system, actions: [...sameCode, ...others, first] };
  }

  private lockAction(): Action {
    if (this.locks === 0 || this.random.chance(0.5)) {
      this.locks += 1;
      const row = this.pick();
      const insert = this.random.chance(0.3) ? this.fieldValues(this.entity(row.entity), row.system, true) : null;
      return { do: 'lock', name: `user${this.locks}`, row, insert };
    }
    return {
      do: 'unlock',
      name: `user${this.random.between(1, this.locks)}`,
      values: this.random.chance(0.5) ? { name: this.freshText() } : null,
      commit: this.random.chance(0.8),
    };
  }

  private insert(): Extract<UserAction, { do: 'insert' }> {
    const entity = this.random.of(this.world.entities);
    const system = this.editedSystem(entity.name);
    return {
      do: 'insert',
      system,
      entity: entity.name,
      values: this.fieldValues(entity, system, true),
      reuseKey: this.random.chance(this.troubles.rekeys),
    };
  }

  private rowAction(row: RowPick): UserAction {
    const entity = this.entity(row.entity);
    const config = entity.systems[row.system]!;
    return this.random.weighted<() => UserAction>([
      [() => ({ do: 'edit', row, values: this.fieldValues(entity, row.system, false) }), 10],
      [() => ({ do: 'edit', row, values: { code: this.code(entity, row.system) } }), 2],
      [() => ({ do: 'delete', row, soft: this.random.chance(0.7) }), 3],
      [() => ({ do: 'undelete', row }), config.softDelete ? 2 : 0],
      [() => ({ do: 'rekey', row, key: 1000 + ++this.values }), this.troubles.rekeys * 10],
      [() => ({ do: 'edit-unmapped', row, value: this.freshText() }), 0.5],
    ])();
  }

  private pick(): RowPick {
    const entity = this.random.of(this.world.entities);
    return {
      system: this.editedSystem(entity.name),
      entity: entity.name,
      code: this.knownCode(entity.name),
      nth: this.random.below(3),
    };
  }

  /** Users work where changes are captured: nobody can account for edits that nobody reads. */
  private editedSystem(entity: string): string {
    const systems = this.world.systems.filter((system) => this.entity(entity).systems[system]?.captured);
    return this.random.of(systems);
  }

  private entity(name: string): EntityConfig {
    return this.world.entities.find((entity) => entity.name === name)!;
  }

  private fieldValues(entity: EntityConfig, system: string, whole: boolean): FieldValues {
    const config = entity.systems[system]!;
    const values: Record<string, Value> = {};
    const edited = whole ? null : this.random.of(entity.fields.filter(({ kind }) => kind !== 'code')).name;
    for (const { name, kind } of entity.fields) {
      if (!whole && name !== edited && !this.random.chance(0.2)) continue;
      if (kind === 'code') {
        if (whole) values[name] = this.code(entity, system);
      } else if (kind === 'reference') values[name] = this.random.chance(0.85) ? this.knownCode(name) : null;
      else if (kind === 'choice') values[name] = this.random.of([...CHOICES, null]);
      else if (!whole || this.random.chance(0.8)) values[name] = this.text(config, name);
    }
    return values;
  }

  private text(config: EntitySystemConfig, field: string): Value {
    if (this.random.chance(0.05)) return null;
    const anywhere = Object.values(this.world.entities).some(({ systems }) =>
      Object.values(systems).some(({ checked }) => checked.includes(field)),
    );
    const bad = anywhere && !config.checked.includes(field) && this.random.chance(this.troubles.bad);
    return bad ? `${this.freshText()} bad` : this.freshText();
  }

  /** Unlike every other text of the run in its first three characters, so that it is known wherever it turns up. */
  private freshText(): string {
    this.values += 1;
    return `${(this.values + 36 * 36).toString(36)}${this.random.chance(0.5) ? ' long' : ''}`;
  }

  /** Mostly a new one, often one that another system knows, seldom one that is there already. */
  private code(entity: EntityConfig, system: string): Value {
    if (this.random.chance(0.03)) return null;
    const code = this.random.weighted<() => string>([
      [() => `m${this.codesOf(entity.name).size + 1}`, 5],
      [() => this.codeFromElsewhere(entity.name, system), 4],
      [() => this.knownCode(entity.name), this.troubles.duplicates],
    ])();
    const codes = this.codesOf(entity.name);
    codes.set(code, (codes.get(code) ?? new Set()).add(system));
    if (entity.normalise.length === 0 || this.random.chance(0.6)) return code;
    return this.random.of([code.toUpperCase(), `${code} `]);
  }

  private codeFromElsewhere(entity: string, system: string): string {
    const elsewhere = [...this.codesOf(entity)].filter(([, systems]) => !systems.has(system)).map(([code]) => code);
    return elsewhere.length > 0 ? this.random.of(elsewhere) : `m${this.codesOf(entity).size + 1}`;
  }

  private knownCode(entity: string): string {
    const codes = [...this.codesOf(entity).keys()];
    return codes.length > 0 ? this.random.of(codes) : 'm1';
  }

  private codesOf(entity: string): Map<string, Set<string>> {
    const codes = this.codes.get(entity) ?? new Map<string, Set<string>>();
    this.codes.set(entity, codes);
    return codes;
  }
}

/** How likely each trouble is in this run. Most runs lack some of them, so that each is seen alone too. */
interface Troubles {
  readonly crashes: number;
  readonly locks: number;
  readonly slow: boolean;
  readonly cutSteps: number;
  readonly rekeys: number;
  readonly transactions: number;
  readonly bad: number;
  readonly duplicates: number;
}

function troublesOf(random: Random): Troubles {
  return {
    crashes: random.chance(0.5) ? random.of([0.02, 0.08]) : 0,
    locks: random.chance(0.25) ? 0.15 : 0,
    slow: random.chance(0.4),
    cutSteps: random.chance(0.6) ? 0.3 : 0,
    rekeys: random.chance(0.3) ? 0.1 : 0,
    transactions: random.chance(0.3) ? 0.15 : 0,
    bad: random.chance(0.7) ? 0.2 : 0,
    duplicates: random.of([0, 0.5, 3]),
  };
}
