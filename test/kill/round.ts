import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../simulation/random.js';
import { eventually } from '../support/eventually.js';
import { type DuologProcess, type Role, ROLES, TASKS } from './duolog-process.js';
import type { Fault, Faulty } from './faults/fault.js';
import type { Verdict, Violation } from './oracle/oracle.js';
import { firstOwnWrite } from './world/audit.js';
import { SYSTEMS } from './world/model.js';
import { type LoadCounts, type LoadShape, Users } from './world/users.js';
import type { World } from './world/world.js';

export interface RoundResult {
  readonly seed: number;
  readonly fault: string;
  /** The kind of fault that the report sums up under. */
  readonly kind: string;
  readonly durationMs: number;
  /** From the fault to the first thing that a successor committed, by role. */
  readonly takeoverMs: Readonly<Partial<Record<Role, number>>>;
  /** The fault did not come about: why. */
  readonly missed: string | null;
  readonly load: LoadCounts;
  readonly verdict: Verdict;
  readonly notes: readonly string[];
}

const QUIET_MS = 1_000;
/** A task that fails again and again waits at most ten seconds before its next try. */
const PATIENCE_MS = 25_000;
const REST_TIMEOUT_MS = 150_000;
const TAKEOVER_TIMEOUT_MS = 120_000;

/** One round: load, a fault in the middle of it, an orderly end, and the oracle. */
export class Round implements Faulty {
  readonly random: Random;
  readonly notes: string[] = [];
  private readonly began = Date.now();
  private readonly watches: {
    readonly role: Role;
    readonly afterMs: number;
    readonly found: () => Promise<number | null>;
  }[] = [];
  /** When the fault was over: what it took away is back. */
  private overMs = 0;
  private atRest: (() => Promise<readonly Violation[]>)[] = [];

  constructor(
    readonly world: World,
    readonly seed: number,
    private readonly fault: Fault,
  ) {
    this.random = new Random(seed);
  }

  get isFirst(): boolean {
    return this.world.rounds === 0;
  }

  async run(): Promise<RoundResult> {
    const { fault, seed, world } = this;
    const users = new Users(world.users, seed, loadShape(this.random));
    users.start();
    let missed: string | null = null;
    const witnessed = this.isFirst ? this.start() : null;
    try {
      missed = await fault.inflict(this);
      this.overMs = Date.now();
      await world.ensureRoles();
      await this.takeovers();
    } finally {
      await Promise.allSettled([users.stop(), witnessed]);
    }
    await witnessed;
    const judged = await this.judge(await this.rest());
    const woken: Violation[] = [];
    for (const check of this.atRest) woken.push(...(await check()));
    const verdict = { ...judged, violations: [...woken, ...judged.violations] };
    const takeoverMs: Partial<Record<Role, number>> = {};
    for (const { role, afterMs, found } of this.watches) {
      const time = await found();
      if (time !== null) takeoverMs[role] = Math.max(takeoverMs[role] ?? 0, time - afterMs);
    }
    world.rounds++;
    if (world.told.missedOwn > 0) this.note('commands or outcomes were trimmed before the witness had read them');
    return {
      seed,
      fault: fault.name,
      kind: fault.kind,
      durationMs: Date.now() - this.began,
      takeoverMs,
      missed,
      load: users.counts,
      verdict,
      notes: this.notes,
    };
  }

  /** The first round of a world: its users are at work already, and its snapshot is what the fault meets. */
  private async start(): Promise<void> {
    const { fault, world } = this;
    for (const role of ROLES) if (role !== fault.arms) world.spawn(role);
    return world.witnessStart();
  }

  note(text: string): void {
    this.notes.push(`${((Date.now() - this.began) / 1000).toFixed(1)} s ${text}`);
  }

  lost(role: Role, atMs = Date.now()): void {
    const { told, users } = this.world;
    const topics = { source: ['change'], stream: ['command', 'canonical', 'decision', 'hold'], sink: [] }[role];
    const inTopics = told.watchFirst(topics, atMs);
    const inTargets = async () => {
      const times = await Promise.all(SYSTEMS.map((system) => firstOwnWrite(users[system], atMs).catch(() => null)));
      const known = times.filter((time) => time !== null);
      return known.length === 0 ? null : Math.min(...known);
    };
    this.watches.push({ role, afterMs: atMs, found: role === 'sink' ? inTargets : async () => inTopics() });
  }

  whenAtRest(check: () => Promise<readonly Violation[]>): void {
    this.atRest.push(check);
  }

  /** A process of the role that leads, and will die of the fail point; those that led have left in order. */
  async replace(role: Role, failPoints: string): Promise<DuologProcess> {
    const before = this.world.living(role);
    const armed = this.world.spawn(role, { failPoints });
    await armed.started();
    await Promise.all(before.map((process) => process.stop()));
    if (before.length > 0) this.note(`${armed.name} took the place of ${before.map(({ name }) => name).join(', ')}`);
    const leads = () => armed.tasksThatRan === TASKS[role] || armed.frozen || armed.died;
    await eventually(leads, { what: `${armed.name} to lead`, timeoutMs: TAKEOVER_TIMEOUT_MS });
    return armed;
  }

  private async takeovers(): Promise<void> {
    const deadline = Date.now() + TAKEOVER_TIMEOUT_MS;
    for (const { found, role } of this.watches) {
      while ((await found()) === null) {
        if (Date.now() > deadline) {
          this.note(`nothing new of a ${role} after ${TAKEOVER_TIMEOUT_MS} ms`);
          break;
        }
        await delay(50);
      }
    }
  }

  /** Until nothing moves and every command is answered. */
  async rest(): Promise<readonly Violation[]> {
    const { oracle, stack, told } = this.world;
    const deadline = Date.now() + REST_TIMEOUT_MS;
    for (;;) {
      await stack.witness.sync();
      await told.decode();
      const unanswered = oracle.unanswered();
      const quietMs = this.quietMs();
      const enough = quietMs >= QUIET_MS && unanswered === 0 && (await oracle.untold()) === 0;
      if (enough || quietMs > PATIENCE_MS) return [];
      if (Date.now() > deadline) {
        const message = `not at rest after ${REST_TIMEOUT_MS} ms: ${unanswered} commands unanswered, quiet for ${quietMs} ms`;
        return [{ rule: 'comes to rest', message }];
      }
      await delay(Math.min(100, Math.max(20, QUIET_MS - quietMs)));
    }
  }

  /** A broker that was away told nothing, and no task has tried again yet. */
  private quietMs(): number {
    return Date.now() - Math.max(this.world.told.lastArrivalMs, this.overMs);
  }

  /** What is wrong counts once nothing has moved for as long as any task may wait; what stays silent is silent. */
  private async judge(before: readonly Violation[]): Promise<Verdict> {
    const { oracle, stack, told } = this.world;
    for (;;) {
      const records = told.records;
      const verdict = await oracle.judge();
      await stack.witness.sync();
      const moved = told.records !== records;
      const quietMs = this.quietMs();
      if (verdict.violations.length > 0 && (moved || quietMs < PATIENCE_MS) && before.length === 0) {
        await delay(500);
        await this.rest();
        continue;
      }
      if (moved && verdict.violations.length === 0) {
        await this.rest();
        continue;
      }
      await oracle.settle();
      return { ...verdict, violations: [...before, ...verdict.violations] };
    }
  }
}

function loadShape(random: Random): LoadShape {
  return {
    workers: random.between(2, 3),
    pauseMs: [random.between(10, 40), random.between(60, 200)],
    largest: random.weighted([
      [30, 12],
      [1_000, 3],
      [10_000, 1],
    ]),
  };
}
