import type { RequestRecord } from '../../avro/progress-codec.js';
import { entry } from '../../decision/entries.js';
import type { AnswerEvent, EndSeen, StreamEvent } from '../../decision/events.js';
import { syncRecord, type SnapshotProgress, type StateRecord } from '../../decision/state.js';
import { DuologError } from '../../errors/duolog-error.js';
import type { EntitySystemPlan, SyncPlan, VanishedLimit } from '../../plan/plan.js';
import type { State } from '../../state/contract.js';
import { RequestReader } from './requests.js';
import type { TaskContext } from '../task.js';

/** What becomes of the end of a reading: decided, or left to a later reading that has been asked for. */
export type Verdict = 'decide' | 'leave';

const DEFAULT_LIMIT: VanishedLimit = { records: 20, percent: 20 };
/** Links looked at before everything else may go on for a moment. */
const LINKS_AT_ONCE = 500;

/**
 * A comparison with a database that was restored empty, or in part, finds that its records were deleted, and would
 * delete them everywhere. So the end of a reading that would take many linked records away stops the sync before any of
 * it is decided, and a person says what is right:
 *
 *   they were deleted ─▶ `duolog resync SYSTEM --allow-deletes`, which holds for one reading
 *   they were lost, and have been brought back ─▶ `duolog resync SYSTEM`, whose reading counts instead
 */
export class VanishedBrake {
  private readonly requests: RequestReader;

  constructor(
    private readonly context: TaskContext,
    private readonly plan: SyncPlan,
  ) {
    this.requests = new RequestReader(context);
  }

  /** Cheap: whether `judge` must be asked before the event is decided. */
  concerns(state: State<StateRecord>, event: StreamEvent | AnswerEvent | null): event is EndSeen {
    if (event === null || event.kind !== 'end' || event.end !== 'snapshot') return false;
    const table = this.tableOf(event);
    // Who is not read deletes nothing elsewhere: what is gone there is inserted again.
    if (table?.captured !== true || !table.columns.some(({ read }) => read)) return false;
    return (progressOf(state, event)?.number ?? 0) > 1;
  }

  /** All that came before the event must be in the state. @throws DuologError RECORDS_VANISHED */
  async judge(state: State<StateRecord>, event: EndSeen): Promise<Verdict> {
    const { records, percent } = this.tableOf(event)?.vanished ?? DEFAULT_LIMIT;
    const progress = progressOf(state, event)!;
    const { gone, linked } = await count(state, event, progress.number);
    if (gone < records || gone * 100 <= linked * percent) return 'decide';
    const { system, entity } = event;
    const request = await this.requests.last(system);
    if (request !== null && this.isAbout(request, event)) {
      if (request.allowDeletes && request.id !== progress.answered) return 'decide';
      if (isStillToCome(request, progress)) return 'leave';
    }
    const share = ((gone / linked) * 100).toFixed(1);
    throw new DuologError(
      'RECORDS_VANISHED',
      `${system} no longer shows ${gone} of ${linked} linked records of ${entity} (${share} %): more than ${percent} % and at least ${records}. Nothing of it has been decided.`,
      {
        hint:
          `If they were deleted there: duolog resync ${system} --allow-deletes. ` +
          `If they were lost there: bring them back, then: duolog resync ${system}`,
      },
    );
  }

  /** One from before the entity was captured brings no reading of it. */
  private isAbout({ entities, ends }: RequestRecord, { system, entity }: EndSeen): boolean {
    return (entities?.includes(entity) ?? true) && ends[this.context.topics.change(system, entity)] !== undefined;
  }

  private tableOf({ entity, system }: EndSeen): EntitySystemPlan | undefined {
    return this.plan.entities.find(({ name }) => name === entity)?.systems[system];
  }
}

function progressOf(state: State<StateRecord>, { system, entity }: EndSeen): SnapshotProgress | undefined {
  return syncRecord(state)?.snapshots[`${system}/${entity}`];
}

/** Its gap and its rows come behind the reading at hand. */
function isStillToCome(request: RequestRecord, progress: SnapshotProgress): boolean {
  return request.id !== progress.request;
}

/** Links with a record there and another elsewhere, and those of them that the reading has not shown. */
async function count(
  state: State<StateRecord>,
  { system, entity }: EndSeen,
  snapshot: number,
): Promise<{ readonly gone: number; readonly linked: number }> {
  let gone = 0;
  let linked = 0;
  for (let after: string | null = null; ; ) {
    const from: { readonly after?: string } = after === null ? {} : { after };
    const keys: string[] = state.indexed(entry.has(system, entity), { ...from, limit: LINKS_AT_ONCE });
    for (const key of keys) {
      const link = state.get(key);
      if (link?.kind !== 'link' || link.existence !== 'present') continue;
      const member = link.members[system];
      const others = Object.keys(link.members).filter((name) => name !== system);
      if (member?.seen == null || !others.some((name) => link.members[name]?.seen != null)) continue;
      linked++;
      if (member.snapshot < snapshot) gone++;
    }
    if (keys.length < LINKS_AT_ONCE) return { gone, linked };
    after = keys.at(-1)!;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
