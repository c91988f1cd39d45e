import type { Row } from '../model/value.js';
import { Inconvertible } from '../mapping/convert.js';
import { refreshMatch, setCanonical, withKey } from './canonical.js';
import { place, revive } from './deletes.js';
import { takeEdit } from './edits.js';
import type { ChangeEvent } from './events.js';
import { mergeFirst, mergeKept, takeWholeRow } from './first-link.js';
import { snapshotEnded } from './gates.js';
import { insertInFlight, linkToJoin } from './match.js';
import { holdUnreadable, readColumns, readGroup } from './merge.js';
import type { SystemIndex } from './plan-index.js';
import { agrees, matchOfRow } from './project.js';
import { editUnderDeletedParent } from './parents.js';
import { noteRow } from './references.js';
import { related, shows } from './related.js';
import { isComplete, presentRow, timeOf } from './rows.js';
import type { Setter } from './state.js';
import type { LinkDraft, Turn } from './turn.js';
import { wait, waitOn } from './waiting.js';

/**
 * A record without a link yet. In this order: it is the other half of a key change (rule 11); it waits for an insert
 * of ours that it may be (rule 4); it joins a link by its match values (rule 1); it gets a link of its own.
 * `settled` false: what arrived is the image before the event, which is still to be observed.
 */
export function arrive(
  turn: Turn,
  system: SystemIndex,
  event: ChangeEvent,
  after: Row | null,
  movedFrom: string | null,
): { readonly link: LinkDraft; readonly settled: boolean } | null {
  if (waitOn(turn, event, movedFrom)) return null;
  const before = imageBefore(system, event);
  const row = before ?? after;
  if (row === null) return null;
  const isOpen = snapshotEnded(turn, system);
  const matches = matchOfRow(turn, system, row);
  const isInsert = event.operation === 'insert';
  const timeMicros = before === null ? timeOf(system, event.commitTimeMicros, row) : null;
  const arrival: Arrival = {
    key: before !== null && movedFrom !== null ? movedFrom : event.key,
    row,
    setter: { system: system.system, timeMicros },
    transaction: isInsert ? event.transaction : null,
  };
  const renamed = isInsert ? rename(turn, system, arrival, matches) : null;
  const command = isOpen && renamed === null ? insertInFlight(turn, system, matches) : null;
  if (command !== null) {
    wait(turn, event, command);
    return null;
  }
  const link =
    renamed ?? (isOpen ? join(turn, system, arrival, matches) : null) ?? found(turn, system, arrival, isOpen);
  editUnderDeletedParent(turn, system, null, row, arrival.setter);
  return { link, settled: before === null };
}

interface Arrival {
  readonly key: string;
  readonly row: Row;
  readonly setter: Setter;
  readonly transaction: string | null;
}

/** A first event with a before-image is that image followed by the edit (rule 10). */
function imageBefore(system: SystemIndex, event: ChangeEvent): Row | null {
  if (event.operation === 'insert' || event.operation === 'read') return null;
  const before = presentRow(system, event.before);
  return before !== null && isComplete(system, before) ? before : null;
}

/** Rule 11: deleted and inserted in one transaction with equal match values is a key change. */
function rename(turn: Turn, system: SystemIndex, arrival: Arrival, matches: readonly string[]): LinkDraft | null {
  for (const match of matches) {
    const isLeft = (link: LinkDraft) =>
      shows(link, system.system, match) && link.members[system.system]!.ending?.transaction === arrival.transaction;
    const [link] = related(turn, system.entity.name, match, isLeft, 1);
    if (link === undefined) continue;
    const member = link.members[system.system]!;
    member.formerKeys = withKey(member.formerKeys, member.ending!.key);
    member.transaction = arrival.transaction;
    // Meanwhile another system may have deleted its record.
    takeEdit(turn, link, system, member, arrival.key, arrival.row, { by: 'user', setter: () => arrival.setter });
    return link;
  }
  return null;
}

function join(turn: Turn, system: SystemIndex, arrival: Arrival, matches: readonly string[]): LinkDraft | null {
  const link = linkToJoin(turn, system, matches);
  if (link === null) return null;
  if (link.existence === 'deleted') {
    recreate(turn, link, system, arrival);
  } else {
    const member = place(turn, link, system, arrival.key, arrival.row, arrival.transaction);
    mergeFirst(turn, link, system, member, arrival.setter);
  }
  refreshMatch(turn, link);
  return link;
}

/** Created again while other records of the deleted link exist (rule 1): a new fact, whose values count. */
function recreate(turn: Turn, link: LinkDraft, system: SystemIndex, arrival: Arrival): void {
  const kept = revive(turn, link, arrival.setter, {}, 'created again');
  const member = place(turn, link, system, arrival.key, arrival.row, arrival.transaction);
  noteRow(turn, link, system, member);
  for (const group of system.entity.groups.values()) {
    const columns = readColumns(system, group);
    const values = readGroup(turn, system, columns, arrival.row);
    if (values instanceof Inconvertible) {
      holdUnreadable(turn, link, member, group, values);
      continue;
    }
    const agreed = columns.every(
      ({ field, column }, at) =>
        link.canonical[field] !== undefined &&
        agrees(turn, columns[at]!, system.system, arrival.row[column] ?? null, link.canonical[field]),
    );
    if (!agreed) setCanonical(turn, link, group, values, arrival.setter);
  }
  mergeKept(turn, link, kept);
}

function found(turn: Turn, system: SystemIndex, arrival: Arrival, isOpen: boolean): LinkDraft {
  const link = turn.newLink(system.entity.name);
  link.matching = isOpen ? 'open' : 'first-snapshot';
  const member = place(turn, link, system, arrival.key, arrival.row, arrival.transaction);
  takeWholeRow(turn, link, system, member, arrival.setter);
  return link;
}
