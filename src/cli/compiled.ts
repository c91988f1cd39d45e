import type { LoadedConfiguration } from '../config/load.js';
import { configurationError } from '../config/problems.js';
import type { TableShape } from '../model/table.js';
import { compilePlans } from '../plan/compile.js';
import type { SyncPlan } from '../plan/plan.js';

/** @throws DuologError CONFIG_INVALID with every problem and its place in the file. */
export function compileOrThrow(loaded: LoadedConfiguration, shapes: readonly TableShape[]): readonly SyncPlan[] {
  const compiled = compilePlans(loaded.configuration, shapes);
  if (!compiled.ok) throw configurationError(compiled.problems.map(loaded.locate));
  return compiled.plans;
}
