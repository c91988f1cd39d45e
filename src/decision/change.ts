import type { Row } from '../model/value.js';
import { arrive } from './arrive.js';
import { observeDeletion } from './deletes.js';
import { takeEdit } from './edits.js';
import { entry } from './entries.js';
import type { ChangeEvent } from './events.js';
import { release, wakeBlocked } from './holds.js';
import type { Edit } from './merge.js';
import { observeOwnWrite } from './own-writes.js';
import type { SystemIndex } from './plan-index.js';
import { confirmByRow, observeLateWrite } from './resync.js';
import { editUnderDeletedParent } from './parents.js';
import { touchParent } from './references.js';
import { completeRow, presentRow, timeOf } from './rows.js';
import { linkOfKey } from './state.js';
import type { LinkDraft, Turn } from './turn.js';

/** A row changed or was read. Moves `seen`, merges, and leaves the rest to reconciling. */
export function observeChange(turn: Turn, event: ChangeEvent): void {
  const system = turn.index.entities.get(event.entity)?.systems.get(event.system);
  if (system === undefined) return;
  const movedFrom = event.keyChange !== null && 'from' in event.keyChange ? event.keyChange.from : null;
  wakeBlocked(turn, event.system, event.entity, event.key);
  if (movedFrom !== null) wakeBlocked(turn, event.system, event.entity, movedFrom);
  // The update under the new key follows and says it all.
  if (event.keyChange !== null && 'to' in event.keyChange) return;
  const after = presentRow(system, event.after);
  if (observeOwnWrite(turn, system, event, after) || observeLateWrite(turn, system, event, after)) return;
  const link = findLink(turn, event, movedFrom);
  if (link === null) {
    const arrived = arrive(turn, system, event, after, movedFrom);
    if (arrived !== null && !arrived.settled) observeKnown(turn, system, arrived.link, event, after);
    return;
  }
  if (movedFrom !== null) moveKey(turn, link, system, event);
  observeKnown(turn, system, link, event, after);
}

function findLink(turn: Turn, event: ChangeEvent, movedFrom: string | null): LinkDraft | null {
  if (movedFrom === null) return turn.linkOfRecord(event.system, event.entity, event.key);
  // Two records may bear a key for a moment while keys are exchanged in one transaction: the one to move had it before.
  const found = turn
    .find(entry.record(event.system, event.entity, movedFrom), 2)
    .map((key) => turn.link(linkOfKey(key))!);
  return found.find((link) => link.members[event.system]!.transaction !== event.transaction) ?? found[0] ?? null;
}

function moveKey(turn: Turn, link: LinkDraft, system: SystemIndex, event: ChangeEvent): void {
  const member = link.members[system.system]!;
  member.transaction = event.transaction;
  turn.changed(link);
}

function observeKnown(turn: Turn, system: SystemIndex, link: LinkDraft, event: ChangeEvent, after: Row | null): void {
  const member = link.members[system.system]!;
  if (confirmByRow(turn, link, system, member, after)) return;
  if (after === null) {
    const transaction = event.operation === 'delete' ? event.transaction : null;
    observeDeletion(turn, link, system, member, { timeMicros: event.commitTimeMicros, transaction });
    return;
  }
  const former = member.seen!;
  const row = completeRow(system, after, former, event);
  release(turn, link, member, ({ attempt }) => attempt !== null);
  for (const column of system.columns) {
    if (column.refersTo !== null && former[column.column] !== row[column.column]) {
      touchParent(turn, system, column, former[column.column] ?? null);
    }
  }
  const setter = { system: system.system, timeMicros: timeOf(system, event.commitTimeMicros, row) };
  const edit: Edit = { by: event.origin?.sync === turn.plan.name ? 'trigger' : 'user', setter: () => setter };
  takeEdit(turn, link, system, member, event.key, row, edit);
  editUnderDeletedParent(turn, system, former, row, setter);
}
