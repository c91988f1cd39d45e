import { setTimeout as delay } from 'node:timers/promises';
import type { Databases, Edit, Played } from './edits.js';
import type { Agreements, Decision, Subscriber } from './subscriber.js';

/** An edit that was played, with what came of it. */
export interface Shown {
  readonly title: string;
  readonly done: readonly string[];
  readonly arrivals: readonly { readonly system: string; readonly what: string; readonly latencyMs: number }[];
  readonly why: readonly string[];
}

const arrivalTimeoutMs = 30_000;
const decisionTimeoutMs = 5_000;
const graceMs = 200;

/**
 * Plays an edit and watches it arrive. The latency counts from the edit's COMMIT to the first look that finds it.
 * @throws Error naming what did not arrive in time.
 */
export async function play(edit: Edit, databases: Databases, subscriber: Subscriber): Promise<Shown> {
  const mark = subscriber.mark();
  const played = await edit.play(databases);
  const committed = performance.now();
  const arrivals = await Promise.all(
    played.arrivals.map(async ({ system, what, look }) => {
      const failure = `${edit.title}: ${what} did not arrive in the ${system}`;
      const seen = await until(() => look(databases), arrivalTimeoutMs, failure);
      return { system, what: seen, latencyMs: performance.now() - committed };
    }),
  );
  const decided = await published(played, subscriber, mark);
  return {
    title: edit.title,
    done: played.done,
    arrivals,
    why: [...decided.map(inWords), ...agreedInWords(subscriber.agreements(played.record, mark), decided.length)],
  };
}

/** What the agreed record's topic told since the edit. */
function agreedInWords({ versions, before, now }: Agreements, decisions: number): readonly string[] {
  if (versions === 0) return [];
  const alone = decisions === 0 ? '; no decision record came with it' : '';
  const times = versions > 1 ? `, the last of ${versions} versions` : '';
  if (now === null) return [`the agreed record is gone${times}${alone}`];
  const keys = Object.entries(now.keys).map(([system, key]) => `${system} ${key}`);
  if (before === undefined) return [`a new agreed record: ${keys.join(' = ')}${times}${alone}`];
  const changed = Object.entries(now.fields).filter(
    ([field, value]) => JSON.stringify(value) !== JSON.stringify(before.fields[field]),
  );
  const fields = changed.map(([field]) => `${field} from the ${now.set[field]?.system ?? 'both'}`);
  return [`the agreed record has ${fields.join(', ') || 'the same values as before'}${times}${alone}`];
}

/**
 * The decisions that came with the edit. They are read beside the databases and beside the agreed record: once that
 * shows the edit a moment more is waited for them.
 */
async function published(
  { record, conflict, told = ({ versions }) => versions > 0 }: Played,
  subscriber: Subscriber,
  mark: number,
): Promise<readonly Decision[]> {
  let deadline = Date.now() + decisionTimeoutMs;
  let shown = false;
  while (Date.now() < deadline) {
    const decisions = subscriber.decisions(record, mark);
    if (decisions.length > 0) return decisions;
    if (!shown && !conflict && told(subscriber.agreements(record, mark))) {
      shown = true;
      deadline = Date.now() + graceMs;
    }
    await delay(20);
  }
  return [];
}

function inWords({ decision, rule, winner, fields }: Decision): string {
  const sides = fields.flatMap(({ field, sides: all }) =>
    all.map(({ system, value, absent }) => `${system} ${field}: ${absent ? 'deleted' : String(value)}`),
  );
  const outcome = winner === null ? 'a person must say' : `${winner} wins`;
  return `${decision}: ${outcome}, because ${rule} (${sides.join('; ')})`;
}

async function until<T>(look: () => Promise<T | null>, timeoutMs: number, failure: string): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error(`${failure} within ${timeoutMs / 1000} s`);
    await delay(3);
  }
}
