import type { Action } from './actions.js';
import type { Scenario } from './workload.js';
import type { EntityConfig, EntitySystemConfig, WorldConfig } from './world-config.js';

/**
 * The smallest scenario found that still fails by the same rule: actions are left out in ever smaller parts
 * (delta debugging), then what is left is made simpler, as long as `fails` says so.
 */
export async function shrink(
  scenario: Scenario,
  fails: (candidate: Scenario) => Promise<boolean>,
  maxAttempts = 1500,
): Promise<Scenario> {
  let attempts = 0;
  let best = scenario;
  const attemptScenario = async (candidate: Scenario): Promise<boolean> => {
    if (attempts++ >= maxAttempts) return false;
    if (!(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  const attempt = (actions: readonly Action[]) => attemptScenario({ ...best, actions });
  for (let before = -1; before !== size(best) && attempts < maxAttempts; ) {
    before = size(best);
    await leaveOut(() => best.actions, attempt);
    await simplify(() => best.actions, attempt);
    for (let tried = true; tried; ) {
      tried = false;
      for (const candidate of simplerWorlds(best)) {
        if (!(await attemptScenario(candidate))) continue;
        tried = true;
        break;
      }
    }
  }
  return best;
}

function size(scenario: Scenario): number {
  return JSON.stringify(scenario.actions).length + JSON.stringify(scenario.world).length;
}

async function leaveOut(
  current: () => readonly Action[],
  attempt: (actions: readonly Action[]) => Promise<boolean>,
): Promise<void> {
  for (let part = Math.ceil(current().length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = current().length - part; at > -part; at -= part) {
      const actions = current();
      const from = Math.max(0, at);
      await attempt([...actions.slice(0, from), ...actions.slice(from + part)]);
    }
  }
}

async function simplify(
  current: () => readonly Action[],
  attempt: (actions: readonly Action[]) => Promise<boolean>,
): Promise<void> {
  for (let at = 0; at < current().length; at++) {
    for (const simpler of simplerOnes(current()[at]!)) {
      const actions = current();
      await attempt([...actions.slice(0, at), simpler, ...actions.slice(at + 1)]);
    }
  }
}

/** The same action with one thing less to it. */
function simplerOnes(action: Action): Action[] {
  switch (action.do) {
    case 'step': {
      const simpler: Action[] = [];
      if (action.slow !== null) simpler.push({ ...action, slow: null });
      if (action.records !== null) simpler.push({ ...action, records: null });
      if (action.roundTrips !== null) simpler.push({ ...action, roundTrips: null });
      return simpler;
    }
    case 'insert':
    case 'edit':
      return Object.keys(action.values)
        .filter((field) => field !== 'code' && Object.keys(action.values).length > 1)
        .map((field) => {
          const values = { ...action.values };
          delete values[field];
          return { ...action, values };
        });
    case 'transaction':
      return [
        ...action.actions,
        ...action.actions.map((_, at) => ({ ...action, actions: action.actions.toSpliced(at, 1) })),
      ];
    case 'lock':
      return action.insert ? [{ ...action, insert: null }] : [];
    case 'crash':
      return action.leftBehind ? [{ ...action, leftBehind: false }] : [];
    default:
      return [];
  }
}

// ---------------------------------------------------------------- worlds

/** The scenario in a world with one thing less: a system, an entity, a field, or a peculiarity of a table. */
function* simplerWorlds(scenario: Scenario): Generator<Scenario> {
  const { world } = scenario;
  if (world.smallBatches) yield { ...scenario, world: { ...world, smallBatches: false } };
  if (world.systems.length > 2) for (const system of world.systems) yield withoutSystem(scenario, system);
  for (const entity of world.entities) {
    if (world.entities.length > 1) yield withoutEntity(scenario, entity.name);
    for (const field of entity.fields) if (field.kind !== 'code') yield withoutField(scenario, entity, field.name);
    for (const [system, config] of Object.entries(entity.systems)) {
      for (const plainer of plainerTables(config)) yield withTable(scenario, entity, system, plainer);
    }
    if (Object.keys(entity.conflict.groups).length > 0) {
      yield withEntity(scenario, { ...entity, conflict: { ...entity.conflict, groups: {} } });
    }
  }
}

function plainerTables(config: EntitySystemConfig): EntitySystemConfig[] {
  const plainer: EntitySystemConfig[] = [];
  if (config.unique !== 'none') plainer.push({ ...config, unique: 'none' });
  if (config.trigger) plainer.push({ ...config, trigger: null });
  if (config.softDelete && config.delete !== 'soft') plainer.push({ ...config, softDelete: false, unique: 'none' });
  if (config.delete !== 'hard') plainer.push({ ...config, delete: 'hard' });
  if (config.checked.length > 0) plainer.push({ ...config, checked: [] });
  if (config.truncated.length > 0) plainer.push({ ...config, truncated: [] });
  if (config.notWritten.length > 0) plainer.push({ ...config, notWritten: [] });
  if (config.keys === 'natural') plainer.push({ ...config, keys: 'sequence' });
  return plainer;
}

function withTable(scenario: Scenario, entity: EntityConfig, system: string, config: EntitySystemConfig): Scenario {
  return withEntity(scenario, { ...entity, systems: { ...entity.systems, [system]: config } });
}

function withEntity(scenario: Scenario, entity: EntityConfig): Scenario {
  const entities = scenario.world.entities.map((each) => (each.name === entity.name ? entity : each));
  return { ...scenario, world: { ...scenario.world, entities } };
}

function withoutField(scenario: Scenario, entity: EntityConfig, name: string): Scenario {
  const systems: Record<string, EntitySystemConfig> = {};
  for (const [system, config] of Object.entries(entity.systems)) {
    const others = (names: readonly string[]) => names.filter((other) => other !== name);
    systems[system] = {
      ...config,
      notRead: others(config.notRead),
      notWritten: others(config.notWritten),
      truncated: others(config.truncated),
      checked: others(config.checked),
      trigger: config.trigger?.field === name ? null : config.trigger,
    };
  }
  return withEntity(scenario, { ...entity, systems, fields: entity.fields.filter((field) => field.name !== name) });
}

function withoutEntity(scenario: Scenario, name: string): Scenario {
  const entities = scenario.world.entities
    .filter((entity) => entity.name !== name)
    .map((entity) => ({ ...entity, fields: entity.fields.filter((field) => field.name !== name) }));
  return only(scenario, { ...scenario.world, entities }, (action) => !mentions(action, 'entity', name));
}

function withoutSystem(scenario: Scenario, name: string): Scenario {
  const entities = scenario.world.entities.map((entity) => {
    const { [name]: _, ...systems } = entity.systems;
    const conflict = {
      ...entity.conflict,
      lead: entity.conflict.lead === name ? null : entity.conflict.lead,
      groups: {},
    };
    return { ...entity, systems, conflict };
  });
  const systems = scenario.world.systems.filter((system) => system !== name);
  const world = { ...scenario.world, systems, entities };
  return only(scenario, world, (action) => !mentions(action, 'system', name));
}

function only(scenario: Scenario, world: WorldConfig, wanted: (action: Action) => boolean): Scenario {
  return { ...scenario, world, actions: scenario.actions.filter(wanted) };
}

function mentions(action: Action, what: 'system' | 'entity', name: string): boolean {
  if ('task' in action) return what === 'system' && action.task.endsWith(`.${name}`);
  return JSON.stringify(action).includes(`"${what}":"${name}"`);
}
