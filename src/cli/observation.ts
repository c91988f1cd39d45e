import { Decoder } from '../avro/codec.js';
import type { SchemaRegistry } from '../avro/registry.js';
import { keyOf } from '../avro/progress-codec.js';
import type { Log } from '../log/contract.js';
import { TopicNames } from '../log/topics.js';
import type { SyncPlan } from '../plan/plan.js';
import type { Output } from './output.js';

/** What a run would do with one entity: numbers, and the first of each kind by key. Never a record's values. */
export interface EntityObservation {
  readonly entity: string;
  /** Things known, whichever systems have them. */
  readonly records: number;
  /** Of these, those that two or more systems have. */
  readonly linked: number;
  /** `insert`, `update`, `delete` by system. */
  readonly would: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Decisions by kind: `conflict`, `first-link`, … */
  readonly decisions: Readonly<Record<string, number>>;
  /** Holds by reason, `paused` (what would be done) left out. */
  readonly held: Readonly<Record<string, number>>;
  readonly examples: readonly Example[];
}

export interface Example {
  readonly kind: 'linked' | 'insert' | 'conflict' | 'duplicate';
  /** `crm 5001 = erp C000017` */
  readonly text: string;
}

const EXAMPLES_OF_A_KIND = 20;

/** What was observed, ready to be printed. */
export class Observation {
  constructor(readonly entities: readonly EntityObservation[]) {}

  print(output: Output): void {
    for (const seen of this.entities) {
      output.line(output.paint('bold', seen.entity));
      output.line(`  ${seen.records} records, ${seen.linked} of them in more than one system`);
      for (const [system, operations] of Object.entries(seen.would)) {
        output.line(`  would do in ${system}: ${countsText(operations)}`);
      }
      if (Object.keys(seen.decisions).length > 0) output.line(`  decisions: ${countsText(seen.decisions)}`);
      if (Object.keys(seen.held).length > 0) output.line(`  held: ${countsText(seen.held)}`);
      for (const { kind, text } of seen.examples) output.line(output.paint('dim', `    ${kind}: ${text}`));
    }
    output.result({ entities: this.entities });
  }
}

function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ');
}

/** Reads the canonical, decision and hold topics of every entity from their beginning. */
export async function readObservation(
  log: Log,
  registry: SchemaRegistry,
  plans: readonly SyncPlan[],
): Promise<Observation> {
  const entities: EntityObservation[] = [];
  for (const plan of plans) {
    const topics = new TopicNames(plan.prefix);
    for (const { name } of plan.entities) {
      const seen = new Counts();
      await readRecords(log, registry, topics.canonical(name), (key, value) => seen.canonical(key, value));
      await readRecords(log, registry, topics.decision(name), (_key, value) => seen.decision(value));
      await readRecords(log, registry, topics.hold(name), (key, value) => seen.hold(key, value));
      entities.push(seen.of(name));
    }
  }
  return new Observation(entities);
}

async function readRecords(
  log: Log,
  registry: SchemaRegistry,
  topic: string,
  take: (key: string, value: unknown) => void,
): Promise<void> {
  const decoder = new Decoder(registry);
  await log.readToEnd(topic, 0, async (records) => {
    await decoder.prepare(records.flatMap(({ key, value }) => [key, value]));
    for (const { key, value } of records) {
      if (key !== null) take(keyOf(decoder.decode(key)), value === null ? null : decoder.decode(value).value);
    }
  });
}

interface CanonicalValue {
  readonly keys: Readonly<Record<string, string>>;
}

interface DecisionValue {
  readonly link: string;
  readonly decision: string;
  readonly group: string | null;
  readonly winner: string | null;
  readonly rule: string;
}

interface HoldValue {
  readonly link: string;
  readonly system: string;
  readonly reason: string;
  readonly detail: string;
  readonly key: string | null;
}

/** `observing: would insert` is what the decision writes into the hold of a command that it does not send. */
const WOULD = /^observing: would (\w+)/;

class Counts {
  /** Text of a link's keys by link; compacted topics may still have older records of a link. */
  private readonly links = new Map<string, { readonly text: string; readonly systems: number }>();
  private readonly holds = new Map<string, HoldValue>();
  private readonly decisions: Record<string, number> = {};
  private readonly conflicts: Example[] = [];

  canonical(link: string, value: unknown): void {
    if (value === null) {
      this.links.delete(link);
      return;
    }
    const keys = Object.entries((value as CanonicalValue).keys);
    this.links.set(link, { text: keys.map(([system, key]) => `${system} ${key}`).join(' = '), systems: keys.length });
  }

  decision(value: unknown): void {
    if (value === null) return;
    const { decision, group, link, rule } = value as DecisionValue;
    this.decisions[decision] = (this.decisions[decision] ?? 0) + 1;
    if (decision !== 'conflict' || this.conflicts.length >= EXAMPLES_OF_A_KIND) return;
    const record = this.links.get(link)?.text ?? link;
    this.conflicts.push({ kind: 'conflict', text: `${record}: ${group ?? 'the whole record'}: ${rule}` });
  }

  hold(key: string, value: unknown): void {
    if (value === null) this.holds.delete(key);
    else this.holds.set(key, value as HoldValue);
  }

  of(entity: string): EntityObservation {
    const would: Record<string, Record<string, number>> = {};
    const held: Record<string, number> = {};
    const examples: Example[] = [];
    const add = (example: Example): void => {
      if (examples.filter(({ kind }) => kind === example.kind).length < EXAMPLES_OF_A_KIND) examples.push(example);
    };
    let linked = 0;
    for (const { text, systems } of this.links.values()) {
      if (systems < 2) continue;
      linked++;
      add({ kind: 'linked', text });
    }
    for (const { system, reason, detail, key, link } of this.holds.values()) {
      const record = this.links.get(link)?.text ?? link;
      const operation = reason === 'paused' ? WOULD.exec(detail)?.[1] : undefined;
      if (operation === undefined) {
        held[reason] = (held[reason] ?? 0) + 1;
        if (reason === 'duplicate') add({ kind: 'duplicate', text: `${system} ${key ?? ''}: ${detail}` });
        continue;
      }
      const operations = (would[system] ??= {});
      operations[operation] = (operations[operation] ?? 0) + 1;
      if (operation === 'insert') add({ kind: 'insert', text: `${record} into ${system}` });
    }
    const decisions = this.decisions;
    return {
      entity,
      records: this.links.size,
      linked,
      would,
      decisions,
      held,
      examples: [...examples, ...this.conflicts],
    };
  }
}
