import { setTimeout as delay } from 'node:timers/promises';
import { DuologError } from '../errors/duolog-error.js';
import type { LogReader, LogRecord, PollOptions } from '../log/contract.js';
import type { Client } from './client.js';
import { type FetchedTopic, type FetchLimits, fetchFrom } from './fetch.js';
import { asDuologError, isMissingTopic, protocolType, remedy } from './kafka-errors.js';
import type { Cluster } from './kafkajs-types.js';
import { outOfRange } from './offsets.js';
import { withinPatience } from './patience.js';
import { withRetries } from './retry.js';

interface TopicState {
  readonly topic: string;
  nextOffset: number;
  stableOffset: number;
  /** Fetched and not yet handed out, from `taken` on. */
  buffer: readonly LogRecord[];
  taken: number;
  paused: boolean;
  fetching: boolean;
}

/**
 * How long a fetch waits at the broker for something to come. A resumed topic waits as long for its first fetch,
 * and one that is idle costs a request as often.
 */
const LIMITS: FetchLimits = { maxWaitMs: 100, maxBytes: 8 * 2 ** 20, maxTopicBytes: 2 * 2 ** 20 };
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 1_000;
const OPEN_TIMEOUT_MS = 30_000;
const OPEN_MISSING_AFTER_MS = 3_000;
/** A topic may be unknown for a moment while a broker starts; after this it is missing. */
const MISSING_AFTER_MS = 15_000;
/** A replica that lags may call an offset out of range that is not. */
const MAX_DOUBTS = 20;

/** @throws DuologError KAFKA_UNREACHABLE, KAFKA_TOPIC_MISSING. */
export async function openReader(
  client: Client,
  start: readonly { readonly topic: string; readonly offset: number }[],
): Promise<LogReader> {
  let cluster: Cluster | null = null;
  const topics = start.map(({ topic }) => topic);
  try {
    cluster = await client.cluster();
    await findTopics(cluster, topics);
  } catch (error) {
    if (cluster !== null) await withinPatience(cluster.disconnect());
    throw asDuologError(error, `reading ${topics.join(', ')}`);
  }
  return new DirectReader(client, cluster, start);
}

/**
 * Fetches from explicit offsets, without a consumer group. A topic is fetched anew when all it brought has been handed
 * out, so that the next fetch is under way while the caller works on the last, and never more than one is held.
 */
class DirectReader implements LogReader {
  readonly #states: Map<string, TopicState>;
  readonly #busyLeaders = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #failure: DuologError | null = null;
  #wake: (() => void) | null = null;
  #turn = 0;
  #troubles = 0;
  #doubts = 0;
  #missingSinceMs: number | null = null;

  constructor(
    readonly client: Client,
    readonly cluster: Cluster,
    start: readonly { readonly topic: string; readonly offset: number }[],
  ) {
    this.#states = new Map(
      start.map(({ topic, offset }) => [
        topic,
        {
          topic,
          nextOffset: offset,
          stableOffset: offset,
          buffer: [],
          taken: 0,
          paused: false,
          fetching: false,
        },
      ]),
    );
  }

  async poll({ maxRecords, maxWaitMs }: PollOptions): Promise<readonly LogRecord[]> {
    const deadline = performance.now() + maxWaitMs;
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const records = this.#take(maxRecords);
      this.#fetchWhatIsEmpty();
      const leftMs = deadline - performance.now();
      if (records.length > 0 || leftMs <= 0 || this.#closing.signal.aborted) return records;
      await this.#newsWithin(leftMs);
    }
  }

  position(topic: string): number {
    const { stableOffset } = this.#state(topic);
    return stableOffset;
  }

  pause(topics: readonly string[]): void {
    for (const topic of topics) this.#state(topic).paused = true;
  }

  resume(topics: readonly string[]): void {
    for (const topic of topics) this.#state(topic).paused = false;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake?.();
    await withinPatience(Promise.allSettled(this.#running));
    await withinPatience(this.cluster.disconnect());
  }

  #state(topic: string): TopicState {
    const state = this.#states.get(topic);
    if (state === undefined) throw new DuologError('INTERNAL', `This reader does not read ${topic}`);
    return state;
  }

  /** From each topic in turn an equal part; which is first changes from poll to poll. */
  #take(maxRecords: number): LogRecord[] {
    const ready = [...this.#states.values()].filter((state) => !state.paused && state.taken < state.buffer.length);
    if (ready.length === 0) return [];
    const turn = this.#turn++ % ready.length;
    const order = [...ready.slice(turn), ...ready.slice(0, turn)];
    const taken: LogRecord[] = [];
    order.forEach((state, index) => {
      const share = Math.ceil((maxRecords - taken.length) / (order.length - index));
      const records = state.buffer.slice(state.taken, state.taken + share);
      state.taken += records.length;
      if (state.taken === state.buffer.length) {
        state.buffer = [];
        state.taken = 0;
      }
      for (const record of records) taken.push(record);
    });
    return taken;
  }

  #fetchWhatIsEmpty(): void {
    if (this.#closing.signal.aborted || this.#failure !== null) return;
    const wanted = [...this.#states.values()].filter(
      (state) => !state.paused && !state.fetching && state.buffer.length === 0,
    );
    for (const [nodeId, states] of this.#byLeader(wanted)) {
      if (this.#busyLeaders.has(nodeId)) continue;
      this.#busyLeaders.add(nodeId);
      for (const state of states) state.fetching = true;
      const running = this.#fetch(nodeId, states).finally(() => {
        for (const state of states) state.fetching = false;
        this.#busyLeaders.delete(nodeId);
        this.#running.delete(running);
        this.#wake?.();
      });
      this.#running.add(running);
    }
  }

  #byLeader(states: readonly TopicState[]): Map<string, TopicState[]> {
    const leaders = new Map<string, TopicState[]>();
    for (const state of states) {
      // The node "" stands for "not known yet": fetching from it brings the metadata up to date.
      const [nodeId = ''] = leaderOf(this.cluster, state.topic);
      const known = leaders.get(nodeId);
      if (known === undefined) leaders.set(nodeId, [state]);
      else known.push(state);
    }
    return leaders;
  }

  async #fetch(nodeId: string, states: readonly TopicState[]): Promise<void> {
    const startMs = performance.now();
    try {
      await this.cluster.refreshMetadataIfNecessary();
      const broker = await this.cluster.findBroker({ nodeId });
      const wanted = states.map(({ topic, nextOffset }) => ({ topic, offset: nextOffset }));
      const fetched = await fetchFrom(broker, wanted, LIMITS);
      for (const topic of fetched) this.#accept(topic);
      if (this.#troubles > 0) this.client.settings.logger.info({ topics: topicsOf(states) }, 'Kafka is read again');
      this.#troubles = 0;
      this.#doubts = 0;
      this.#missingSinceMs = null;
      const records = fetched.reduce((sum, topic) => sum + topic.records.length, 0);
      this.client.settings.observer.fetched?.({ records, durationMs: performance.now() - startMs });
    } catch (error) {
      if (!this.#closing.signal.aborted) await this.#recover(error, states);
    }
  }

  #accept(fetched: FetchedTopic): void {
    const state = this.#state(fetched.topic);
    state.buffer = fetched.records;
    state.taken = 0;
    state.nextOffset = fetched.nextOffset;
    if (fetched.stableOffset > state.stableOffset) state.stableOffset = fetched.stableOffset;
  }

  /** What tells that reading cannot go on is kept for the next poll; all else is tried again after a pause. */
  async #recover(error: unknown, states: readonly TopicState[]): Promise<void> {
    const doing = `reading ${topicsOf(states).join(', ')}`;
    const type = protocolType(error);
    if (type === 'OFFSET_OUT_OF_RANGE') {
      this.#failure = await this.#whatIsOutOfRange(states);
    } else if (isMissingTopic(error)) {
      this.#missingSinceMs ??= performance.now();
      if (performance.now() - this.#missingSinceMs > MISSING_AFTER_MS) this.#failure = asDuologError(error, doing);
    } else if (remedy(error) === 'fatal') {
      this.#failure = asDuologError(error, doing);
    }
    if (this.#failure !== null) return;
    const { observer, logger } = this.client.settings;
    observer.fetchRetried?.();
    if (this.#troubles === 3) {
      const topics = topicsOf(states);
      logger.warn(
        { err: asDuologError(error, `reading ${topics.join(', ')}`), topics },
        'Kafka cannot be read; trying on',
      );
    }
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(this.#troubles++, 10), MAX_PAUSE_MS);
    await delay(pauseMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    await this.cluster.refreshMetadata().catch(() => undefined);
  }

  async #whatIsOutOfRange(states: readonly TopicState[]): Promise<DuologError | null> {
    try {
      for (const { topic, nextOffset } of states) {
        const found = await outOfRange(this.cluster, topic, nextOffset);
        if (found !== null) return found;
      }
    } catch (error) {
      return remedy(error) === 'fatal' ? asDuologError(error, 'asking for the offsets there are') : null;
    }
    if (++this.#doubts < MAX_DOUBTS) return null;
    return new DuologError(
      'KAFKA_OFFSET_OUT_OF_RANGE',
      `Kafka calls an offset of ${topicsOf(states).join(', ')} out of range`,
    );
  }

  async #newsWithin(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
    this.#wake = null;
  }
}

async function findTopics(cluster: Cluster, topics: readonly string[]): Promise<void> {
  if (topics.length === 0) return;
  await withRetries({ cluster, timeoutMs: OPEN_TIMEOUT_MS, missingAfterMs: OPEN_MISSING_AFTER_MS }, () =>
    cluster.addMultipleTargetTopics(topics),
  );
}

function leaderOf(cluster: Cluster, topic: string): string[] {
  try {
    return Object.keys(cluster.findLeaderForPartitions(topic, [0]));
  } catch {
    return [];
  }
}

function topicsOf(states: readonly TopicState[]): string[] {
  return states.map(({ topic }) => topic);
}
