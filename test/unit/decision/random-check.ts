import type { LinkRecord } from '../../../src/decision/state.js';
import type { Row, Value } from '../../../src/model/value.js';
import type { World } from './random-world.js';

/** What is wrong at rest: I11, I9, I10 for values, nothing waiting, commands bounded. */
export function findFaults(world: World): string[] {
  const faults: string[] = [];
  const links = world.state.links();
  for (const record of world.state.all()) if (record.kind === 'waiting') faults.push(`still waiting: ${record.key}`);
  for (const link of links) faults.push(...faultsOfLink(world, link), ...staleHolds(world, link));
  for (const [name, table] of world.tables) {
    const [system, entity] = name.split('/') as [string, string];
    for (const [key, row] of table.rows) {
      if (row['gone'] === 1) continue;
      const count = links.filter((link) => link.entity === entity && link.members[system]?.key === key).length;
      if (count !== 1) faults.push(`${name} ${key} has ${count} links (I9)`);
    }
  }
  faults.push(...lostValues(world));
  const bound = 30 * (world.userEdits + 5);
  if (world.commandsSent > bound) faults.push(`${world.commandsSent} commands for ${world.userEdits} edits`);
  return faults;
}

function faultsOfLink(world: World, link: LinkRecord): string[] {
  const faults: string[] = [];
  const entity = world.plan.entities.find(({ name }) => name === link.entity)!;
  const fault = (text: string) => faults.push(`link ${link.id} ${link.entity}: ${text}`);
  const sourced = Object.entries(link.members).some(
    ([system, { seen }]) => seen !== null && entity.systems[system]!.columns.some(({ read }) => read),
  );
  for (const plan of Object.values(entity.systems)) {
    const member = link.members[plan.system];
    const held = (member?.holds.length ?? 0) > 0;
    if (member?.inFlight != null) fault(`${plan.system} still has a command in flight`);
    if (member?.ending != null) fault(`${plan.system} is still ending`);
    const row = member?.key == null ? null : world.tableOf(plan.system, link.entity).rows.get(member.key);
    if (member?.seen != null && !sameRow(row, member.seen)) fault(`${plan.system} shows another row than was seen`);
    if (link.existence === 'deleted') {
      if (member?.seen != null && !held && !member.kept) fault(`${plan.system} is there although the link is deleted`);
      continue;
    }
    if (!plan.written || link.matching === 'unlinked' || !sourced) continue;
    if (member?.seen == null) {
      if (!held) fault(`${plan.system} lacks the record without a hold`);
      continue;
    }
    if (held) continue;
    for (const column of plan.columns) {
      const wanted = link.canonical[column.field];
      if (!column.write || wanted === undefined) continue;
      const shown = member.seen[column.column] ?? null;
      const projected = project(world, plan.system, wanted);
      if (shown !== projected)
        fault(`${plan.system} ${column.field} shows ${shown}, wanted ${projected}, without a hold`);
    }
  }
  return faults;
}

/** A hold that nothing accounts for any more: it would stand for ever. */
function staleHolds(world: World, link: LinkRecord): string[] {
  const others = world.state.links().filter(({ id, entity }) => id !== link.id && entity === link.entity);
  return Object.entries(link.members).flatMap(([system, { holds }]) =>
    holds.flatMap(({ reason, detail }) => {
      const stale =
        (reason === 'duplicate' && !others.some((other) => shareMatch(link, other))) ||
        (reason === 'parent-missing' && !hasMissingParent(world, link, system)) ||
        reason === 'paused';
      return stale ? [`link ${link.id} is held in ${system} for nothing: ${reason}, ${detail}`] : [];
    }),
  );
}

function shareMatch(left: LinkRecord, right: LinkRecord): boolean {
  const shown = [...right.match, ...Object.values(right.members).flatMap(({ match }) => match)];
  const own = [...left.match, ...Object.values(left.members).flatMap(({ match }) => match)];
  return own.some((match) => shown.includes(match));
}

function hasMissingParent(world: World, link: LinkRecord, system: string): boolean {
  return Object.values(link.canonical).some((value) => {
    if (typeof value !== 'object' || value === null) return false;
    if (!('link' in value)) return value.system !== system;
    const parent = linkOf(world, value.link);
    return parent?.members[system]?.seen == null || parent.existence === 'deleted';
  });
}

function linkOf(world: World, id: string): LinkRecord | null {
  const record = world.state.get(`link/${id}`);
  return record?.kind === 'redirect' ? linkOf(world, record.to) : record?.kind === 'link' ? record : null;
}

function project(world: World, system: string, value: LinkRecord['canonical'][string]): Value | undefined {
  if (typeof value !== 'object' || value === null) return value;
  if (!('link' in value)) return value.system === system ? value.key : undefined;
  const member = linkOf(world, value.link)?.members[system];
  return member?.key ?? member?.formerKeys.at(-1);
}

function sameRow(left: Row | null | undefined, right: Row): boolean {
  return left != null && Object.keys(left).every((column) => (left[column] ?? null) === (right[column] ?? null));
}

/** Every value a user wrote is final somewhere, was changed by a user who saw it, or stands in a decision (I10). */
function lostValues(world: World): string[] {
  const known = new Set<Value>();
  for (const { rows } of world.tables.values()) {
    for (const row of rows.values()) for (const value of Object.values(row)) known.add(plain(value));
  }
  for (const output of world.outputs) {
    if (output.kind !== 'decision') continue;
    for (const { sides } of output.fields) for (const { value } of sides) known.add(plain(value as Value));
  }
  return [...world.values].flatMap(([value, state]) =>
    state === 'superseded' || known.has(plain(value)) ? [] : [`the value ${value} is lost (I10)`],
  );
}

/** Without what triggers did to it. */
export function plain(value: Value): Value {
  return typeof value === 'string' ? value.toLowerCase().replace(/\++$/, '') : value;
}
