import { Inconvertible } from '../mapping/convert.js';
import type { Row, Value } from '../model/value.js';
import { noteAgreement, queueMatches, releaseSettled, setGone, setSeen, kept } from './canonical.js';
import { observeDeletion } from './deletes.js';
import type { ChangeEvent } from './events.js';
import { mergeColumns } from './merge.js';
import type { GroupIndex, MappedColumn, SystemIndex } from './plan-index.js';
import { imageOf, readField } from './project.js';
import { touchParent, touchParents } from './references.js';
import { completeRow } from './rows.js';
import type { InFlight, Setter } from './state.js';
import type { LinkDraft, MemberDraft, Turn } from './turn.js';

/**
 * Our own write comes back in the system's stream, known by its command (I8). True if it was one: of this sync and of
 * a command in flight; anything else is somebody's edit.
 */
export function observeOwnWrite(turn: Turn, system: SystemIndex, event: ChangeEvent, after: Row | null): boolean {
  const { origin } = event;
  if (origin === null || origin.command === null || origin.link === null || origin.sync !== turn.plan.name)
    return false;
  const link = turn.link(origin.link);
  const member = link?.members[system.system];
  const command = member?.inFlight;
  if (link === null || member === undefined || command == null || command.command !== origin.command) return false;
  finishCommand(turn, link, system, member);
  // Meanwhile the link has another record there: what we wrote is a former one's.
  if (command.operation !== 'insert' && command.key !== member.key) return false;
  if (after === null) {
    gone(turn, link, system, member, command, event);
  } else {
    // What it does not send is as it was, or as we wrote it; of what was too large beside that nobody knows.
    const known = { ...imageOf(member), ...command.set };
    const oversize = (event.oversize ?? []).filter((column) => !(column in command.set));
    const row = completeRow(system, after, known, { unchanged: event.unchanged, oversize });
    confirm(turn, link, system, member, command, event.key, row);
  }
  return true;
}

/** The command has its outcome: the member is free again, and what waited goes on. */
export function finishCommand(turn: Turn, link: LinkDraft, system: SystemIndex, member: MemberDraft): void {
  const command = member.inFlight!;
  member.inFlight = null;
  turn.changed(link);
  turn.queue({ what: 'link', link: link.id });
  // While it was in flight, a parent's deletion may have waited for it.
  for (const column of system.columns) {
    if (column.refersTo !== null && column.column in command.set) {
      touchParent(turn, system, column, command.set[column.column] ?? null);
    }
  }
  if (command.operation !== 'insert') return;
  queueMatches(turn, link.entity, command.match, link.match);
  turn.queue({ what: 'waiting', command: command.command });
  // A record there may have the key by which children wait, or none any more.
  if (system.entity.plan.children.length > 0) turn.queue({ what: 'children', link: link.id });
}

function gone(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  command: InFlight,
  event: ChangeEvent,
): void {
  if (member.seen === null) return;
  if (command.operation === 'delete' || command.soft) {
    touchParents(turn, link, system, member);
    setGone(turn, link, system, member);
  } else {
    observeDeletion(turn, link, system, member, { timeMicros: event.commitTimeMicros, transaction: null });
  }
}

/**
 * Two steps. First `seen` takes the command's values and nothing is decided, whatever the canonical is by now. Then what
 * the image still shows differently (a trigger, a rounding) is a rewrite: merged like an edit, with the time of the
 * value that it rewrites.
 */
export function confirm(
  turn: Turn,
  link: LinkDraft,
  system: SystemIndex,
  member: MemberDraft,
  command: InFlight,
  key: string,
  row: Row,
): void {
  const former = imageOf(member);
  const written: Record<string, Value> = { ...(former ?? row), ...command.set };
  if (command.operation === 'insert') expectOmitted(link, system, command, written);
  for (const column of system.columns) {
    const raw = former?.[column.column] ?? null;
    if (column.refersTo !== null && raw !== (row[column.column] ?? null)) touchParent(turn, system, column, raw);
  }
  setSeen(turn, link, system, member, key, row);
  const rewritten: MappedColumn[] = [];
  const met = (column: MappedColumn | undefined) =>
    column !== undefined && (former === null || column.column in command.set);
  member.agreed = kept(member.agreed, (field) => !met(system.byField.get(field)));
  for (const column of system.columns) {
    const inCommand = met(column);
    if (inCommand) noteMeeting(turn, link, member, system, column, written);
    if (written[column.column] !== row[column.column]) rewritten.push(column);
    else if (inCommand) releaseSettled(turn, link, member, column.group);
  }
  if (rewritten.length === 0) return;
  if (link.existence === 'deleted') {
    for (const column of rewritten) {
      noteAgreement(turn, link, member, system, column, row, link.canonical[column.field]);
    }
    return;
  }
  const setter = (group: GroupIndex): Setter => ({
    system: system.system,
    timeMicros: (command.setters[group.name] ?? link.set[group.name])?.timeMicros ?? null,
  });
  mergeColumns(turn, link, system, member, rewritten, { by: 'rewrite', setter });
}

/** The system met us at what the command wrote, whatever the canonical is by now: who edits that has not seen what came since. */
function noteMeeting(
  turn: Turn,
  link: LinkDraft,
  member: MemberDraft,
  system: SystemIndex,
  column: MappedColumn,
  written: Row,
): void {
  const met = readField(turn, column, system.system, written[column.column] ?? null);
  noteAgreement(turn, link, member, system, column, written, met instanceof Inconvertible ? undefined : met);
}

/** An insert that left a null to the database's default wanted null. */
function expectOmitted(link: LinkDraft, system: SystemIndex, command: InFlight, written: Record<string, Value>): void {
  for (const { column, field, write } of system.columns) {
    if (write && !(column in command.set) && link.canonical[field] !== undefined) written[column] = null;
  }
}
