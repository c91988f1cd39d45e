import { setTimeout as delay } from 'node:timers/promises';
import { FAIL_POINTS, type FailPoint } from '../../../src/failpoints.js';
import { eventually } from '../../support/eventually.js';
import { type DuologProcess, type Role, TASKS } from '../duolog-process.js';
import type { Fault, Faulty } from './fault.js';

/** How long the armed process may go on before it passes its point. */
const PASS_TIMEOUT_MS = 60_000;

export function roleOf(point: FailPoint): Role {
  return point.split('.')[0] as Role;
}

/** Points passed at every start, or seldom: the first passing has to do. */
function passing(point: FailPoint, round: Faulty): number {
  if (/\.open\.|trim|flush|snapshot|^sink\.publish/.test(point)) return 1;
  return round.random.weighted([
    [1, 2],
    [round.random.between(2, 6), 3],
  ]);
}

/** kill -9 of the leading process at a point; a standby is there or comes. */
export function killAt(point: FailPoint): Fault {
  const role = roleOf(point);
  return {
    kind: `kill -9 at ${point}`,
    name: `kill -9 at ${point}`,
    arms: role,
    inflict: async (round) => {
      const at = passing(point, round);
      const armed = await round.replace(role, `${point}=kill@${at}`);
      const standby = round.random.chance(0.5);
      if (standby) round.world.spawn(role);
      const died = await within(() => armed.died);
      if (!died) return giveUp(round, role, armed, `${point} was not passed ${at} times`);
      round.lost(role);
      round.note(`${armed.name} died at passing ${at}${standby ? ', a standby waits' : ''}`);
      if (!standby) round.world.spawn(role);
      return null;
    },
  };
}

/** SIGSTOP at a point for longer than the session; the successor works; SIGCONT: nothing new may be written. */
export function freezeAt(point: FailPoint): Fault {
  const role = roleOf(point);
  return {
    kind: `SIGSTOP at ${point}`,
    name: `SIGSTOP at ${point}, then SIGCONT`,
    arms: role,
    inflict: async (round) => {
      const at = passing(point, round);
      const armed = await round.replace(role, `${point}=stop@${at}`);
      const successor = round.world.spawn(role);
      if (!(await within(() => armed.frozen))) return giveUp(round, role, armed, `${point} was not passed ${at} times`);
      round.lost(role);
      round.note(`${armed.name} froze at passing ${at}`);
      await successor.started();
      const took = await within(() => successor.tasksThatRan === TASKS[role]);
      if (!took) round.note(`${successor.name} leads ${successor.tasksThatRan} of ${TASKS[role]} tasks`);
      thawAtRest(round, armed);
      // In the middle of the successor's work as well, every other time.
      if (round.random.chance(0.5)) {
        await delay(round.random.between(0, 1_500));
        armed.kill('SIGCONT');
        round.note('thawed while the successor works');
      }
      return null;
    },
  };
}

/**
 * Once everything is at rest the zombie wakes up: from then on nothing new may be written anywhere. It may tell an outcome
 * again, which is a fact of its target whoever tells it.
 */
function thawAtRest(round: Faulty, zombie: DuologProcess): void {
  const { told, users } = round.world;
  round.whenAtRest(async () => {
    const counts = async () => {
      const writes = await Promise.all(
        Object.values(users).map((pool) => pool.query<{ n: string }>('SELECT count(*) AS n FROM audit.entry')),
      );
      return { records: told.records - told.outcomeRecords, writes: writes.map(({ rows }) => rows[0]!.n).join(' ') };
    };
    const before = await counts();
    const wasFrozen = zombie.frozen;
    zombie.kill('SIGCONT');
    if (wasFrozen) round.note('thawed at rest');
    await delay(wasFrozen ? 2_500 : 0);
    await round.world.stack.witness.sync();
    const after = await counts();
    await zombie.stop();
    if (before.records === after.records && before.writes === after.writes) return [];
    const message = `${after.records - before.records} records, writes ${before.writes} before and ${after.writes} after it woke up`;
    return [{ rule: 'a zombie writes nothing (I4)', message }];
  });
}

async function giveUp(round: Faulty, role: Role, armed: DuologProcess, why: string): Promise<string> {
  round.world.spawn(role);
  await armed.stop();
  return why;
}

async function within(condition: () => boolean): Promise<boolean> {
  return eventually(condition, { timeoutMs: PASS_TIMEOUT_MS, intervalMs: 10 }).then(
    () => true,
    () => false,
  );
}

/** Points inside or around the commits, where freezing is of interest. */
export const COMMIT_POINTS: readonly FailPoint[] = FAIL_POINTS.filter((point) =>
  /\.(commit|publish|flush|decide|acknowledge)\./.test(point),
);
