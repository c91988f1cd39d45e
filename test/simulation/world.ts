import type { LoggedTransaction } from '../../connectors/memory/commit-log.js';
import type { MemoryDatabase } from '../../connectors/memory/database.js';
import type { LogRecord } from '../../src/log/contract.js';
import type { SyncPlan } from '../../src/plan/plan.js';
import { MemoryBacking } from '../../src/state/memory-backing.js';
import type { Action } from './actions.js';
import { MemoryBroker } from './log.js';
import type { Seen } from './oracle/observed.js';
import { SimulatedProcess } from './process.js';
import { Users } from './users.js';
import { taskNames } from './workload.js';
import { databaseOf, planOf, type WorldConfig } from './world-config.js';

const START_MS = 1_700_000_000_000;

/** Begins a task's life in a process. */
export type TaskMain = (world: World, task: string, process: SimulatedProcess) => void;
/** A person asks for a resync of the system. */
export type AskForResync = (world: World, system: string) => Promise<void>;

/** Systems, a broker and the processes of the tasks, and everything that can happen to them. */
export class World {
  readonly plan: SyncPlan;
  readonly broker: MemoryBroker;
  readonly databases = new Map<string, MemoryDatabase>();
  readonly history = new Map<string, Seen<LoggedTransaction>[]>();
  readonly records: Seen<LogRecord>[] = [];
  readonly users: Users;
  /** By task: what the machine keeps on its disk when the process ends. */
  private readonly disks = new Map<string, MemoryBacking>();
  private births = 0;
  private nowMs = START_MS;
  private happened = 0;
  private upkeep = 0;
  private readonly processes = new Map<string, SimulatedProcess>();
  private readonly everyProcess = new Set<SimulatedProcess>();
  private readonly leftBehind = new Map<string, SimulatedProcess>();
  /** Systems whose logs were cut, and those of which a resync was asked for. */
  readonly lost = new Set<string>();
  readonly resynced = new Set<string>();

  constructor(
    readonly config: WorldConfig,
    private readonly main: TaskMain,
    private readonly askForResync: AskForResync,
  ) {
    this.plan = planOf(config);
    this.broker = new MemoryBroker(() => this.nowMs);
    this.broker.observe((record) => {
      this.records.push({ order: this.nextOrder(), what: record });
      if (isUpkeep(record.topic)) this.upkeep += 1;
    });
    for (const system of config.systems) this.addSystem(system);
    this.users = new Users(config, this.databases);
  }

  get clockMs(): number {
    return this.nowMs;
  }

  /** Places what happens among all that happens. */
  nextOrder(): number {
    return ++this.happened;
  }

  /** What the task's machine has on its disk. */
  disk(task: string): MemoryBacking {
    const disk = this.disks.get(task) ?? new MemoryBacking();
    this.disks.set(task, disk);
    return disk;
  }

  newBirth(): string {
    return `B${++this.births}`;
  }

  async play(action: Action): Promise<void> {
    this.nowMs += 1;
    switch (action.do) {
      case 'step':
        return this.step(action);
      case 'crash':
        return this.crash(action.task, action.leftBehind);
      case 'wake':
        return this.leftBehind.get(action.task)?.step(action.roundTrips);
      case 'cut':
        return this.process(action.task).cut(action.after);
      case 'lose':
        return this.lose(action.system);
      case 'resync':
        return this.resync(action.system);
      case 'compact':
        return this.broker.compact();
      case 'wait':
        this.nowMs += action.milliseconds;
        return;
      default:
        return this.users.act(action);
    }
  }

  /** Users leave, nothing fails any more, and every task goes on until nothing happens, however long one waits. */
  async drain(maxRounds: number): Promise<boolean> {
    this.users.leave();
    this.leftBehind.clear();
    for (const system of this.lost) await this.resync(system);
    const processes = taskNames(this.config).map((task) => this.process(task));
    for (const process of processes) {
      process.cut(Number.POSITIVE_INFINITY);
      process.records = null;
      process.slow = null;
    }
    let waits = 0;
    let activity = this.activity();
    for (let round = 0; round < maxRounds; round++) {
      for (const process of processes) await process.step(Number.POSITIVE_INFINITY);
      this.nowMs += 1;
      if (processes.some(({ busy }) => busy)) continue;
      waits = this.activity() === activity ? waits + 1 : 0;
      if (waits > 1) return true;
      activity = this.activity();
      this.nowMs += 60_000;
    }
    return false;
  }

  /** Errors that must not happen whatever befalls the task. */
  defects(): Error[] {
    return [...this.everyProcess].flatMap(({ defects }) => defects);
  }

  /** The errors by which tasks' lives ended. */
  errors(): string[] {
    return [...this.everyProcess].flatMap(({ name, errors }) => errors.map((error) => `${name}: ${error}`));
  }

  private lose(system: string): void {
    const { log } = this.databases.get(system)!;
    log.forget(log.end);
    this.lost.add(system);
  }

  private async resync(system: string): Promise<void> {
    this.resynced.add(system);
    await this.askForResync(this, system);
  }

  private addSystem(system: string): void {
    const database = databaseOf(this.config, system, () => this.nowMs * 1000);
    const history: Seen<LoggedTransaction>[] = [];
    const { log } = database;
    const append = log.append.bind(log);
    log.append = (changes, mark) => {
      const { end } = log;
      append(changes, mark);
      if (log.end > end) history.push({ order: this.nextOrder(), what: log.at(log.end)! });
    };
    this.databases.set(system, database);
    this.history.set(system, history);
  }

  private async step(action: Extract<Action, { do: 'step' }>): Promise<void> {
    const process = this.process(action.task);
    process.records = action.records;
    process.slow = action.slow;
    await process.step(action.roundTrips ?? Number.POSITIVE_INFINITY);
  }

  private crash(task: string, leftBehind: boolean): void {
    const process = this.processes.get(task);
    if (!process) return;
    this.processes.delete(task);
    if (!leftBehind) return process.end();
    process.leftBehind = true;
    this.leftBehind.set(task, process);
    // Another machine takes over: it has none of the files.
    this.disks.delete(task);
  }

  private process(task: string): SimulatedProcess {
    let process = this.processes.get(task);
    if (!process) {
      process = new SimulatedProcess(task, (self) => this.main(this, task, self));
      this.processes.set(task, process);
      this.everyProcess.add(process);
    }
    return process;
  }

  /** What grows while anything goes on; heartbeats, positions and offsets may go on for ever. */
  private activity(): number {
    let count = this.records.length - this.upkeep;
    for (const history of this.history.values()) count += history.length;
    return count;
  }
}

function isUpkeep(topic: string): boolean {
  return topic.includes('.heartbeat') || topic.includes('.state.') || topic.includes('.position.');
}
