import type { SyncPlan } from '../plan/plan.js';
import type { State } from '../state/contract.js';
import { observeAnswer } from './answers.js';
import { observeChange } from './change.js';
import type { AnswerEvent, EndSeen, StreamEvent } from './events.js';
import { observeOutcome } from './outcomes.js';
import type { Output } from './outputs.js';
import { publish } from './publish.js';
import { goOn, settle, SHARE, type Share } from './settle.js';
import { observeSnapshot } from './snapshot.js';
import type { StateRecord } from './state.js';
import { removeTombstones } from './tombstones.js';
import { Turn } from './turn.js';

/**
 * The heart: what one event makes of the state, and what is to be said about it. A pure function of its arguments (I14);
 * the state given is changed in place, and becomes durable together with the outputs (I3).
 *
 *   event ─▶ observe: `seen` moves, the canonical merges ─▶ settle: merges of links, reconciles ─▶ publish
 *
 * @throws DuologError CONFIG_CHANGED if the state was made under another configuration (I16).
 */
export function decide(
  state: State<StateRecord>,
  event: StreamEvent | AnswerEvent,
  plan: SyncPlan,
  share: Share = SHARE,
): Output[] {
  const turn = new Turn(state, plan, event);
  switchObserving(turn, plan.observe ?? false);
  switch (event.kind) {
    case 'change':
      observeChange(turn, event);
      break;
    case 'outcome':
      observeOutcome(turn, event);
      break;
    case 'end':
      observeEnd(turn, event);
      break;
    case 'heartbeat':
      removeTombstones(turn, event.timeMicros);
      break;
    case 'answer':
      observeAnswer(turn, event);
      break;
    case 'continue':
      goOn(turn);
      break;
  }
  settle(turn, share);
  return turn.finish(publish);
}

function observeEnd(turn: Turn, event: EndSeen): void {
  if (event.end === 'transaction') {
    const { system, entity, transaction } = event;
    turn.queue({ what: 'ending', system, entity, transaction });
  } else {
    observeSnapshot(turn, event);
  }
}

/** When observing ends, every link is reconciled: the commands that were only told of leave now. */
function switchObserving(turn: Turn, observe: boolean): void {
  if (turn.sync.observe === observe) return;
  turn.setSync({ observe });
  if (observe) return;
  for (const entity of turn.index.entities.values()) {
    for (const system of entity.systems.keys()) turn.queue({ what: 'all', system, entity: entity.name });
  }
}
