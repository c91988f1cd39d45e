import type { FieldValue } from './events.js';
import type { DecisionOutput } from './outputs.js';
import type { Verdict } from './conflict.js';
import type { GroupIndex } from './plan-index.js';
import { sameValue } from './project.js';
import { NEVER_MET, type Setter } from './state.js';
import type { LinkDraft, Turn } from './turn.js';

type Side = DecisionOutput['fields'][number]['sides'][number];

/** Writes down both sides of a field group where one had to give way, or gave a value that we did not write (I10). */
export function tellConflict(
  turn: Turn,
  link: LinkDraft,
  told: {
    readonly kind: DecisionOutput['decision'];
    readonly group: GroupIndex;
    readonly values: Readonly<Record<string, FieldValue>>;
    readonly incoming: Setter;
    /** Null: nothing stood against it. */
    readonly verdict: Verdict | null;
  },
): void {
  const { kind, group, values, incoming, verdict } = told;
  const standing = link.set[group.name];
  const agreed = link.members[incoming.system]?.agreed ?? {};
  const fields = Object.keys(values).map((field) => ({
    field,
    agreed: sameValue(agreed[field], NEVER_MET) ? null : (agreed[field] ?? null),
    sides: [
      ...(standing === undefined ? [] : [side(link, standing, link.canonical[field] ?? null)]),
      side(link, incoming, values[field]!),
    ],
  }));
  const rule = verdict?.rule ?? 'the system shows another value than was written';
  tell(turn, link, kind, group.name, fields, winnerOf(verdict, standing, incoming), rule);
}

/** Writes down deletions that gave way to a record, or a record's values that gave way to them (rule 5, I10). */
export function tellDeletions(
  turn: Turn,
  link: LinkDraft,
  told: {
    readonly kind: DecisionOutput['decision'];
    /** What stands, or stood, against the deletions. */
    readonly record: Setter | null;
    readonly values: Readonly<Record<string, FieldValue>>;
    readonly winner: string | null;
    readonly rule: string;
  },
): void {
  const gone = link.deletions.map(
    ({ system, key, timeMicros }): Side => ({ system, key, value: null, absent: true, timeMicros }),
  );
  const names = Object.keys(told.values);
  const fields = (names.length > 0 ? names : ['']).map((field) => ({
    field,
    agreed: null,
    sides: [...gone, ...(told.record === null ? [] : [side(link, told.record, told.values[field] ?? null)])],
  }));
  tell(turn, link, told.kind, null, fields, told.winner, told.rule);
}

/**
 * Writes down that one link becomes part of another: references to it lead elsewhere from now on, whether it has records
 * or not. Sides are the records of both, or the last that each system had.
 */
export function tellMerge(turn: Turn, into: LinkDraft, from: LinkDraft, rule: string): void {
  const sides = [into, from].flatMap((link) =>
    [...turn.entity(into.entity).systems.keys()].flatMap((system): Side[] => {
      const { key = null, formerKeys = [] } = link.members[system] ?? {};
      const last = key ?? formerKeys.at(-1) ?? null;
      return last === null ? [] : [{ system, key: last, value: null, absent: key === null, timeMicros: null }];
    }),
  );
  tell(turn, into, 'merged-links', null, [{ field: '', agreed: null, sides }], null, rule, from.id);
}

export function side(link: LinkDraft, setter: Setter, value: FieldValue): Side {
  const key = link.members[setter.system]?.key ?? null;
  return { system: setter.system, key, value, absent: false, timeMicros: setter.timeMicros };
}

export function tell(
  turn: Turn,
  link: LinkDraft,
  decision: DecisionOutput['decision'],
  group: string | null,
  fields: DecisionOutput['fields'],
  winner: string | null,
  rule: string,
  merged: string | null = null,
): void {
  const { timeMicros } = turn;
  turn.outputs.push({
    kind: 'decision',
    entity: link.entity,
    link: link.id,
    decision,
    group,
    fields,
    merged,
    winner,
    rule,
    timeMicros,
  });
}

function winnerOf(verdict: Verdict | null, standing: Setter | undefined, incoming: Setter): string | null {
  switch (verdict?.winner) {
    case undefined:
    case 'incoming':
      return incoming.system;
    case 'standing':
      return standing?.system ?? null;
    case 'nobody':
      return null;
  }
}
