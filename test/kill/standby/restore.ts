import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { removeFolder, temporaryFolder } from '../../../deploy/dev/guardian.js';
import { startKafka, startRegistry } from '../../../deploy/dev/stack.js';
import { HttpSchemaRegistry } from '../../../src/avro/registry.js';
import { kafkaLogOptions } from '../../../src/config/kafka-connection.js';
import { checkConfiguration } from '../../../src/config/load.js';
import { registryOptions } from '../../../src/config/registry-connection.js';
import type { Configuration } from '../../../src/config/schema.js';
import { decide } from '../../../src/decision/decide.js';
import type { StreamEvent } from '../../../src/decision/events.js';
import {
  hasCursors,
  initialState,
  type LinkRecord,
  linkKey,
  type StateRecord,
  SYNC_KEY,
  syncRecord,
} from '../../../src/decision/state.js';
import { openLog } from '../../../src/kafka/index.js';
import type { Log } from '../../../src/log/contract.js';
import { TopicNames } from '../../../src/log/topics.js';
import type { ColumnType, TableShape } from '../../../src/model/table.js';
import { compilePlans } from '../../../src/plan/compile.js';
import type { SyncPlan } from '../../../src/plan/plan.js';
import { Changelog } from '../../../src/state/changelog.js';
import { LocalStore } from '../../../src/state/local-store.js';
import type { StateStore } from '../../../src/state/store.js';
import { topicSpecs } from '../../../src/tasks/topic-specs.js';
import { standbyConfiguration } from './standby.js';

/** How long it takes to have a state again. */
export interface RestoreReport {
  readonly links: number;
  readonly writtenMs: number;
  /** Messages of the changelog. */
  readonly messages: number;
  /** Into an empty folder, until every record of the changelog is read. */
  readonly fromChangelogMs: number;
  /** Processor time of that, which says more on a machine that does other things too. */
  readonly fromChangelogCpuMs: number;
  /** With the folder of a process that ended in order. */
  readonly fromOwnStoreMs: number;
  /** Largest resident size, pages of the local store included; and memory of its own at the end of the restore. */
  readonly peakMegabytes: number;
  readonly ownMegabytes: number;
}

const BIRTH = 'birth';
const LINKS_A_TRANSACTION = 5_000;

/**
 * The state of so many links, written to a changelog on a real broker by the shipped store and codec, as the product
 * would have it after compaction, and read again: without databases, so that a million takes a minute or two.
 */
export async function runRestore(links: number, out: string): Promise<number> {
  const [kafka, registry] = await Promise.all([startKafka({ heapMegabytes: 1024 }), startRegistry()]);
  const folder = await temporaryFolder('restore');
  let log: Log | null = null;
  try {
    const text = standbyConfiguration(
      kafka.brokers,
      registry.url,
      'postgres://x/crm',
      'postgres://x/erp',
      folder,
      undefined,
    );
    const { configuration } = checkConfiguration(text, join(folder, 'duolog.yaml'), {});
    log = await openLog(kafkaLogOptions(configuration.kafka, pino({ level: 'silent' })));
    const restore = new Restore(configuration, log, folder, links);
    const report = await restore.measure();
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, 'restore.json'), `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return 0;
  } finally {
    await log?.close();
    await Promise.all([kafka.destroy(), registry.destroy()]);
    await removeFolder(folder);
  }
}

class Restore {
  private readonly plan: SyncPlan;
  private readonly topic: string;

  constructor(
    private readonly configuration: Configuration,
    private readonly log: Log,
    private readonly folder: string,
    private readonly links: number,
  ) {
    const compiled = compilePlans(configuration, [shape('crm'), shape('erp')]);
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
    this.plan = compiled.plans[0]!;
    this.topic = new TopicNames(configuration.prefix).state(this.plan.name);
  }

  async measure(): Promise<RestoreReport> {
    await this.log.ensureTopics(topicSpecs([this.plan], 0));
    const began = Date.now();
    await this.write();
    const writtenMs = Date.now() - began;
    const { earliest, end } = await this.log.bounds(this.topic);
    const before = process.cpuUsage();
    const fromChangelogMs = await this.restore('restored');
    const { user, system } = process.cpuUsage(before);
    const fromChangelogCpuMs = Math.round((user + system) / 1000);
    const ownMegabytes = memory('RssAnon');
    const fromOwnStoreMs = await this.restore('restored');
    const messages = end - earliest;
    const peakMegabytes = memory('VmHWM');
    const restored = { fromChangelogMs, fromChangelogCpuMs, fromOwnStoreMs };
    return { links: this.links, writtenMs, messages, ...restored, peakMegabytes, ownMegabytes };
  }

  private changelog(name: string): { readonly changelog: Changelog; readonly close: () => Promise<void> } {
    const local = new LocalStore(join(this.folder, name));
    const changelog = new Changelog({
      log: this.log,
      registry: new HttpSchemaRegistry(registryOptions(this.configuration.kafka)),
      topic: this.topic,
      plan: this.plan,
      openBacking: () => local.open(),
      nowMs: () => Date.now(),
    });
    const close = async () => {
      await changelog.close();
      await local.release();
    };
    return { changelog, close };
  }

  /** Both records of a link agree, as after a first copy. */
  private async write(): Promise<void> {
    const { changelog, close } = this.changelog('written');
    await changelog.catchUp(null);
    const { store } = changelog;
    const producer = await this.log.producer('restore');
    const commit = async () => {
      const messages = store.seal().map(({ key, bytes }) => ({ key: Buffer.from(key), value: bytes }));
      const { offsets } = await producer.commit({ sends: [{ topic: this.topic, messages }], task: 'stream' });
      store.committed(offsets.get(this.topic)!);
    };
    const first = this.firstLink(store);
    for (let number = 2; number <= this.links; number++) {
      const link = another(first, number);
      store.put(linkKey(link.id), link);
      if (number % LINKS_A_TRANSACTION === 0) await commit();
    }
    store.put(SYNC_KEY, { ...syncRecord(store)!, lastLink: this.links });
    await commit();
    await producer.close();
    await close();
  }

  /** Made by the decision itself; the others are like it. */
  private firstLink(store: StateStore<StateRecord>): LinkRecord {
    initialState(store, { birth: BIRTH, ...this.plan });
    let place = 0;
    const tell = (system: string, event: 'snapshot-begin' | 'read' | 'snapshot') => {
      const position = String(place++).padStart(16, '0');
      const facts = { system, entity: 'item', transaction: '1', position, commitTimeMicros: null };
      const read = { operation: 'read', key: '1', keyChange: null, before: null, unchanged: [], origin: null } as const;
      const told: StreamEvent =
        event === 'read'
          ? { kind: 'change', ...facts, ...read, after: rowOf(1) }
          : { kind: 'end', ...facts, end: event };
      decide(store, told, this.plan);
      while (hasCursors(store)) decide(store, { kind: 'continue' }, this.plan);
    };
    for (const event of ['snapshot-begin', 'read', 'snapshot'] as const)
      for (const system of ['crm', 'erp']) tell(system, event);
    for (let number = 1; number <= 2; number++) {
      const link = store.get(linkKey(idOf(number)));
      if (link?.kind === 'link' && Object.keys(link.members).length === 2) return link;
    }
    throw new Error('The decision made no link of two equal records');
  }

  private async restore(name: string): Promise<number> {
    const { changelog, close } = this.changelog(name);
    const began = Date.now();
    await changelog.catchUp(BIRTH);
    const took = Date.now() - began;
    const last = changelog.store.get(linkKey(idOf(this.links)));
    await close();
    if (last?.kind !== 'link') throw new Error('The last link has not been restored');
    process.stdout.write(`restored after ${took} ms\n`);
    return took;
  }
}

function idOf(number: number): string {
  return `${BIRTH}.${String(number).padStart(12, '0')}`;
}

function rowOf(number: number) {
  return { id: number, code: `code-${number}`, name: `item number ${number}`, stock: number % 1000 };
}

function another(first: LinkRecord, number: number): LinkRecord {
  const { id: _id, ...canonical } = rowOf(number);
  const rematched = (match: readonly string[]) => match.map((value) => value.replace('code-1', canonical.code));
  const members = Object.entries(first.members).map(([system, member]) => [
    system,
    { ...member, key: String(number), seen: rowOf(number), match: rematched(member.match) },
  ]);
  return {
    ...first,
    id: idOf(number),
    canonical,
    match: rematched(first.match),
    members: Object.fromEntries(members) as LinkRecord['members'],
  };
}

function shape(system: string): TableShape {
  const types: Readonly<Record<string, ColumnType>> = {
    id: { kind: 'int64' },
    code: { kind: 'text', maxLength: null },
    name: { kind: 'text', maxLength: null },
    stock: { kind: 'int32' },
  };
  return {
    system,
    entity: 'item',
    table: 'public.item',
    key: ['id'],
    comment: null,
    columns: Object.entries(types).map(([name, type]) => ({
      name,
      type,
      nativeType: '',
      nullable: name !== 'id' && name !== 'code',
      hasDefault: name === 'id',
      generated: false,
      comment: null,
    })),
  };
}

function memory(what: 'VmHWM' | 'RssAnon'): number {
  const kilobytes = new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Math.round(Number(kilobytes) / 1024);
}
