import type { Log, LogRecord } from '../log/contract.js';
import { SYNC_KEY, syncRecord, type StateRecord } from '../decision/state.js';
import type { StateBacking } from './backing.js';
import { StateStore, type StateChange, type StoreLimits } from './store.js';
import type { StateCodec } from './contract.js';

export interface ChangelogOptions {
  readonly log: Log;
  readonly topic: string;
  readonly backing: StateBacking;
  readonly codec: StateCodec<StateRecord>;
  readonly nowMs: () => number;
  /** A store written longer ago than this may have missed a tombstone that compaction has removed since. */
  readonly maxAgeMs?: number;
  readonly limits?: StoreLimits;
  /** Told when a local store is thrown away, and why. */
  readonly onRebuild?: (reason: string) => void;
}

/** Half of Kafka's default `delete.retention.ms` of compacted topics, a day. */
const MAX_AGE_MS = 12 * 3_600_000;

/**
 * The state of a sync as the changelog topic tells it, with a local store as a cache. It outlives the task's lives: a
 * standby keeps it up to date, so that taking over is a matter of the last few records.
 */
export class Changelog {
  readonly store: StateStore<StateRecord>;
  private cluster: string | null = null;

  constructor(private readonly options: ChangelogOptions) {
    this.store = new StateStore<StateRecord>(
      options.backing,
      options.codec,
      () => ({ cluster: this.cluster ?? '', birth: syncRecord(this.store)?.birth ?? '' }),
      options.nowMs,
      options.limits,
    );
  }

  get topic(): string {
    return this.options.topic;
  }

  /**
   * Drops what Kafka may not have and reads the changelog to its end. `birth` is what the stream task last said of
   * itself; a local store of another birth, cluster or time is thrown away first.
   */
  async catchUp(birth: string | null): Promise<void> {
    const { log, topic } = this.options;
    this.store.discard();
    this.cluster ??= await log.clusterId();
    const reason = await this.unusable(birth);
    if (reason !== null) {
      this.options.onRebuild?.(reason);
      this.store.clear();
    }
    const end = await log.readToEnd(topic, this.store.changelogOffset, (records) => {
      this.store.restore(records.map(change), records.at(-1)!.offset + 1);
    });
    if (end > this.store.changelogOffset) this.store.restore([], end);
  }

  /** The changelog's messages of one transaction; its record of the sync is among them each time. */
  seal(): StateChange[] {
    return this.store.seal();
  }

  async close(): Promise<void> {
    await this.store.close();
  }

  private async unusable(birth: string | null): Promise<string | null> {
    const meta = this.options.backing.meta();
    if (meta === null) return null;
    const { earliest, end } = await this.options.log.bounds(this.options.topic);
    const offset = this.store.changelogOffset;
    if (meta.cluster !== this.cluster) return 'it belongs to another Kafka cluster';
    if (meta.birth !== birth) return 'it belongs to another state of this sync';
    if (offset > end || offset < earliest) return 'the changelog does not reach to where it stands';
    const maxAgeMs = this.options.maxAgeMs ?? MAX_AGE_MS;
    if (this.options.nowMs() - meta.writtenAtMs > maxAgeMs)
      return 'it is older than the deletions kept in the changelog';
    return null;
  }
}

function change({ key, value }: LogRecord): StateChange {
  return { key: key === null ? SYNC_KEY : key.toString(), bytes: value };
}
