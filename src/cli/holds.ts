import { HttpSchemaRegistry } from '../avro/registry.js';
import { loadConfiguration } from '../config/load.js';
import { registryOptions } from '../config/registry-connection.js';
import { TopicNames } from '../log/topics.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { refuseUnknown } from './known-names.js';
import type { HoldValue } from './observation.js';
import type { Output } from './output.js';
import { openQuietLog } from './quiet-log.js';
import { presentTopics, readRecords } from './read-observation.js';

export interface HoldsOptions {
  readonly config: string;
  /** All where none is named, as with `entity`. */
  readonly system?: string;
  readonly entity?: string;
  /** Most that are listed. */
  readonly limit: number;
}

/** Why a record waits, as a hold topic tells it. */
interface Reason {
  readonly reason: string;
  readonly group: string | null;
  readonly detail: string;
  /** In microseconds; null where it began with something that had no time of its own. */
  readonly since: number | null;
}

interface HeldValue extends HoldValue, Reason {
  readonly others: readonly Reason[];
}

/** A record that waits; times as ISO 8601. Never a record's values. */
export interface ListedHold extends ListedReason {
  readonly entity: string;
  readonly system: string;
  readonly link: string;
  /** Null for a record that is not there yet, or whose key is not known. */
  readonly key: string | null;
  /** Where it waits for several things: the others. */
  readonly others: readonly ListedReason[];
}

type ListedReason = Omit<Reason, 'since'> & { readonly since: string | null };

/**
 * `duolog holds`: the records that wait, the longest waiting first, with the reason. Read from the hold topics, so that
 * no process need run.
 */
export async function holds(options: HoldsOptions, output: Output): Promise<ExitCode> {
  const { configuration } = loadConfiguration(options.config);
  const { kafka, prefix, syncs, systems } = configuration;
  const known = Object.values(syncs).flatMap(({ entities }) => Object.keys(entities));
  refuseUnknown('system', options.system === undefined ? [] : [options.system], Object.keys(systems));
  refuseUnknown('entity', options.entity === undefined ? [] : [options.entity], known);
  const log = await openQuietLog(kafka);
  const found: ListedHold[] = [];
  try {
    const registry = new HttpSchemaRegistry(registryOptions(kafka));
    const topics = new TopicNames(prefix);
    const wanted = options.entity === undefined ? known : [options.entity];
    const present = await presentTopics(
      log,
      wanted.map((entity) => topics.hold(entity)),
    );
    for (const entity of wanted.filter((name) => present.includes(topics.hold(name)))) {
      const held = new Map<string, ListedHold>();
      await readRecords<HeldValue>({ log, registry }, topics.hold(entity), ({ key, value }) => {
        // A key is of one system for ever, so that of another one need not be remembered.
        if (value === null) held.delete(key);
        else if (options.system === undefined || value.system === options.system) held.set(key, listed(entity, value));
      });
      found.push(...held.values());
    }
  } finally {
    await log.close();
  }
  print(found.sort(byBeginning), options.limit, output);
  return EXIT.OK;
}

function listed(entity: string, value: HeldValue): ListedHold {
  const { link, system, key } = value;
  // Missing in what versions without it have told.
  const others = (value.others ?? []).map(listedReason);
  return { entity, system, key, link, ...listedReason(value), others };
}

function listedReason({ reason, group, detail, since }: Reason): ListedReason {
  return { reason, group, detail, since: since === null ? null : new Date(since / 1000).toISOString() };
}

function byBeginning(left: ListedHold, right: ListedHold): number {
  return (left.since ?? '').localeCompare(right.since ?? '');
}

function print(found: readonly ListedHold[], limit: number, output: Output): void {
  const shown = found.slice(0, limit);
  const leftOut = found.length - shown.length;
  for (const { entity, system, key, link, others, ...first } of shown) {
    output.line(`${output.paint('bold', `${entity} ${system} ${key ?? '(no key)'}`)}  link ${link}`);
    for (const { reason, group, since, detail } of [first, ...others]) {
      const what = group === null ? reason : `${reason} (${group})`;
      output.line(`  ${output.paint('yellow', what)}${since === null ? '' : ` since ${since}`}: ${detail}`);
    }
  }
  output.line(found.length === 0 ? 'Nothing is held.' : `${found.length} held.`);
  if (leftOut > 0) output.line(`${leftOut} of them not listed; --limit ${found.length} shows them.`);
  output.result({ held: found.length, holds: shown, leftOut });
}
