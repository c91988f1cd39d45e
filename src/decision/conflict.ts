import type { ConflictRule } from '../plan/plan.js';
import type { PlanIndex } from './plan-index.js';
import type { Setter } from './state.js';

/** Who wins, and why, for people. */
export interface Verdict {
  readonly winner: 'standing' | 'incoming' | 'nobody';
  readonly rule: string;
}

/**
 * Two sides changed the same thing since they last agreed: what stands now against what came in.
 * `newest` goes by commit times of edits; where these do not tell (rows of a snapshot, clocks too close), by `otherwise`.
 */
export function judge(index: PlanIndex, rule: ConflictRule, standing: Setter, incoming: Setter): Verdict {
  switch (rule.policy) {
    case 'leading':
      return byPrecedence(index, rule, standing, incoming, 'leading');
    case 'newest':
      return byTime(index, rule, standing, incoming);
    case 'hold':
      return { winner: 'nobody', rule: 'hold: a person decides' };
  }
}

function byTime(index: PlanIndex, rule: ConflictRule, standing: Setter, incoming: Setter): Verdict {
  const left = standing.timeMicros;
  const right = incoming.timeMicros;
  if (left === null || right === null) {
    return undecided(index, rule, standing, incoming, 'newest: a time is unknown');
  }
  if (Math.abs(left - right) <= rule.withinMicros) {
    return undecided(index, rule, standing, incoming, 'newest: too close to tell');
  }
  const [later, earlier] = left > right ? [standing, incoming] : [incoming, standing];
  return {
    winner: later === standing ? 'standing' : 'incoming',
    rule: `newest: ${later.system} ${timeText(later)} is later than ${earlier.system} ${timeText(earlier)}`,
  };
}

function undecided(index: PlanIndex, rule: ConflictRule, standing: Setter, incoming: Setter, why: string): Verdict {
  return rule.otherwise === 'hold'
    ? { winner: 'nobody', rule: `${why}, a person decides` }
    : byPrecedence(index, rule, standing, incoming, `${why}, leading`);
}

/** The system that leads wins; of one system's two values the later one to come. */
export function byPrecedence(
  index: PlanIndex,
  rule: ConflictRule,
  standing: Setter,
  incoming: Setter,
  why: string,
): Verdict {
  if (standing.system === incoming.system) return { winner: 'incoming', rule: `${why}: the later of one system` };
  const rank = (setter: Setter) =>
    setter.system === rule.lead ? -1 : (index.rank.get(setter.system) ?? Number.MAX_SAFE_INTEGER);
  const first = rank(standing) <= rank(incoming) ? standing : incoming;
  return { winner: first === standing ? 'standing' : 'incoming', rule: `${why}: ${first.system}` };
}

function timeText(setter: Setter): string {
  return new Date(Math.floor((setter.timeMicros ?? 0) / 1000)).toISOString();
}
