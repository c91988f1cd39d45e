import type { StreamEvent } from '../../../src/decision/events.js';
import type { Observed, RecordChange, Seen, Violation } from './observed.js';

/**
 * The change topics tell each record's changes without gap and double, and whose they are (I2, I8); commands go out
 * one at a time for a member (I6), are answered once (I4), wait for snapshots (I12) and are no more than the edits ask for.
 */
export function verifyStreams(observed: Observed, changes: readonly RecordChange[]): Violation[] {
  return [
    ...verifyChanges(observed),
    ...verifyCommands(observed),
    ...verifyRepeats(observed, changes),
    ...verifyCommandCount(observed, changes),
  ];
}

function verifyChanges(observed: Observed): Violation[] {
  const violations: Violation[] = [];
  for (const entity of observed.world.entities) {
    for (const [system, config] of Object.entries(entity.systems)) {
      if (config.captured) violations.push(...verifyTopic(observed, system, entity.name));
    }
  }
  return violations;
}

function verifyTopic(observed: Observed, system: string, entity: string): Violation[] {
  const events = observed.events.map(({ what }) => what).filter((event) => isOf(event, system, entity));
  const begin = events.find((event) => event.kind === 'end' && event.end === 'snapshot-begin');
  if (!begin || !('transaction' in begin)) return [{ rule: 'I2', message: `${system}.${entity} has no snapshot` }];
  const told: string[] = [];
  const positions = new Set<string>();
  const violations: Violation[] = [];
  for (const event of events) {
    if (!('position' in event)) continue;
    if (positions.has(event.position)) {
      violations.push({ rule: 'I2', message: `${system}.${entity} tells position ${event.position} twice` });
    }
    positions.add(event.position);
    if (event.kind !== 'change' || event.operation === 'read') continue;
    if (Number(event.transaction) <= Number(begin.transaction)) continue;
    told.push(
      `${event.transaction} ${event.operation} ${event.key} ${ownership(event.origin !== null, event.origin?.command ?? null)}`,
    );
  }
  const happened = historyOf(observed, system, entity, Number(begin.transaction));
  if (observed.lost.has(system)) return [...violations, ...verifyPart(`${system}.${entity}`, told, happened)];
  for (let at = 0; at < Math.max(told.length, happened.length); at++) {
    if (told[at] === happened[at]) continue;
    const message = `${system}.${entity} tells "${told[at] ?? 'nothing'}" where "${happened[at] ?? 'nothing'}" happened`;
    violations.push({ rule: 'I2', message });
    break;
  }
  return violations;
}

/** Where a log was cut, what is told happened, in that order. */
function verifyPart(name: string, told: readonly string[], happened: readonly string[]): Violation[] {
  let at = 0;
  for (const change of told) {
    at = happened.indexOf(change, at) + 1;
    if (at === 0) return [{ rule: 'I2', message: `${name} tells "${change}", which did not happen then` }];
  }
  return [];
}

function isOf(event: StreamEvent, system: string, entity: string): boolean {
  return 'entity' in event && event.system === system && event.entity === entity;
}

function ownership(ours: boolean, command: string | null): string {
  return ours ? `ours ${command ?? 'beside'}` : 'theirs';
}

function historyOf(observed: Observed, system: string, entity: string, after: number): string[] {
  const happened: string[] = [];
  for (const { what: transaction } of observed.history.get(system)!) {
    if (transaction.number <= after) continue;
    const commands = new Map<string, string>();
    for (const outcome of transaction.mark?.outcomes ?? []) {
      if (outcome.status === 'applied' && outcome.entity === entity) commands.set(outcome.key, outcome.command);
    }
    for (const change of transaction.changes) {
      if (change.table !== `${system}.${entity}`) continue;
      const halfOfKeyChange = change.keyChange !== null && 'to' in change.keyChange ? change.keyChange.to : null;
      const command = commands.get(halfOfKeyChange ?? change.key) ?? null;
      if (halfOfKeyChange === null) commands.delete(change.key);
      const owner = ownership(transaction.mark !== null, command);
      happened.push(`${transaction.number} ${change.operation} ${change.key} ${owner}`);
    }
  }
  return happened;
}

function verifyCommands(observed: Observed): Violation[] {
  const violations: Violation[] = [];
  const answers = answersOf(observed);
  const asked = new Map<string, Seen<Asked>[]>();
  const inFlight = new Map<string, string>();
  const doubts = new Doubts(observed);
  const ended = snapshotEnds(observed);
  for (const { order, what } of observed.commands) {
    const { system, command } = what;
    const end = ended.get(`${system} ${command.entity}`);
    if (command.operation === 'insert' && end !== undefined && order < end) {
      violations.push({ rule: 'I12', message: `${command.id} inserts into ${system} before its snapshot has ended` });
    }
    const member = `${command.link} in ${system}`;
    const before = asked.get(command.id) ?? [];
    asked.set(command.id, [...before, { order, what }]);
    if (before.length > doubts.since(before[0], order)) {
      violations.push({ rule: 'I6', message: `${command.id} for ${member} is asked for again without need` });
    }
    const earlier = inFlight.get(member) ?? command.id;
    inFlight.set(member, command.id);
    const isAnswered = (answers.get(earlier)?.[0] ?? Number.POSITIVE_INFINITY) < order;
    if (earlier !== command.id && !isAnswered && doubts.since(asked.get(earlier)![0], order) === 0) {
      violations.push({ rule: 'I6', message: `${command.id} for ${member} before the answer to ${earlier}` });
    }
  }
  for (const [id, times] of asked) {
    const count = answers.get(id)?.length ?? 0;
    if (count >= 1 && count <= times.length) continue;
    const { system, command } = times[0]!.what;
    const message = `${id} for ${command.link} in ${system} was answered ${count} times, asked for ${times.length} times`;
    violations.push({ rule: 'I4', message });
  }
  return violations;
}

type Asked = Observed['commands'][number]['what'];

/** When the target answered each command. */
function answersOf(observed: Observed): Map<string, number[]> {
  const answers = new Map<string, number[]>();
  for (const transactions of observed.history.values()) {
    for (const { order, what } of transactions) {
      for (const { command } of what.mark?.outcomes ?? [])
        answers.set(command, [...(answers.get(command) ?? []), order]);
    }
  }
  return answers;
}

/** Commands whose answer may have been lost at a gap: rows or their absence may end them, or they are asked for again. */
class Doubts {
  /** By command: when its answer was told first. */
  private readonly told = new Map<string, number>();

  constructor(private readonly observed: Observed) {
    for (const { order, what } of observed.events) {
      const command = what.kind === 'change' ? what.origin?.command : what.kind === 'outcome' && what.outcome.command;
      if (command && !this.told.has(command)) this.told.set(command, order);
    }
  }

  /** How many gaps had been decided, or were in the commit, when the one asked for first was still without an answer. */
  since(first: Seen<Asked> | undefined, until: number): number {
    if (first === undefined) return 0;
    const { system, command } = first.what;
    const told = this.told.get(command.id) ?? Number.POSITIVE_INFINITY;
    return this.observed.gaps.filter(
      (gap) =>
        gap.system === system &&
        gap.entity === command.entity &&
        first.order < gap.decided &&
        gap.after < until &&
        gap.told < told,
    ).length;
  }
}

/**
 * A command whose answer was lost is carried out again only where people have changed the record that it wrote since:
 * its match value, or whether it is there (docs/adr/0012-resync-by-comparison.md).
 */
function verifyRepeats(observed: Observed, changes: readonly RecordChange[]): Violation[] {
  const violations: Violation[] = [];
  for (const [system, transactions] of observed.history) {
    const applied = new Map<string, { readonly order: number; readonly key: string }>();
    for (const { order, what } of transactions) {
      for (const outcome of what.mark?.outcomes ?? []) {
        if (outcome.status !== 'applied') continue;
        const first = applied.get(outcome.command);
        applied.set(outcome.command, { order, key: outcome.key });
        if (first === undefined) continue;
        const isChanged = changes.some(
          (change) =>
            change.system === system &&
            change.own === null &&
            change.order > first.order &&
            change.order < order &&
            [change.key, change.oldKey].includes(first.key),
        );
        if (!isChanged) violations.push({ rule: 'I4', message: `${outcome.command} was applied twice` });
      }
    }
  }
  return violations;
}

/** By system and entity: when the end of its snapshot was told. */
function snapshotEnds(observed: Observed): Map<string, number> {
  const ends = new Map<string, number>();
  for (const { order, what } of observed.events) {
    if (what.kind !== 'end' || what.end !== 'snapshot') continue;
    const name = `${what.system} ${what.entity}`;
    if (!ends.has(name)) ends.set(name, order);
  }
  return ends;
}

function verifyCommandCount(observed: Observed, changes: readonly RecordChange[]): Violation[] {
  const edits = changes.filter(({ own }) => own === null || own.command === null).length;
  const systems = observed.world.systems.length;
  const allowed = 8 * systems * (edits + 2);
  if (observed.commands.length <= allowed) return [];
  const message = `${observed.commands.length} commands for ${edits} changes made by others; at most ${allowed}`;
  return [{ rule: 'bounded commands', message }];
}
