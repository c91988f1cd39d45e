import { DuologError } from '../errors/duolog-error.js';
import { compareFingerprints } from '../plan/fingerprint.js';
import type { SyncPlan } from '../plan/plan.js';
import type { Row } from '../model/value.js';
import type { State } from '../state/contract.js';
import { mergeFirst } from './first-link.js';
import type { SystemIndex } from './plan-index.js';
import { timeOf } from './rows.js';
import { CONFIGURATION_KEY, cursorKey, SYNC_KEY, syncRecord, type StateRecord } from './state.js';
import type { LinkDraft, Turn } from './turn.js';
import type { Work } from './work.js';

/**
 * Takes a state that was made under an earlier configuration over into this one (I16): nothing but fields may have been
 * added. Their values are then taken from every record that was seen, in the order of precedence.
 * @throws DuologError CONFIG_CHANGED naming what else has changed.
 */
export function adoptConfiguration(state: State<StateRecord>, plan: SyncPlan): void {
  const sync = syncRecord(state)!;
  if (sync.fingerprint === plan.fingerprint) return;
  const stored = state.get(CONFIGURATION_KEY);
  const comparison = compareFingerprints(stored?.kind === 'configuration' ? stored.parts : {}, plan.fingerprintParts);
  if (comparison.kind === 'changed') {
    const parts = comparison.parts.join(', ');
    throw new DuologError('CONFIG_CHANGED', `The state of ${plan.name} was made under another configuration: ${parts}`);
  }
  const added = comparison.kind === 'fields-added' ? comparison.fields : [];
  let { lastCursor } = sync;
  for (const work of workFor(plan, added)) {
    const number = ++lastCursor;
    state.put(cursorKey(number), { kind: 'cursor', number, work, after: null });
  }
  state.put(CONFIGURATION_KEY, { kind: 'configuration', parts: plan.fingerprintParts });
  state.put(SYNC_KEY, { ...sync, fingerprint: plan.fingerprint, lastCursor });
}

function workFor(plan: SyncPlan, added: readonly string[]): Work[] {
  return plan.entities.flatMap(({ name, systems }) => {
    const fields = added.filter((field) => field.startsWith(`${name}.`)).map((field) => field.slice(name.length + 1));
    if (fields.length === 0) return [];
    return plan.leading
      .filter((system) => systems[system] !== undefined)
      .map((system): Work => ({ what: 'added-fields', system, entity: name, fields }));
  });
}

/** Merges the added fields from one record of the link, as if it had just joined. */
export function takeAddedFields(turn: Turn, link: LinkDraft, systemName: string, fields: readonly string[]): void {
  const system = turn.system(link.entity, systemName);
  const member = link.members[systemName];
  if (member === undefined || member.seen === null) return;
  member.seen = withAddedColumns(system, member.seen, fields);
  turn.changed(link);
  if (link.existence !== 'present') return;
  const setter = { system: systemName, timeMicros: timeOf(system, null, member.seen) };
  mergeFirst(turn, link, system, member, setter, new Set(fields));
}

/** A column that came to the table after the row was seen counts as empty: what stands there now meets what is written (I7). */
function withAddedColumns(system: SystemIndex, seen: Row, fields: readonly string[]): Row {
  const added = system.columns.filter(({ field, column }) => fields.includes(field) && seen[column] === undefined);
  return added.length === 0 ? seen : { ...seen, ...Object.fromEntries(added.map(({ column }) => [column, null])) };
}
