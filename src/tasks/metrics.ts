import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { SourceStatus } from '../connector/contract.js';
import type { HoldReason } from '../decision/outputs.js';
import { Lag } from './lag.js';
import type { StageMetrics, TaskLabels } from './stage-metrics.js';
import type { TaskPhase } from './task-loop.js';

const PHASES: readonly TaskPhase[] = ['waiting', 'opening', 'running', 'closing', 'pausing', 'failed', 'stopped'];
const TASK_LABELS = ['stage', 'sync', 'system'] as const;
const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const RECORDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/** Holds that wait now, by entity and reason. */
export type CountHolds = () => ReadonlyMap<string, ReadonlyMap<HoldReason, number>>;

type MakeGauge = (name: string, help: string, labels: readonly string[], collect?: () => void) => Gauge<string>;

/** Every figure that /metrics shows of the tasks; docs/metrics.md explains each, a test keeps both lists equal. */
export class DuologMetrics {
  readonly registry = new Registry();
  private readonly lag: Lag;
  private readonly holdCounters = new Map<string, CountHolds>();
  private readonly records: Counter<string>;
  private readonly messages: Counter<string>;
  private readonly batch: Histogram<string>;
  private readonly transaction: Histogram<string>;
  private readonly inFlight: Gauge<string>;
  private readonly deferred: Gauge<string>;
  private readonly outcomes: Counter<string>;
  private readonly decisions: Counter<string>;
  private readonly restarts: Counter<string>;
  private readonly phase: Gauge<string>;
  private readonly sources = new Map<string, () => SourceStatus | null>();

  constructor(nowMs: () => number) {
    const { registry } = this;
    this.lag = new Lag(nowMs);
    const counter = (name: string, help: string, labels: readonly string[]) =>
      new Counter({ name, help, labelNames: labels, registers: [registry] });
    const gauge: MakeGauge = (name, help, labels, collect) =>
      new Gauge({
        name,
        help,
        labelNames: labels,
        registers: [registry],
        ...(collect === undefined ? {} : { collect }),
      });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, labelNames: TASK_LABELS, buckets, registers: [registry] });
    this.records = counter('duolog_records_total', 'Changes, events or commands taken in and done.', TASK_LABELS);
    this.messages = counter('duolog_messages_total', 'Messages given out.', TASK_LABELS);
    this.batch = histogram('duolog_batch_records', 'Records of one transaction.', RECORDS);
    this.transaction = histogram('duolog_transaction_seconds', 'From taking a batch to its commit.', SECONDS);
    this.inFlight = gauge('duolog_commands_in_flight', 'Commands read and not yet answered.', ['sync', 'system']);
    this.deferred = gauge('duolog_commands_deferred', 'Commands whose row somebody else has locked.', [
      'sync',
      'system',
    ]);
    this.outcomes = counter('duolog_outcomes_total', 'What became of commands.', ['sync', 'system', 'status']);
    this.decisions = counter('duolog_decisions_total', 'Conflicts and other decisions.', [
      'sync',
      'entity',
      'decision',
    ]);
    this.restarts = counter(
      'duolog_task_restarts_total',
      'Lives of a task that ended with an error or without its lease.',
      TASK_LABELS,
    );
    this.phase = gauge('duolog_task_phase', '1 for the phase that a task is in.', [...TASK_LABELS, 'phase']);
    this.watch(gauge);
    collectDefaultMetrics({ register: registry });
  }

  /** Figures that are asked for when somebody looks. */
  private watch(gauge: MakeGauge): void {
    const lag = gauge(
      'duolog_lag_seconds',
      'Age of the last thing done while more is known to wait; 0 when a task has caught up.',
      TASK_LABELS,
      () => {
        lag.reset();
        for (const { labels, seconds } of this.lag.seconds()) lag.set({ ...labels }, seconds);
      },
    );
    const holds = gauge('duolog_holds', 'Records that wait, and why.', ['sync', 'entity', 'reason'], () => {
      holds.reset();
      for (const [sync, count] of this.holdCounters) {
        for (const [entity, reasons] of count()) {
          for (const [reason, value] of reasons) holds.set({ sync, entity, reason }, value);
        }
      }
    });
    const retained = gauge(
      'duolog_source_retained_bytes',
      'Bytes of log that a system keeps for us.',
      ['system'],
      () => {
        // A source that another process has by now is not our figure.
        retained.reset();
        for (const [system, bytes] of this.perSource(({ retainedBytes }) => retainedBytes)) {
          retained.set({ system }, bytes);
        }
      },
    );
    const help = 'Rows read by the present or last snapshot.';
    const rows = gauge('duolog_snapshot_rows', help, ['system', 'entity'], () => {
      rows.reset();
      for (const [system, snapshot] of this.perSource((status) => status.snapshot)) {
        for (const [entity, progress] of Object.entries(snapshot)) rows.set({ system, entity }, progress.rows);
      }
    });
  }

  stage(labels: TaskLabels): StageMetrics {
    const of = { ...labels };
    const { sync, system } = labels;
    return {
      committed: (records, messages, seconds) => {
        this.records.inc(of, records);
        this.messages.inc(of, messages);
        this.batch.observe(of, records);
        this.transaction.observe(of, seconds);
      },
      behind: (of, sinceMicros) => this.lag.behind(labels, of, sinceMicros),
      inFlight: (commands) => this.inFlight.set({ sync, system }, commands),
      deferred: (commands) => this.deferred.set({ sync, system }, commands),
      outcomes: (status, count) => this.outcomes.inc({ sync, system, status }, count),
      decision: (entity, decision) => this.decisions.inc({ sync, entity, decision }),
    };
  }

  taskPhase(labels: TaskLabels, phase: TaskPhase): void {
    for (const other of PHASES) this.phase.set({ ...labels, phase: other }, other === phase ? 1 : 0);
    this.lag.phase(labels, phase);
    if (labels.stage !== 'sink' || (phase !== 'waiting' && phase !== 'stopped')) return;
    const { sync, system } = labels;
    this.inFlight.remove({ sync, system });
    this.deferred.remove({ sync, system });
  }

  /** Another process has the task: how far it is behind is told there. */
  taskElsewhere(labels: TaskLabels): void {
    this.lag.elsewhere(labels);
  }

  taskRestarted(labels: TaskLabels): void {
    this.restarts.inc({ ...labels });
  }

  /** A source is asked when somebody looks; null while it has not been opened. */
  watchSource(system: string, status: () => SourceStatus | null): void {
    this.sources.set(system, status);
  }

  private perSource<T>(read: (status: SourceStatus) => T | null): [system: string, figure: T][] {
    return Array.from(this.sources).flatMap(([system, ask]): [string, T][] => {
      const status = ask();
      const figure = status === null ? null : read(status);
      return figure === null ? [] : [[system, figure]];
    });
  }

  /** Holds are counted when somebody looks; null ends that, where another process has the sync. */
  countHolds(sync: string, count: CountHolds | null): void {
    if (count === null) this.holdCounters.delete(sync);
    else this.holdCounters.set(sync, count);
  }
}
