import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { allFaults, FaultDeck, snapshotFaults } from './faults/choose.js';
import type { Fault } from './faults/fault.js';
import { describeRound, markdown, reportOf, writeReport } from './report.js';
import { Round, type RoundResult } from './round.js';
import { runRestore } from './standby/restore.js';
import { runStandby } from './standby/standby.js';
import { type Stack, startProofStack } from './stack.js';
import { World } from './world/world.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Math.floor(Date.now() / 1000) % 1_000_000) },
    only: { type: 'string' },
    out: { type: 'string', default: 'dist/kill-report' },
    list: { type: 'boolean', default: false },
    standby: { type: 'boolean', default: false },
    restore: { type: 'boolean', default: false },
    links: { type: 'string', default: '1000000' },
    'session-timeout': { type: 'string' },
    minutes: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const USAGE = `npm run kill -- [options]

Plays rounds against real parts: people edit both databases, something is killed, frozen, cut or filled, and an oracle
outside of Duolog judges what became of every edit.

  --rounds N      how many (20)
  --seed S        the first seed; round n has seed S + n. Printed, chosen by the clock where it is not given
  --only PATTERN  only faults whose name matches, e.g. --only 'SIGSTOP at sink'
  --list          the faults there are
  --minutes M     begin no round after so many minutes
  --out FOLDER    report.md, report.json, and logs of broken rounds (dist/kill-report)
  --standby       instead: takeover and restore with --links N links in the state (1000000);
                  --session-timeout 6s instead of the product's own
  --restore       instead: how long it takes to read the state of --links N links again, written to a changelog
                  directly (without databases; restore.json)
`;

/** Rounds on one world before a fresh one with a snapshot of its own. */
const ROUNDS_A_WORLD = 30;
const PREFILLED = 400;

async function main(): Promise<number> {
  if (values.help) return say(USAGE);
  if (values.list) return say(`${[...snapshotFaults(), ...allFaults()].map(({ name }) => name).join('\n')}\n`);
  const out = resolve(values.out);
  mkdirSync(out, { recursive: true });
  if (values.standby) return runStandby(Number(values.links), values['session-timeout'], out);
  if (values.restore) return runRestore(Number(values.links), out);
  const campaign = new Campaign(Number(values.seed), out);
  process.on('SIGINT', () => campaign.end());
  process.on('SIGTERM', () => campaign.end());
  return campaign.run(Number(values.rounds));
}

class Campaign {
  private readonly results: RoundResult[] = [];
  private readonly startedMs = Date.now();
  private readonly steady: FaultDeck;
  private readonly snapshots: FaultDeck;
  private ended = false;
  private worlds = 0;

  constructor(
    private readonly seed: number,
    private readonly out: string,
  ) {
    const wanted = (fault: Fault) => values.only === undefined || new RegExp(values.only).test(fault.name);
    const steady = allFaults().filter(wanted);
    const snapshots = snapshotFaults().filter(wanted);
    if (steady.length + snapshots.length === 0) throw new Error('No fault has such a name: --list tells them');
    this.steady = new FaultDeck(seed, steady.length > 0 ? steady : snapshots);
    this.snapshots = new FaultDeck(seed, snapshots.length > 0 ? snapshots : snapshotFaults());
  }

  /** After the round in hand. */
  end(): void {
    this.ended = true;
  }

  async run(rounds: number): Promise<number> {
    const until = values.minutes === undefined ? Infinity : this.startedMs + Number(values.minutes) * 60_000;
    process.stdout.write(`${rounds} rounds, seed ${this.seed}\n`);
    const stack = await startProofStack();
    let world: World | null = null;
    try {
      for (let round = 0; round < rounds && !this.ended && Date.now() < until; round++) {
        if (world === null || world.rounds >= ROUNDS_A_WORLD) {
          await world?.close();
          world = await World.create(stack, `k${this.seed}w${this.worlds++}`, PREFILLED);
        }
        if (!(await this.play(world, this.seed + round))) {
          await world.close();
          world = null;
        }
      }
    } finally {
      await world?.close();
      await stack.destroy();
    }
    const report = reportOf(this.results, this.seed, this.startedMs);
    process.stdout.write(`\n${markdown(report)}`);
    return report.broken === 0 ? 0 : 1;
  }

  /** False where the world cannot be gone on with. */
  private async play(world: World, seed: number): Promise<boolean> {
    const fault = (world.rounds === 0 ? this.snapshots : this.steady).next();
    const round = new Round(world, seed, fault);
    const result = await round.run().catch((error: unknown) => brokenOff(round, fault, error));
    this.results.push(result);
    process.stdout.write(`${describeRound(result)}\n`);
    const sound = result.verdict.violations.length === 0;
    if (!sound) this.keep(world, world.stack, result);
    writeReport(this.out, reportOf(this.results, this.seed, this.startedMs), this.results);
    return sound;
  }

  /** Seed, fault and evidence of a round that went wrong. */
  private keep(world: World, stack: Stack, result: RoundResult): void {
    const folder = join(this.out, `broken-${result.seed}`);
    mkdirSync(folder, { recursive: true });
    for (const { rule, message } of result.verdict.violations.slice(0, 10)) {
      process.stdout.write(`  ${rule}: ${message}\n`);
    }
    for (const note of result.notes) process.stdout.write(`    ${note}\n`);
    process.stdout.write(`  logs and evidence: ${folder}\n`);
    const logs = world.all.map(({ logFile }) => logFile);
    for (const log of [...logs, stack.kafka.logFile, stack.registry.logFile]) {
      if (existsSync(log)) copyFileSync(log, join(folder, basename(log)));
    }
    const records = new Set(result.verdict.violations.slice(0, 20).flatMap(({ record }) => record ?? []));
    const evidence = Array.from(records, (record) => world.oracle.evidence(record));
    writeFileSync(join(folder, 'round.json'), JSON.stringify({ ...result, evidence }, null, 2));
  }
}

function brokenOff(round: Round, fault: Fault, error: unknown): RoundResult {
  const message = error instanceof Error ? error.message : String(error);
  return {
    seed: round.seed,
    fault: fault.name,
    kind: fault.kind,
    durationMs: 0,
    takeoverMs: {},
    missed: null,
    load: { transactions: 0, failed: 0, largest: 0 },
    verdict: { violations: [{ rule: 'round', message }], edits: 0, commands: 0, decisions: 0, holds: {} },
    notes: round.notes,
  };
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

process.exitCode = await main();
process.exit();
