import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../support/eventually.js';
import { type Role, ROLES } from '../duolog-process.js';
import { loseCommitAnswers, loseEndTxnAnswers, loseProduceAnswers } from '../proxy.js';
import type { VolumeName } from '../stack.js';
import { SYSTEMS, type SystemName } from '../world/model.js';
import type { Fault, Faulty } from './fault.js';

const LOSE_TIMEOUT_MS = 20_000;

function fault(kind: string, inflict: (round: Faulty) => Promise<string | null | void>): Fault {
  return { kind, name: kind, arms: null, inflict: async (round) => (await inflict(round)) ?? null };
}

/** kill -9 of one, two or all roles at once, at any moment; sometimes again while they come back. */
export const killAtRandom = fault('kill -9 at random times', async (round) => {
  const { random, world } = round;
  const times = random.between(1, 3);
  for (let time = 0; time < times; time++) {
    const roles = ROLES.filter(() => random.chance(0.5));
    const victims = roles.length === 0 ? [random.of(ROLES)] : roles;
    const standbys = random.chance(0.4);
    if (standbys) for (const role of victims) await world.spawn(role).started();
    await delay(random.between(50, 2_000));
    for (const role of victims) {
      const [leader] = world.living(role);
      leader?.kill('SIGKILL');
      round.lost(role);
      if (!standbys) world.spawn(role);
    }
    round.note(`kill -9 of ${victims.join(', ')}${standbys ? ' with standbys' : ''}`);
  }
});

/** The whole of Duolog at once, as when a machine goes. */
export const killEverything = fault('kill -9 of everything', async (round) => {
  await delay(round.random.between(100, 2_500));
  for (const role of ROLES) {
    for (const process of round.world.living(role)) process.kill('SIGKILL');
    round.lost(role);
  }
  await delay(round.random.between(0, 500));
  await round.world.ensureRoles();
});

export function restartBroker(kind: 'in order' | 'kill -9'): Fault {
  return fault(`broker restarted, ${kind}`, async (round) => {
    const { random, world } = round;
    await delay(random.between(100, 1_500));
    const { kafka } = world.stack;
    if (kind === 'kill -9') await kafka.kill('SIGKILL');
    else await kafka.stop();
    await delay(random.between(0, 1_000));
    await kafka.start();
    round.note('the broker is back');
  });
}

/** Away while processes start that need it. */
export const restartRegistry = fault('registry restarted', async (round) => {
  const { random, world } = round;
  await delay(random.between(100, 1_000));
  await world.stack.registry.stop();
  const role = random.of(ROLES);
  if (random.chance(0.7)) {
    world.living(role)[0]?.kill('SIGKILL');
    world.spawn(role);
    round.lost(role);
    round.note(`kill -9 of the ${role} while the registry is away`);
  }
  await delay(random.between(500, 3_000));
  await world.stack.registry.start();
});

export function restartDatabase(system: SystemName, mode: 'fast' | 'immediate'): Fault {
  return fault(`${system} database restarted, ${mode}`, async ({ random, world }) => {
    await delay(random.between(100, 1_500));
    await world.stack.databases[system].stop(mode);
    await delay(random.between(0, 1_500));
    await world.stack.databases[system].start();
  });
}

/** Connections break again and again in the middle of whatever they carry. */
export function cutConnections(where: SystemName | 'kafka'): Fault {
  return fault(`connections to ${where} cut`, async (round) => {
    const { random, world } = round;
    for (let times = random.between(2, 6); times > 0; times--) {
      await delay(random.between(20, 900));
      const count = world.stack.proxies[where].cutAll();
      round.note(`${count} connections cut`);
    }
  });
}

/** The target commits, and the sink never hears of it. */
export function loseCommit(system: SystemName): Fault {
  return fault(`answer to COMMIT in ${system} lost`, async (round) => {
    const proxy = round.world.stack.proxies[system];
    const wanted = round.random.between(1, 3);
    let lost = 0;
    proxy.watch = loseCommitAnswers(wanted, () => lost++);
    return untilLost(
      round,
      () => lost >= wanted,
      () => (proxy.watch = null),
    );
  });
}

/** The broker commits, and the task never hears of it. */
export function loseEndTxn(role: Exclude<Role, 'sink'>): Fault {
  return fault(`answer to EndTxn of the ${role} lost`, async (round) => {
    const proxy = round.world.stack.proxies.kafka;
    const wanted = round.random.between(1, 3);
    let lost = 0;
    proxy.watch = loseEndTxnAnswers(`${round.world.prefix}.${role}.`, wanted, () => lost++);
    return untilLost(
      round,
      () => lost >= wanted,
      () => (proxy.watch = null),
    );
  });
}

/** The broker has the outcomes, and the sink never hears of it. */
export const losePublished = fault('answer to published outcomes lost', async (round) => {
  const proxy = round.world.stack.proxies.kafka;
  const wanted = round.random.between(1, 3);
  let lost = 0;
  proxy.watch = loseProduceAnswers(`${round.world.prefix}.outcome.`, wanted, () => lost++);
  return untilLost(
    round,
    () => lost >= wanted,
    () => (proxy.watch = null),
  );
});

async function untilLost(round: Faulty, done: () => boolean, end: () => void): Promise<string | null> {
  try {
    await eventually(done, { timeoutMs: LOSE_TIMEOUT_MS });
    return null;
  } catch {
    return 'no such request was sent';
  } finally {
    end();
    round.note('answers come again');
  }
}

/** Less than any write that grows a file asks for at once. */
const FULL_KILOBYTES = 16;

/** No byte more on one disk, then room again; what died of it is started again, as a person would. */
export function fillDisk(name: VolumeName): Fault {
  return fault(`disk full: ${name}`, async (round) => {
    const { random, world } = round;
    const { stack } = world;
    const volume = stack.volumes[name];
    if (volume.fixed !== null) return `skipped: ${volume.fixed}`;
    await volume.fill();
    round.note('full');
    // A store that writes only now and then has to meet it.
    if (name === 'state') {
      world.living('stream')[0]?.kill('SIGKILL');
      world.spawn('stream');
    }
    await delay(random.between(1_500, 4_000));
    const left = await volume.freeKilobytes();
    round.note(`${left} kB left at the end`);
    await volume.empty();
    if (name === 'kafka') await reviveBroker(round);
    if (name === 'crm' || name === 'erp') await stack.databases[name].start();
    round.note('room again');
    const gone = ROLES.filter((role) => world.living(role).length === 0);
    if (gone.length > 0) round.note(`${gone.join(', ')} had ended`);
    return left > FULL_KILOBYTES ? `${left} kB were left: nothing met a full disk` : null;
  });
}

/** A broker whose log folder failed ends by itself, or is of no use: it is restarted either way. */
async function reviveBroker(round: Faulty): Promise<void> {
  const { kafka } = round.world.stack;
  await delay(500);
  await kafka.kill('SIGKILL');
  await kafka.start();
}

const FAKETIME = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib64/faketime/libfaketimeMT.so.1',
];

/** A role's wall clock jumps by an hour, forth and back, while it works (libfaketime). */
export function stepClock(
  role: Role,
  exists: (path: string) => boolean,
  write: (path: string, text: string) => void,
): Fault {
  return fault(`clock of the ${role} stepped`, async (round) => {
    const library = FAKETIME.find(exists);
    if (library === undefined) return 'skipped: libfaketime is not installed';
    const { random, world } = round;
    const file = `${world.folder}/clock-${role}`;
    write(file, '+0');
    const before = world.living(role);
    const stepped = world.spawn(role, {
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        DONT_FAKE_MONOTONIC: '1',
      },
    });
    await stepped.started();
    await Promise.all(before.map((process) => process.stop()));
    for (const step of ['+3600s', '-3600s', '-1d', '+0']) {
      await delay(random.between(300, 1_200));
      write(file, step);
      round.note(`clock at ${step}`);
    }
    await delay(500);
    // An ordinary clock for the rounds to come.
    world.spawn(role);
    stepped.kill('SIGKILL');
    return null;
  });
}

export const DATABASE_NAMES = SYSTEMS;
