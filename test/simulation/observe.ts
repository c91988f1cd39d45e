import { changeEvent } from '../../src/avro/change-codec.js';
import { Decoder } from '../../src/avro/codec.js';
import { commandOf } from '../../src/avro/command-codec.js';
import { keyOf } from '../../src/avro/progress-codec.js';
import type { Command } from '../../src/connector/contract.js';
import type { FieldValue, StreamEvent } from '../../src/decision/events.js';
import type { CanonicalOutput, DecisionOutput, HeldFor, HoldOutput } from '../../src/decision/outputs.js';
import { SYNC_KEY } from '../../src/decision/state.js';
import type { LogRecord } from '../../src/log/contract.js';
import type { Gap, Observed, Seen } from './oracle/observed.js';
import { REGISTRY } from './tasks.js';
import type { World } from './world.js';

type Reference = {
  readonly link: string | null;
  readonly system: string;
  readonly entity: string;
  readonly key: string;
};
type Told = Readonly<Record<string, unknown>>;

interface Topics {
  readonly events: Seen<StreamEvent>[];
  readonly commands: Seen<{ readonly system: string; readonly command: Command }>[];
  readonly canonical: Seen<CanonicalOutput>[];
  readonly decisions: Seen<DecisionOutput>[];
  readonly holds: Seen<HoldOutput>[];
}

/** Reads what a world's topics were told, as any subscriber would. */
export async function observe(world: World): Promise<Observed> {
  const decoder = new Decoder(REGISTRY);
  const decode = (bytes: Buffer) => decoder.decode(bytes);
  const topics: Topics = { events: [], commands: [], canonical: [], decisions: [], holds: [] };
  const gaps: (Pick<Gap, 'system' | 'entity' | 'told'> & { readonly record: LogRecord })[] = [];
  const relevant = world.records.filter(({ what }) => /\.(change|command|canonical|decision|hold)\./.test(what.topic));
  await decoder.prepare(relevant.flatMap(({ what }) => [what.key, what.value]));
  for (const { order, what: record } of relevant) {
    const [, kind = '', first = '', second = ''] = record.topic.split('.');
    const key = record.key === null ? null : keyOf(decode(record.key));
    switch (kind) {
      case 'change': {
        const what = changeEvent(first, second, key, decode(record.value!));
        topics.events.push({ order, what });
        if (what.kind === 'end' && what.end === 'gap')
          gaps.push({ system: first, entity: second, told: order, record });
        break;
      }
      case 'command':
        topics.commands.push({ order, what: { system: second, command: commandOf(decode(record.value!)) } });
        break;
      case 'canonical':
        topics.canonical.push({
          order,
          what: canonicalOf(first, key!, record.value && toldBy(decode(record.value).value)),
        });
        break;
      case 'decision':
        topics.decisions.push({ order, what: decisionOf(toldBy(decode(record.value!).value)) });
        break;
      case 'hold':
        topics.holds.push({ order, what: holdOf(first, key!, record.value && toldBy(decode(record.value).value)) });
        break;
    }
  }
  const { config, databases, history, lost, resynced } = world;
  const decided = await decidedGaps(world, gaps, decoder);
  return { world: config, databases, history, lost, resynced, gaps: decided, ...topics };
}

/** Each commit of the stream task says how far it has come. */
async function decidedGaps(
  world: World,
  told: readonly (Pick<Gap, 'system' | 'entity' | 'told'> & { readonly record: LogRecord })[],
  decoder: Decoder,
): Promise<Gap[]> {
  if (told.length === 0) return [];
  const commits = world.records.filter(
    ({ what }) => what.topic.includes('.state.') && what.value !== null && what.key!.toString() === SYNC_KEY,
  );
  await decoder.prepare(commits.map(({ what }) => what.value));
  const consumed = commits.map(({ what }) => {
    const { other } = decoder.decode(what.value!).value as { readonly other: string };
    return (JSON.parse(other) as { readonly consumed: Readonly<Record<string, number>> }).consumed;
  });
  return told.flatMap(({ record, ...gap }) => {
    const at = consumed.findIndex((offsets) => offsets[record.topic]! > record.offset);
    // Where nothing came of it, no commit ever followed.
    return at < 0 ? [] : [{ ...gap, decided: commits[at]!.order, after: commits[at - 1]?.order ?? 0 }];
  });
}

function toldBy(value: unknown): Told {
  return value as Told;
}

function canonicalOf(entity: string, link: string, told: Told | null): CanonicalOutput {
  if (told === null) return { kind: 'canonical', entity, link, fields: null, keys: {}, set: {} };
  const fields: Record<string, FieldValue> = {};
  for (const [field, value] of Object.entries(told['fields'] as object)) fields[field] = valueOf(value);
  return { kind: 'canonical', entity, link, fields, keys: told['keys'] as Record<string, string>, set: {} };
}

function decisionOf(told: Told): DecisionOutput {
  const fields = told['fields'] as readonly (Omit<DecisionOutput['fields'][number], 'sides'> & {
    readonly sides: readonly {
      system: string;
      key: string | null;
      value: unknown;
      absent: boolean;
      time: number | null;
    }[];
  })[];
  return {
    kind: 'decision',
    entity: told['entity'] as string,
    link: told['link'] as string,
    decision: told['decision'] as DecisionOutput['decision'],
    group: told['group'] as string | null,
    fields: fields.map(({ field, agreed, sides }) => ({
      field,
      agreed: valueOf(agreed),
      sides: sides.map(({ time, value, ...side }) => ({ ...side, value: valueOf(value), timeMicros: time })),
    })),
    merged: told['merged'] as string | null,
    winner: told['winner'] as string | null,
    rule: told['rule'] as string,
    timeMicros: told['time'] as number | null,
  };
}

function holdOf(entity: string, key: string, told: Told | null): HoldOutput {
  const at = key.lastIndexOf(',');
  const member = { kind: 'hold', entity, link: key.slice(0, at), system: key.slice(at + 1) } as const;
  if (told === null) return { ...member, hold: null };
  const { key: record, others } = told as Told & { key: string | null; others: readonly Told[] };
  return { ...member, hold: { ...heldForOf(told), key: record, others: others.map(heldForOf) } };
}

function heldForOf(told: Told): HeldFor {
  return {
    reason: told['reason'] as HeldFor['reason'],
    group: told['group'] as string | null,
    detail: told['detail'] as string,
    sinceMicros: told['since'] as number | null,
  };
}

function valueOf(value: unknown): FieldValue {
  if (value === null || typeof value !== 'object') return (value ?? null) as FieldValue;
  const { link, system, entity, key } = value as Reference;
  return link === null ? { system, entity, key } : { link };
}
