import type { Output } from './output.js';

/** What a run would do with one entity: numbers, and records of each kind by key. Never a record's values. */
export interface EntityObservation {
  readonly entity: string;
  /** Things known, whichever systems have them. */
  readonly records: number;
  /** Of these, those that two or more systems have. */
  readonly linked: number;
  /** `insert`, `update`, `delete` by system. */
  readonly would: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Decisions of this run by kind: `first-link`, `conflict`, … */
  readonly decisions: Readonly<Record<string, number>>;
  /** Decisions that runs before this one left in the topic. */
  readonly earlierDecisions: number;
  /** Holds by reason, `paused` (what would be done) left out. */
  readonly held: Readonly<Record<string, number>>;
  /** At most `--list` of each kind. */
  readonly examples: readonly Example[];
  /** By kind, how many more there are than `examples` has. */
  readonly leftOut: Readonly<Record<string, number>>;
}

export interface Example {
  /** `linked`, `would insert`, `held duplicate`, `decision first-link`, …: what it is, and which. */
  readonly kind: string;
  /** `crm 5001 = erp C000017` */
  readonly text: string;
}

/** What an observed system keeps for us until somebody says that it shall not. */
export interface Remainder {
  readonly system: string;
  readonly message: string;
  readonly statement: string;
}

/** What was observed, ready to be printed. */
export class Observation {
  constructor(
    readonly entities: readonly EntityObservation[],
    readonly remains: readonly Remainder[],
  ) {}

  print(output: Output): void {
    for (const seen of this.entities) printEntity(seen, output);
    if (this.remains.length > 0) output.line(output.paint('bold', 'What stays'));
    for (const { system, message, statement } of this.remains) {
      output.line(`  ${system}: ${message}`);
      output.line(`      ${statement}`);
    }
    output.result({ entities: this.entities, remains: this.remains });
  }
}

function printEntity(seen: EntityObservation, output: Output): void {
  output.line(output.paint('bold', seen.entity));
  output.line(`  ${seen.records} records, ${seen.linked} of them in more than one system`);
  for (const [system, operations] of Object.entries(seen.would)) {
    output.line(`  would do in ${system}: ${countsText(operations)}`);
  }
  if (Object.keys(seen.decisions).length > 0) output.line(`  decisions: ${countsText(seen.decisions)}`);
  if (seen.earlierDecisions > 0) output.line(`  decisions of earlier runs, not listed: ${seen.earlierDecisions}`);
  if (Object.keys(seen.held).length > 0) output.line(`  held: ${countsText(seen.held)}`);
  for (const kind of new Set(seen.examples.map((example) => example.kind))) {
    const texts = seen.examples.filter((example) => example.kind === kind);
    for (const { text } of texts) output.line(output.paint('dim', `    ${kind}: ${text}`));
    const more = seen.leftOut[kind];
    if (more !== undefined)
      output.line(output.paint('dim', `    ${kind}: ${more} more; --list ${more + texts.length} shows them`));
  }
}

function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ');
}

export interface CanonicalValue {
  readonly keys: Readonly<Record<string, string>>;
}

export interface DecisionValue {
  readonly link: string;
  readonly decision: string;
  readonly group: string | null;
  /** Missing in what versions without it have told. */
  readonly merged?: string | null;
  readonly winner: string | null;
  readonly rule: string;
}

export interface HoldValue {
  readonly link: string;
  readonly system: string;
  readonly reason: string;
  readonly detail: string;
  readonly key: string | null;
}

/** `observing: would insert` is what the decision writes into the hold of a command that it does not send. */
const WOULD = /^observing: would (\w+)/;

/** Gathers what the canonical, hold and decision topics of one entity say, in this order. */
export class EntityCounts {
  /** Text of a link's keys by link; compacted topics may still have older records of a link. */
  private readonly links = new Map<string, { readonly text: string; readonly systems: number }>();
  private readonly holds = new Map<string, HoldValue>();
  private readonly decisions: Record<string, number> = {};
  private earlierDecisions = 0;
  private readonly examples = new Map<string, string[]>();
  private readonly leftOut: Record<string, number> = {};

  /** At most `listed` examples of each kind are kept. */
  constructor(private readonly listed: number) {}

  canonical(link: string, value: CanonicalValue | null): void {
    if (value === null) {
      this.links.delete(link);
      return;
    }
    const keys = Object.entries(value.keys);
    this.links.set(link, { text: keys.map(([system, key]) => `${system} ${key}`).join(' = '), systems: keys.length });
  }

  hold(key: string, value: HoldValue | null): void {
    if (value === null) this.holds.delete(key);
    else this.holds.set(key, value);
  }

  decision({ decision, group, link, merged, rule, winner }: DecisionValue, ofThisRun: boolean): void {
    if (!ofThisRun) {
      this.earlierDecisions++;
      return;
    }
    this.decisions[decision] = (this.decisions[decision] ?? 0) + 1;
    const outcome = merged ? `takes in ${this.nameOf(merged)}` : winner === null ? 'nobody wins' : `${winner} wins`;
    this.example(`decision ${decision}`, `${this.nameOf(link)}: ${group ?? 'the whole record'}: ${outcome}: ${rule}`);
  }

  of(entity: string): EntityObservation {
    const would: Record<string, Record<string, number>> = {};
    const held: Record<string, number> = {};
    let linked = 0;
    for (const { text, systems } of this.links.values()) {
      if (systems < 2) continue;
      linked++;
      this.example('linked', text);
    }
    for (const { system, reason, detail, key, link } of this.holds.values()) {
      const operation = reason === 'paused' ? WOULD.exec(detail)?.[1] : undefined;
      if (operation === undefined) {
        held[reason] = (held[reason] ?? 0) + 1;
        this.example(`held ${reason}`, `${key === null ? this.nameOf(link) : `${system} ${key}`}: ${detail}`);
        continue;
      }
      const operations = (would[system] ??= {});
      operations[operation] = (operations[operation] ?? 0) + 1;
      this.example(`would ${operation}`, `${this.nameOf(link)} in ${system}`);
    }
    const examples = Array.from(this.examples, ([kind, texts]) => texts.map((text) => ({ kind, text })));
    return {
      entity,
      records: this.links.size,
      linked,
      would,
      decisions: this.decisions,
      earlierDecisions: this.earlierDecisions,
      held,
      examples: examples.flat(),
      leftOut: this.leftOut,
    };
  }

  private nameOf(link: string): string {
    return this.links.get(link)?.text ?? link;
  }

  private example(kind: string, text: string): void {
    const texts = this.examples.get(kind) ?? [];
    this.examples.set(kind, texts);
    if (texts.length < this.listed) texts.push(text);
    else this.leftOut[kind] = (this.leftOut[kind] ?? 0) + 1;
  }
}
