import type { SchemaRegistry } from '../avro/registry.js';
import { syncRecord, type StateRecord } from '../decision/state.js';
import { DuologError } from '../errors/duolog-error.js';
import type { Log, LogRecord } from '../log/contract.js';
import type { SyncPlan } from '../plan/plan.js';
import type { StateBacking } from './backing.js';
import { AvroStateCodec } from './state-codec.js';
import { StateStore, type StateChange, type StoreLimits } from './store.js';

export interface ChangelogOptions {
  readonly log: Log;
  readonly registry: SchemaRegistry;
  readonly topic: string;
  readonly plan: SyncPlan;
  /** Asked for once, and again where it failed. */
  readonly openBacking: () => Promise<StateBacking>;
  readonly nowMs: () => number;
  /** A store written longer ago than this may have missed a tombstone that compaction has removed since. */
  readonly maxAgeMs?: number;
  readonly limits?: StoreLimits;
  /** Told when a local store is thrown away, and why. */
  readonly onRebuild?: (reason: string) => void;
}

/** Half of Kafka's default `delete.retention.ms` of compacted topics, a day. */
const MAX_AGE_MS = 12 * 3_600_000;

interface Opened {
  readonly backing: StateBacking;
  readonly cluster: string;
  readonly codec: AvroStateCodec;
  readonly store: StateStore<StateRecord>;
}

/**
 * The state of a sync as the changelog topic tells it, with a local store as a cache. It outlives the task's lives: a
 * standby keeps it up to date, so that taking over is a matter of the last few records.
 */
export class Changelog {
  private backing: StateBacking | null = null;
  private opened: Opened | null = null;

  constructor(private readonly options: ChangelogOptions) {}

  get topic(): string {
    return this.options.topic;
  }

  /** There from the first `catchUp` on. */
  get store(): StateStore<StateRecord> {
    if (this.opened === null) throw new DuologError('INTERNAL', 'the changelog has not been read yet');
    return this.opened.store;
  }

  /** The schema that links are written under; there from the first `catchUp` on. */
  get schemaId(): number {
    if (this.opened === null) throw new DuologError('INTERNAL', 'the changelog has not been read yet');
    return this.opened.codec.schemaId;
  }

  /**
   * Drops what Kafka may not have and reads the changelog to its end. `birth` is what the stream task last said of
   * itself; a local store of another birth, cluster or time is thrown away first.
   */
  async catchUp(birth: string | null, signal?: AbortSignal): Promise<void> {
    const { log, topic, onRebuild } = this.options;
    const opened = (this.opened ??= await this.open());
    const { codec, store } = opened;
    store.discard();
    const reason = await this.unusable(opened, birth);
    if (reason !== null) {
      onRebuild?.(reason);
      store.clear();
    }
    const onRecords = async (records: readonly LogRecord[]) => {
      await codec.prepare(records.map(({ value }) => value));
      store.restore(records.map(change), records.at(-1)!.offset + 1);
    };
    const end = await log.readToEnd(topic, store.changelogOffset, onRecords, signal);
    if (end > store.changelogOffset) store.restore([], end);
  }

  /** Forgets what Kafka may not have. */
  discard(): void {
    this.opened?.store.discard();
  }

  async close(): Promise<void> {
    if (this.opened !== null) await this.opened.store.close();
    else await this.backing?.close();
  }

  private async open(): Promise<Opened> {
    const { log, registry, topic, plan, openBacking, nowMs, limits } = this.options;
    const backing = (this.backing ??= await openBacking());
    const cluster = await log.clusterId();
    const codec = await AvroStateCodec.register(registry, topic, plan);
    await codec.prepareIds(backing.meta()?.schemas ?? []);
    const store: StateStore<StateRecord> = new StateStore<StateRecord>(
      backing,
      codec,
      () => ({ cluster, birth: syncRecord(store)?.birth ?? '', schemas: codec.schemaIds() }),
      nowMs,
      limits,
    );
    return { backing, cluster, codec, store };
  }

  private async unusable({ backing, cluster, store }: Opened, birth: string | null): Promise<string | null> {
    const meta = backing.meta();
    if (meta === null) return null;
    const offset = store.changelogOffset;
    const { earliest, end } = await this.options.log.bounds(this.options.topic);
    if (meta.cluster !== cluster) return 'it belongs to another Kafka cluster';
    if (meta.birth !== birth) return 'it belongs to another state of this sync';
    if (offset > end || offset < earliest) return 'the changelog does not reach to where it stands';
    const maxAgeMs = this.options.maxAgeMs ?? MAX_AGE_MS;
    if (this.options.nowMs() - meta.writtenAtMs > maxAgeMs)
      return 'it is older than the deletions kept in the changelog';
    return null;
  }
}

function change({ key, value }: LogRecord): StateChange {
  if (key === null) throw new DuologError('MESSAGE_UNREADABLE', 'A record of the changelog without a key.');
  return { key: key.toString(), bytes: value };
}
