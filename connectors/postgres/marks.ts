import type { Outcome } from '../../src/connector/contract.js';
import type { Row } from '../../src/model/value.js';

/**
 * How a transaction of ours says so in the write-ahead log (I8): transactional logical messages around its rows.
 *
 *   message first {"v":1,"commands":3}        this transaction is ours
 *   row, row, …                               what the commands and the triggers wrote
 *   message last  {"v":1,"part":1,"parts":1,"outcomes":[["contact","b:17","b:4","1234"],…]}
 *   COMMIT                                    rows after the last message are edits
 *
 * An outcome `applied` is written short, because nearly all are: entity, command, link, key. The others
 * are written whole. A row is a command's write when its table and key are those of an outcome `applied`; all changes of that
 * row up to the last message go on as one, so that a trigger's second change shows in the command's own image, where the
 * decision finds it as a rewrite. Any other row is an edit. A transaction with no complete last message is nothing but edits.
 */
export type Mark =
  /** Our transaction begins; `commands` is an upper bound of the outcomes to come. */
  | { readonly kind: 'first'; readonly commands: number }
  /** Its outcomes; the transaction's commands are all told once part `parts` has come. */
  | { readonly kind: 'last'; readonly part: number; readonly parts: number; readonly outcomes: readonly Outcome[] };

/** Characters of outcomes in one message, give or take a piece. */
const MAX_PART_LENGTH = 256 * 1024;
const OUTCOMES_A_PIECE = 100;

/** An image met that is longer than this is told without its large values. */
const MAX_IMAGE_LENGTH = 512 * 1024;
const LARGE_VALUE_LENGTH = 32 * 1024;

/** The prefix of a sync's messages in the log. */
export function markPrefix(prefix: string, sync: string): string {
  return `duolog:${prefix}:${sync}`;
}

/** The sync that wrote a message with this prefix, or null if it is not ours. */
export function syncOfMark(messagePrefix: string, prefix: string): string | null {
  const start = markPrefix(prefix, '');
  return messagePrefix.startsWith(start) ? messagePrefix.slice(start.length) : null;
}

export function firstMark(commands: number): string {
  return JSON.stringify({ v: 1, commands });
}

/** The messages that close a transaction: at least one, also without outcomes. */
export function lastMarks(outcomes: readonly Outcome[]): string[] {
  const bodies: string[] = [];
  let body: string[] = [];
  let length = 0;
  for (let at = 0; at < outcomes.length; at += OUTCOMES_A_PIECE) {
    const text = piece(outcomes.slice(at, at + OUTCOMES_A_PIECE));
    if (body.length > 0 && length + text.length > MAX_PART_LENGTH) {
      bodies.push(body.join(','));
      body = [];
      length = 0;
    }
    body.push(text);
    length += text.length;
  }
  bodies.push(body.join(','));
  return bodies.map((each, at) => `{"v":1,"part":${at + 1},"parts":${bodies.length},"outcomes":[${each}]}`);
}

/** @throws Error for a message of another format. */
export function readMark(content: string): Mark {
  const mark = JSON.parse(content, reviveInt64) as {
    readonly v: number;
    readonly commands?: number;
    readonly part?: number;
    readonly parts?: number;
    readonly outcomes?: readonly (Outcome | ShortApplied)[];
  };
  if (mark.v !== 1) throw new Error(`The message has format ${mark.v}; this version reads format 1`);
  if (mark.outcomes === undefined) return { kind: 'first', commands: mark.commands ?? 0 };
  return { kind: 'last', part: mark.part ?? 1, parts: mark.parts ?? 1, outcomes: mark.outcomes.map(wholeOutcome) };
}

/** Outcomes as one text, for the sink's own table. */
export function outcomesText(outcomes: readonly Outcome[]): string {
  return `[${outcomes.length === 0 ? '' : piece(outcomes)}]`;
}

export function readOutcomes(text: string): Outcome[] {
  return (JSON.parse(text, reviveInt64) as (Outcome | ShortApplied)[]).map(wholeOutcome);
}

type ShortApplied = readonly [entity: string, command: string, link: string, key: string];

function wholeOutcome(outcome: Outcome | ShortApplied): Outcome {
  if (!Array.isArray(outcome)) return outcome as Outcome;
  const [entity, command, link, key] = outcome as ShortApplied;
  return { command, link, entity, status: 'applied', key };
}

/** Some outcomes, as the elements of a JSON array. */
function piece(outcomes: readonly Outcome[]): string {
  return JSON.stringify(outcomes.map(shortOutcome), int64AsListWhereMet(outcomes)).slice(1, -1);
}

function shortOutcome(outcome: Outcome): Outcome | ShortApplied {
  if (outcome.status === 'applied') return [outcome.entity, outcome.command, outcome.link, outcome.key];
  if (outcome.status !== 'refused' || outcome.met === null) return outcome;
  const met = imageToTell(outcome.met);
  return met === outcome.met ? outcome : { ...outcome, met };
}

/** As much of an image met as is told of it: one that is too long goes without its large values. */
export function imageToTell(met: Row): Row {
  const length = Object.values(met).reduce<number>((sum, value) => sum + String(value).length, 0);
  return length <= MAX_IMAGE_LENGTH ? met : withoutLargeValues(met);
}

/** Only an image holds bigints, and looking at every value takes time. */
function int64AsListWhereMet(outcomes: readonly Outcome[]) {
  return outcomes.some(({ status }) => status === 'refused') ? int64AsList : undefined;
}

/** A column that is missing was not sent: no large value is worth a message that nobody can take. */
function withoutLargeValues(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).filter(([, value]) => typeof value !== 'string' || value.length <= LARGE_VALUE_LENGTH),
  );
}

/** JSON has no bigint: an int64 beyond the safe integers is `["…"]`; nothing else here is a list of one text. */
function int64AsList(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? [String(value)] : value;
}

function reviveInt64(_name: string, value: unknown): unknown {
  if (!Array.isArray(value) || value.length !== 1 || typeof value[0] !== 'string') return value;
  return BigInt(value[0]);
}
