import { setTimeout as delay } from 'node:timers/promises';
import { Listr, type ListrTaskWrapper } from 'listr2';
import pg from 'pg';
import { agree, type Comparison, compare } from './compare.js';
import { type DuologRun, runDuolog } from './duolog-run.js';
import { type Databases, edits } from './edits.js';
import { play } from './play.js';
import { say, showComparison, showConnections, showEdit, showHeld, showWhatStays } from './show.js';
import { loadOnce, type ServerStarters, type Servers, serverStarters } from './servers.js';
import { type Subscriber, subscribe } from './subscriber.js';

/**
 * npm run demo: starts the servers, fills them, runs Duolog, plays edits on both sides and shows them arrive.
 * With --once it ends then, with 0 if both sides are equal; else it stays until Ctrl-C.
 */
const once = process.argv.includes('--once');
const prefix = 'northwind';
/** A first copy of some 3,300 records on a busy machine. */
const firstCopyTimeoutMs = 120_000;

/** What has to be ended, in this order. */
interface Running {
  starters: ServerStarters;
  subscriber?: Subscriber;
  duolog?: DuologRun;
  databases?: Databases;
}

const running: Running = { starters: serverStarters(process.env) };
let ending = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The second Ctrl-C does not wait: what is left dies with this process.
    if (ending) process.exit(130);
    say(`\nEnding everything … (${signal} again to end at once)`);
    void end(stays ? 0 : 130);
  });
}

/** Nobody reads our output any more, as with `| head`: there is nothing left to show, and --once has shown nothing. */
process.stdout.on('error', () => {
  if (!ending) void end(once ? 1 : 0);
});
process.stderr.on('error', () => undefined);

let stays = false;

async function end(code: number): Promise<void> {
  ending = true;
  try {
    await running.subscriber?.stop();
    await running.duolog?.stop();
    await Promise.all([running.databases?.erp.end(), running.databases?.crm.end()]);
    await running.starters.destroy();
  } catch (error) {
    console.error(error);
  }
  process.exit(code);
}

try {
  await main();
} catch (error) {
  if (!ending) {
    console.error(`\n${error instanceof Error ? error.message : String(error)}`);
    if (running.duolog !== undefined) console.error(`\nThe end of Duolog's log:\n${running.duolog.endOfLog()}`);
    await end(1);
  }
}

async function main(): Promise<void> {
  const began = performance.now();
  const { servers, databases, duolog, subscriber } = await setUp();
  say('');
  for (const edit of edits) showEdit(await play(edit, databases, subscriber));
  const comparisons = await untilEqual(databases, 20_000);
  showComparison(comparisons);
  showHeld(subscriber.held());
  say(`\nAll of it took ${Math.round((performance.now() - began) / 1000)} s.`);
  const equal = agree(comparisons);
  if (servers.ownDatabases) await showWhatStays(databases);
  if (once) return end(equal ? 0 : 1);
  showConnections(servers, duolog, prefix);
  stays = equal;
  while (duolog.running) await delay(500);
  if (!ending) throw new Error('Duolog ended by itself.');
}

interface Parts {
  readonly servers: Servers;
  readonly databases: Databases;
  readonly duolog: DuologRun;
  readonly subscriber: Subscriber;
}

type Step = ListrTaskWrapper<unknown, never, never>;

async function setUp(): Promise<Parts> {
  const { starters } = running;
  const found = { brokers: [] as readonly string[], registry: '', erp: '', crm: '' };
  const ownDatabases = Boolean(process.env.ERP_URL || process.env.CRM_URL);
  let parts: Parts | undefined;
  const steps = new Listr(
    [
      {
        title: 'Servers',
        task: (_, task) =>
          task.newListr(
            [
              { title: 'Kafka', task: async () => void (found.brokers = await starters.kafka()) },
              { title: 'Schema registry', task: async () => void (found.registry = await starters.registry()) },
              ...(['erp', 'crm'] as const).map((name) => ({
                title: `Postgres for the ${name}, filled with Northwind`,
                task: async () => {
                  found[name] = await starters.database(name);
                  await loadOnce(name, found[name]);
                },
              })),
            ],
            { concurrent: true },
          ),
      },
      {
        title: 'Duolog on examples/northwind/duolog.yaml',
        task: async () => {
          const servers = { ...found, ownDatabases };
          const databases = {
            erp: new pg.Pool({ connectionString: found.erp, max: 4 }),
            crm: new pg.Pool({ connectionString: found.crm, max: 4 }),
          };
          // A server that ends cuts idle sessions, also those that "end" has only just told to leave.
          for (const pool of Object.values(databases)) pool.on('error', () => undefined);
          running.databases = databases;
          const duolog = await runDuolog(servers);
          running.duolog = duolog;
          const subscriber = await subscribe(found.brokers, found.registry, prefix);
          running.subscriber = subscriber;
          parts = { servers, databases, duolog, subscriber };
        },
      },
      {
        title: 'First copy',
        task: async (_, task) => {
          if (parts !== undefined) await firstCopy(parts, task);
        },
      },
    ],
    { registerSignalListeners: false, rendererOptions: { collapseSubtasks: false, showErrorMessage: false } },
  );
  await steps.run();
  if (parts === undefined) throw new Error('The set-up did not finish');
  return parts;
}

async function firstCopy({ databases, subscriber, duolog }: Parts, task: Step): Promise<void> {
  const began = performance.now();
  const comparisons = await untilEqual(databases, firstCopyTimeoutMs, (now) => {
    if (!duolog.running) throw new Error('Duolog ended by itself.');
    task.title = `First copy: ${progress(now)}`;
  });
  if (!agree(comparisons)) throw new Error(`The first copy did not finish: ${progress(comparisons)}`);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  await subscriber.settled();
  const records = comparisons.reduce((sum, { equal }) => sum + equal, 0);
  task.title = `First copy: ${records} records equal on both sides after ${seconds} s, ${subscriber.decided()} decisions where both sides had a value`;
}

function progress(comparisons: readonly Comparison[]): string {
  return comparisons
    .map(({ entity, inErp, inCrm, equal }) => `${entity} ${equal}/${Math.max(inErp, inCrm)}`)
    .join(', ');
}

/** The comparison once it finds no difference, or as it is when the time is over. */
async function untilEqual(
  { erp, crm }: Databases,
  timeoutMs: number,
  onLook: (comparisons: readonly Comparison[]) => void = () => undefined,
): Promise<readonly Comparison[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const comparisons = await compare(erp, crm);
    onLook(comparisons);
    if (agree(comparisons) || Date.now() > deadline) return comparisons;
    await delay(250);
  }
}
