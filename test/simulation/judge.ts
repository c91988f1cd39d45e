import type { Action } from './actions.js';
import { describe } from './actions.js';
import { verifyAccounts } from './oracle/accounting.js';
import { verifyEquality } from './oracle/equality.js';
import { verifyHolds } from './oracle/holds.js';
import { finalOf, recordChanges, show, type Observed, type Violation } from './oracle/observed.js';
import { verifyStreams } from './oracle/streams.js';
import { observe } from './observe.js';
import { askForResync, createTopics, startTask } from './tasks.js';
import type { Scenario } from './workload.js';
import { World } from './world.js';

const MAX_DRAIN_ROUNDS = 400;

export interface Verdict {
  readonly violations: readonly Violation[];
  /** Holds that stood at the end, by reason. */
  readonly holds: Readonly<Record<string, number>>;
  readonly commands: number;
  /** What happened, line by line. */
  trace(): string[];
}

/** Plays a scenario in a world of its own, lets it come to rest and looks at what is left. */
export async function judge(scenario: Scenario): Promise<Verdict> {
  const world = new World(scenario.world, startTask, askForResync);
  createTopics(world);
  const played: { readonly order: number; readonly action: Action }[] = [];
  for (const action of scenario.actions) {
    played.push({ order: world.nextOrder(), action });
    await world.play(action);
  }
  const drainedFrom = world.nextOrder();
  const rests = await world.drain(MAX_DRAIN_ROUNDS);
  const observed = await observe(world);
  const changes = recordChanges(observed);
  const final = finalOf(observed);
  const violations: Violation[] = rests
    ? [
        ...verifyStreams(observed, changes),
        ...verifyEquality(observed, final, changes),
        ...verifyAccounts(observed, final, changes),
        ...verifyHolds(observed, final, changes),
      ]
    : [
        {
          rule: 'rest',
          message: `still busy after ${MAX_DRAIN_ROUNDS} rounds: ${world.errors().slice(-3).join('; ')}`,
        },
      ];
  for (const defect of world.defects()) {
    violations.unshift({
      rule: 'defect',
      message: String(defect.cause instanceof Error ? defect.cause.stack : defect.stack),
    });
  }
  const holds: Record<string, number> = {};
  for (const { reason } of final.holds.values()) holds[reason] = (holds[reason] ?? 0) + 1;
  return {
    violations,
    holds,
    commands: observed.commands.length,
    trace: () => trace(observed, played, drainedFrom, world.errors()),
  };
}

/** Actions, what they did in the databases, and what the topics were told, in the order in which it happened. */
function trace(
  observed: Observed,
  played: readonly { readonly order: number; readonly action: Action }[],
  drainedFrom: number,
  errors: readonly string[],
): string[] {
  const lines: { readonly order: number; readonly text: string }[] = [
    ...played.map(({ order, action }) => ({ order, text: describe(action) })),
    { order: drainedFrom, text: 'everybody goes on until nothing happens' },
  ];
  const add = (order: number, text: string) => lines.push({ order, text: `    ${text}` });
  for (const [system, transactions] of observed.history) {
    for (const { order, what } of transactions) {
      for (const change of what.changes) {
        const moved = change.keyChange ? ` ${JSON.stringify(change.keyChange)}` : '';
        add(
          order,
          `${system} #${what.number}${what.mark ? ' (ours)' : ''}: ${change.operation} ${change.table} ${change.key}${moved} ${row(change.after ?? {})}`,
        );
      }
      for (const { command, ...outcome } of what.mark?.outcomes ?? [])
        add(order, `${system} #${what.number}: ${command} ${JSON.stringify(outcome)}`);
    }
  }
  for (const { order, what } of observed.events) {
    if (what.kind === 'change') {
      const origin = what.origin ? ` of ${what.origin.command ?? 'a trigger beside our write'}` : '';
      add(order, `▶ ${what.system}.${what.entity} ${what.operation} ${what.key}${origin} ${row(what.after ?? {})}`);
    } else if (what.kind === 'end')
      add(order, `▶ ${what.system}.${what.entity} end of ${what.end} ${what.transaction}`);
    else if (what.kind === 'outcome')
      add(order, `▶ ${what.system}.${what.entity} outcome ${JSON.stringify(what.outcome)}`);
  }
  for (const { order, what } of observed.commands) {
    const { id, operation, key, link, set, expect, absent } = what.command;
    add(
      order,
      `◀ ${what.system} command ${id} ${operation} ${key ?? ''} for ${link} set ${row(set)} expect ${row(expect)}${absent.length > 0 ? ` absent ${JSON.stringify(absent)}` : ''}`,
    );
  }
  for (const { order, what } of observed.canonical) {
    add(
      order,
      `● ${what.link} = ${
        what.fields
          ? Object.entries(what.fields)
              .map(([field, value]) => `${field}: ${show(value)}`)
              .join(', ')
          : 'gone'
      } ${JSON.stringify(what.keys)}`,
    );
  }
  for (const { order, what } of observed.decisions) {
    const fields = what.fields.map(
      ({ field, agreed, sides }) =>
        `${field} (agreed ${show(agreed)}) ${sides.map((side) => `${side.system} ${side.key ?? ''}: ${side.absent ? 'absent' : show(side.value)}`).join(' | ')}`,
    );
    const merged = what.merged === null ? '' : ` ${what.merged}`;
    add(order, `● ${what.link} decided ${what.decision}${merged}: ${what.rule}; ${fields.join('; ')}`);
  }
  for (const { order, what } of observed.holds) {
    add(
      order,
      `● ${what.link} in ${what.system}: ${what.hold ? `held, ${what.hold.reason}: ${what.hold.detail}` : 'hold ends'}`,
    );
  }
  const inOrder = lines.sort((left, right) => left.order - right.order).map(({ text }) => text);
  return [...inOrder, ...errors.map((error) => `error: ${error}`)];
}

function row(values: object): string {
  return `{${Object.entries(values)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join(', ')}}`;
}
