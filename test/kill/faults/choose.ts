import { existsSync, writeFileSync } from 'node:fs';
import { FAIL_POINTS } from '../../../src/failpoints.js';
import { Random } from '../../simulation/random.js';
import { ROLES } from '../duolog-process.js';
import { COMMIT_POINTS, freezeAt, killAt } from './fail-points.js';
import type { Fault } from './fault.js';
import * as surroundings from './surroundings.js';

/** Every fault there is, each once. */
export function allFaults(): readonly Fault[] {
  const steady = FAIL_POINTS.filter((point) => point !== 'source.snapshot.after-chunk');
  return [
    ...steady.map(killAt),
    ...COMMIT_POINTS.map(freezeAt),
    surroundings.killAtRandom,
    surroundings.killEverything,
    surroundings.restartBroker('in order'),
    surroundings.restartBroker('kill -9'),
    surroundings.restartRegistry,
    ...(['crm', 'erp'] as const).flatMap((system) => [
      surroundings.restartDatabase(system, 'fast'),
      surroundings.restartDatabase(system, 'immediate'),
      surroundings.cutConnections(system),
      surroundings.loseCommit(system),
      surroundings.fillDisk(system),
    ]),
    surroundings.cutConnections('kafka'),
    ...(['source', 'stream'] as const).map((role) => surroundings.loseEndTxn(role)),
    surroundings.losePublished,
    surroundings.fillDisk('kafka'),
    surroundings.fillDisk('state'),
    ...ROLES.map((role) => surroundings.stepClock(role, existsSync, (file, text) => writeFileSync(file, text))),
  ];
}

/** Faults that meet the first snapshot of a world, with its users at work. */
export function snapshotFaults(): readonly Fault[] {
  const faults = [
    killAt('source.snapshot.after-chunk'),
    freezeAt('source.snapshot.after-chunk'),
    surroundings.killAtRandom,
    surroundings.killEverything,
    surroundings.restartBroker('kill -9'),
    surroundings.restartDatabase('crm', 'immediate'),
    surroundings.restartDatabase('erp', 'immediate'),
    surroundings.cutConnections('erp'),
  ];
  return faults.map((fault) => ({ ...fault, kind: `snapshot: ${fault.kind}`, name: `snapshot: ${fault.name}` }));
}

/** Faults in an order of the seed, each as often as the others, so that any number of rounds covers what it can. */
export class FaultDeck {
  readonly #faults: readonly Fault[];
  #left: Fault[] = [];
  #round = 0;

  constructor(
    private readonly seed: number,
    faults: readonly Fault[],
  ) {
    this.#faults = faults;
  }

  next(): Fault {
    if (this.#left.length === 0) {
      const random = new Random(this.seed + 7919 * this.#round++);
      this.#left = this.#faults
        .map((fault) => ({ fault, at: random.next() }))
        .toSorted((a, b) => a.at - b.at)
        .map(({ fault }) => fault);
    }
    return this.#left.pop()!;
  }
}
