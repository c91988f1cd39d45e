import type { Random } from '../../simulation/random.js';
import type { DuologProcess, Role } from '../duolog-process.js';
import type { Violation } from '../oracle/oracle.js';
import type { World } from '../world/world.js';

/** What a fault may do to a round that is under way. */
export interface Faulty {
  readonly world: World;
  readonly random: Random;
  note(text: string): void;
  /** A role's process is gone from now on: its successor's first commit is waited for and timed. */
  lost(role: Role, atMs?: number): void;
  /** A process of a role with armed fail points that leads in place of those there were. */
  replace(role: Role, failPoints: string): Promise<DuologProcess>;
  /** Done when everything is at rest, before the oracle looks. */
  whenAtRest(check: () => Promise<readonly Violation[]>): void;
  /** Waits until nothing moves. */
  rest(): Promise<readonly Violation[]>;
}

export interface Fault {
  /** The line of the report that it belongs to. */
  readonly kind: string;
  readonly name: string;
  /** The role whose process it starts by itself, with fail points. */
  readonly arms: Role | null;
  /** Does it, in the middle of the load; gives why it did not come about, or null. */
  inflict(round: Faulty): Promise<string | null>;
}
