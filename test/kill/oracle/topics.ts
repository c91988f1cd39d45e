import { type AvroReader, textOf, unwrapped } from './avro.js';
import type { TextRow } from '../world/audit.js';
import type { EntityName, SystemName } from '../world/model.js';
import type { WitnessedRecord } from '../witness/witness.js';

export interface ToldChange {
  readonly operation: string;
  readonly system: SystemName;
  readonly entity: EntityName;
  readonly key: string | null;
  readonly before: TextRow | null;
  readonly after: TextRow | null;
  readonly position: string;
  readonly transaction: string;
  /** Null: somebody else's change. */
  readonly origin: { readonly command: string | null } | null;
  readonly outcome: { readonly command: string; readonly status: string } | null;
  readonly end: string | null;
  readonly offset: number;
}

export interface ToldCanonical {
  readonly link: string;
  readonly entity: EntityName;
  /** By field; a reference is its link, or what it names while there is none. Null: the link is no more. */
  readonly fields: Readonly<Record<string, ToldValue>> | null;
  readonly keys: Readonly<Record<string, string>>;
}

export type ToldValue =
  | { readonly kind: 'text'; readonly text: string | null }
  | { readonly kind: 'link'; readonly link: string }
  | { readonly kind: 'key'; readonly system: string; readonly key: string };

export interface ToldDecision {
  readonly link: string;
  readonly entity: EntityName;
  readonly kind: string;
  readonly fields: readonly {
    readonly field: string;
    readonly sides: readonly {
      readonly system: string;
      readonly key: string | null;
      readonly value: ToldValue;
      readonly absent: boolean;
    }[];
  }[];
}

export interface ToldCommand {
  readonly link: string;
  readonly system: string;
  readonly entity: EntityName;
  readonly operation: string;
  sent: number;
}

export interface ToldHold {
  readonly link: string;
  readonly entity: EntityName;
  readonly system: string;
  readonly reason: string;
  readonly detail: string;
  readonly key: string | null;
}

/** Everything that the topics have told a subscriber so far. */
export class ToldTopics {
  readonly changes: ToldChange[] = [];
  readonly decisions: ToldDecision[] = [];
  /** By command id. */
  readonly commands = new Map<string, ToldCommand>();
  /** Command id to how often an outcome topic answered it. */
  readonly outcomes = new Map<string, number>();
  readonly links = new Map<string, ToldCanonical>();
  /** By link and system. */
  readonly holds = new Map<string, ToldHold>();
  /** Record, by system, entity and key, to every link that ever named it. */
  readonly linksOfRecord = new Map<string, Set<string>>();
  /** Records of any topic so far. */
  records = 0;
  lastArrivalMs = Date.now();
  private undecoded: WitnessedRecord[] = [];
  private readonly firstAfter: {
    readonly matches: (topic: string) => boolean;
    readonly afterMs: number;
    found: number | null;
  }[] = [];
  private readonly last = new Map<string, number>();
  readonly gaps: string[] = [];
  /** Records of outcome topics among all. */
  outcomeRecords = 0;
  /** How often commands or outcomes were trimmed before they were read. */
  missedOwn = 0;

  constructor(
    private readonly prefix: string,
    private readonly avro: AvroReader,
  ) {}

  add(record: WitnessedRecord): void {
    this.records++;
    if (record.topic.startsWith(`${this.prefix}.outcome.`)) this.outcomeRecords++;
    this.lastArrivalMs = Date.now();
    const last = this.last.get(record.topic);
    if (last !== undefined && record.offset <= last) this.gaps.push(`${record.topic} told ${record.offset} again`);
    this.last.set(record.topic, record.offset);
    for (const watch of this.firstAfter) {
      if (watch.found === null && record.timeMs > watch.afterMs && watch.matches(record.topic))
        watch.found = record.timeMs;
    }
    if (record.key !== null || record.value !== null) this.undecoded.push(record);
  }

  /** A topic lost records before they were read: topics of Duolog's own only, which are trimmed behind their readers. */
  trimmed(topic: string): void {
    if (/\.(command|outcome)\./.test(topic)) this.missedOwn++;
    else this.gaps.push(`${topic} lost records before a subscriber could read them`);
  }

  /** Watches for the first record that was produced after a moment in one kind of topic: `change`, `command`, … */
  watchFirst(kinds: readonly string[], afterMs: number): () => number | null {
    const starts = kinds.map((kind) => `${this.prefix}.${kind}.`);
    const watch = {
      matches: (topic: string) => starts.some((start) => topic.startsWith(start)),
      afterMs,
      found: null as number | null,
    };
    this.firstAfter.push(watch);
    return () => watch.found;
  }

  /** Understands what has come meanwhile. */
  async decode(): Promise<void> {
    const records = this.undecoded;
    this.undecoded = [];
    for (const record of records) await this.take(record);
  }

  private async take({ topic, offset, key, value }: WitnessedRecord): Promise<void> {
    const [kind, ...rest] = topic.slice(this.prefix.length + 1).split('.');
    switch (kind) {
      case 'change':
        return this.takeChange(rest[0] as SystemName, rest[1] as EntityName, offset, key, value!);
      case 'canonical':
        return this.takeCanonical(rest[0] as EntityName, key!, value);
      case 'decision':
        return this.takeDecision(value!);
      case 'hold':
        return this.takeHold(rest[0] as EntityName, key!, value);
      case 'command':
        return this.takeCommand(rest[1]!, value!);
      case 'outcome':
        return count(this.outcomes, (await this.avro.read<{ readonly command: string }>(value!)).command);
      default:
        throw new Error(`a record of ${topic} was not expected`);
    }
  }

  private async takeChange(
    system: SystemName,
    entity: EntityName,
    offset: number,
    key: Buffer | null,
    value: Buffer,
  ): Promise<void> {
    const change = await this.avro.read<Record<string, unknown>>(value);
    const origin = unwrapped(change['origin']) as { readonly command: unknown } | null;
    const outcome = unwrapped(change['outcome']) as { readonly command: string; readonly status: string } | null;
    this.changes.push({
      operation: change['op'] as string,
      system,
      entity,
      key: key === null ? null : await this.keyOf(key),
      before: rowOf(change['before']),
      after: rowOf(change['after']),
      position: change['position'] as string,
      transaction: change['transaction'] as string,
      origin: origin === null ? null : { command: textOf(origin.command) },
      outcome: outcome === null ? null : { command: outcome.command, status: outcome.status },
      end: textOf(change['end']),
      offset,
    });
  }

  private async takeCanonical(entity: EntityName, key: Buffer, value: Buffer | null): Promise<void> {
    const link = await this.keyOf(key);
    if (value === null) {
      this.links.set(link, { link, entity, fields: null, keys: this.links.get(link)?.keys ?? {} });
      return;
    }
    const told = await this.avro.read<{
      readonly fields: Record<string, unknown>;
      readonly keys: Record<string, string>;
    }>(value);
    const fields = Object.fromEntries(Object.entries(told.fields).map(([name, each]) => [name, toldValue(each)]));
    this.links.set(link, { link, entity, fields, keys: told.keys });
    for (const [system, record] of Object.entries(told.keys)) {
      this.noteLink(recordName(system, entity, record), link);
    }
  }

  private noteLink(record: string, link: string): void {
    const links = this.linksOfRecord.get(record) ?? new Set();
    this.linksOfRecord.set(record, links.add(link));
  }

  private async takeDecision(value: Buffer): Promise<void> {
    const told = await this.avro.read<{
      readonly link: string;
      readonly entity: EntityName;
      readonly decision: string;
      readonly fields: readonly { readonly field: string; readonly sides: readonly Record<string, unknown>[] }[];
    }>(value);
    const fields = told.fields.map(({ field, sides }) => ({
      field,
      sides: sides.map((side) => ({
        system: side['system'] as string,
        key: textOf(side['key']),
        value: toldValue(side['value']),
        absent: side['absent'] as boolean,
      })),
    }));
    // Of a record that went before its link was agreed, only decisions tell where it belonged.
    for (const { sides } of fields) {
      for (const { system, key } of sides)
        if (key !== null) this.noteLink(recordName(system, told.entity, key), told.link);
    }
    this.decisions.push({ link: told.link, entity: told.entity, kind: told.decision, fields });
  }

  private async takeCommand(system: string, value: Buffer): Promise<void> {
    const { id, ...told } = await this.avro.read<Omit<ToldCommand, 'sent'> & { readonly id: string }>(value);
    const known = this.commands.get(id);
    if (known !== undefined) known.sent++;
    else {
      const { entity, link, operation } = told;
      this.commands.set(id, { link, system, entity, operation, sent: 1 });
    }
  }

  private async takeHold(entity: EntityName, key: Buffer, value: Buffer | null): Promise<void> {
    const name = await this.keyOf(key);
    if (value === null) {
      this.holds.delete(name);
      return;
    }
    const told = await this.avro.read<Record<string, unknown>>(value);
    this.holds.set(name, {
      link: told['link'] as string,
      entity,
      system: told['system'] as string,
      reason: told['reason'] as string,
      detail: told['detail'] as string,
      key: textOf(told['key']),
    });
  }

  private async keyOf(key: Buffer): Promise<string> {
    return (await this.avro.read<{ readonly key: string }>(key)).key;
  }
}

export function recordName(system: string, entity: string, key: string): string {
  return `${system} ${entity} ${key}`;
}

function rowOf(wrapped: unknown): TextRow | null {
  const row = unwrapped(wrapped) as Record<string, unknown> | null;
  if (row === null) return null;
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, textOf(value)]));
}

function toldValue(wrapped: unknown): ToldValue {
  const value = unwrapped(wrapped);
  if (value === null || typeof value !== 'object') return { kind: 'text', text: textOf(value) };
  const reference = value as Record<string, unknown>;
  const link = textOf(reference['link']);
  if (link !== null) return { kind: 'link', link };
  return { kind: 'key', system: textOf(reference['system']) ?? '', key: textOf(reference['key']) ?? '' };
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
