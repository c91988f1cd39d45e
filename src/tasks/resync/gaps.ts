import type { EndSeen, StreamEvent } from '../../decision/events.js';
import { syncRecord, type StateRecord } from '../../decision/state.js';
import { DuologError } from '../../errors/duolog-error.js';
import type { SyncPlan } from '../../plan/plan.js';
import type { State } from '../../state/contract.js';
import { makesGood, RequestReader } from './requests.js';
import type { StreamInput } from '../stream-inputs.js';
import type { TaskContext } from '../task.js';

/** What a topic should have held and does not, and who can be asked for it. */
interface Missing {
  readonly text: string;
  readonly system: string;
}

/**
 * What a stream task does where records are gone that it has yet to read: it stops and names the resync that makes
 * them good, and goes on behind them once that has been asked for. It never jumps by itself.
 */
export class StreamGaps {
  private readonly requests: RequestReader;
  /** By system: the entities of the sync whose answers come on an outcome topic, for nothing is captured there. */
  private readonly uncaptured: ReadonlyMap<string, readonly string[]>;

  constructor(
    private readonly context: TaskContext,
    private readonly plan: SyncPlan,
    private readonly inputs: readonly StreamInput[],
  ) {
    this.requests = new RequestReader(context);
    const uncaptured = new Map<string, string[]>();
    for (const { name, systems } of plan.entities) {
      for (const { system, captured, written } of Object.values(systems)) {
        if (captured || !written) continue;
        uncaptured.set(system, [...(uncaptured.get(system) ?? []), name]);
      }
    }
    this.uncaptured = uncaptured;
  }

  /**
   * The offsets of topics not read before: their very start or, where that is gone, the end that they had when a resync
   * was asked for, whose rows come behind it.
   * @throws DuologError HISTORY_MISSING with the commands that ask.
   */
  async beginnings(consumed: Readonly<Record<string, number>>): Promise<Readonly<Record<string, number>>> {
    const beginnings: Record<string, number> = {};
    const missing: Missing[] = [];
    for (const input of this.inputs) {
      const { kind, topic } = input;
      if (consumed[topic] !== undefined) continue;
      const { earliest } = await this.context.log.bounds(topic);
      beginnings[topic] = earliest;
      if (earliest === 0 || kind === 'heartbeat') continue;
      const request = await this.requestFor(input, earliest);
      if (request !== null) beginnings[topic] = request.ends[topic]!;
      else missing.push({ system: this.systemOf(input), text: `the beginning of ${topic}, before ${earliest}` });
    }
    this.refuse(missing);
    return beginnings;
  }

  /**
   * New offsets for the topics that no longer hold the next one to read: the earliest there is, where a resync asked
   * for since makes good what is gone.
   * @throws DuologError HISTORY_MISSING with the commands that ask.
   */
  async goOn(
    state: State<StateRecord>,
    consumed: Readonly<Record<string, number>>,
  ): Promise<Readonly<Record<string, number>>> {
    const moved: Record<string, number> = {};
    const missing: Missing[] = [];
    for (const input of this.inputs) {
      const { kind, topic } = input;
      const next = consumed[topic]!;
      const { earliest, end } = await this.context.log.bounds(topic);
      if (next >= earliest && next <= end) continue;
      const request = kind === 'heartbeat' ? null : await this.requestFor(input, earliest);
      // A topic that was made anew: only what is asked for since then comes in this one.
      const isBehind = next > end && request !== null && (request.ends[topic]! > end || this.hasSeen(state, request));
      if (kind === 'heartbeat' || (request !== null && !isBehind)) moved[topic] = earliest;
      else {
        const text = `${topic} from ${next} on, which holds ${earliest} to ${end}`;
        missing.push({ system: this.systemOf(input), text });
      }
    }
    this.refuse(missing);
    return moved;
  }

  /**
   * A target that is not captured has no source to take a request up, and no rows to compare: what its answers would
   * have told is asked of the target again.
   */
  async asked(state: State<StateRecord>): Promise<readonly StreamEvent[]> {
    const events: EndSeen[] = [];
    for (const [system, names] of this.uncaptured) {
      const request = await this.requests.last(system);
      if (request === null) continue;
      for (const entity of names) {
        if (!(request.entities?.includes(entity) ?? true)) continue;
        if (syncRecord(state)?.snapshots[`${system}/${entity}`]?.request === request.id) continue;
        const event = { kind: 'end', system, entity, commitTimeMicros: null, position: '' } as const;
        events.push({ ...event, end: 'gap', transaction: request.id });
        events.push({ ...event, end: 'snapshot', transaction: request.id });
      }
    }
    return events;
  }

  private async requestFor(input: StreamInput, earliest: number) {
    for (const system of input.kind === 'control' ? this.plan.systems : [this.systemOf(input)]) {
      const request = await this.requests.last(system);
      if (makesGood(request, input.topic, earliest, this.entitiesOf(input))) return request;
    }
    return null;
  }

  private entitiesOf(input: StreamInput): readonly string[] {
    switch (input.kind) {
      case 'change':
        return [input.entity];
      case 'outcome':
        return this.uncaptured.get(input.system) ?? [];
      case 'control':
      case 'heartbeat':
        return [];
    }
  }

  private systemOf(input: StreamInput): string {
    return 'system' in input ? input.system : this.plan.systems[0]!;
  }

  /** The gap that answers the request has been read. */
  private hasSeen(state: State<StateRecord>, { id }: { readonly id: string }): boolean {
    return Object.values(syncRecord(state)?.snapshots ?? {}).some(({ request }) => request === id);
  }

  private refuse(missing: readonly Missing[]): void {
    if (missing.length === 0) return;
    const systems = [...new Set(missing.map(({ system }) => system))];
    throw new DuologError(
      'HISTORY_MISSING',
      `${this.plan.name} has yet to read what has been deleted: ${missing.map(({ text }) => text).join('; ')}.`,
      { hint: `Run: ${systems.map((system) => `duolog resync ${system}`).join('; ')}` },
    );
  }
}
