import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import {
  type LocalKafka,
  type LocalPostgres,
  type LocalRegistry,
  startKafka,
  startPostgres,
  startRegistry,
} from '../../deploy/dev/stack.js';
import { Proxy } from './proxy.js';
import { makeVolume, removeVolume, type Volume } from './volumes.js';
import { Witness } from './witness/witness.js';
import type { SystemName } from './world/model.js';

export type VolumeName = 'kafka' | 'crm' | 'erp' | 'state';

/** The servers of a proof, each on a volume of its own; Duolog reaches them through proxies, users and oracle do not. */
export interface Stack {
  readonly folder: string;
  readonly kafka: LocalKafka;
  readonly registry: LocalRegistry;
  readonly databases: Readonly<Record<SystemName, LocalPostgres>>;
  readonly proxies: Readonly<Record<SystemName | 'kafka', Proxy>>;
  readonly proxyPorts: Readonly<Record<SystemName | 'kafka', number>>;
  readonly volumes: Readonly<Record<VolumeName, Volume>>;
  readonly witness: Witness;
  destroy(): Promise<void>;
}

/** A crash of the process loses nothing that was committed; a crash of the machine is not part of this. */
const quickPostgres = { fsync: 'off', full_page_writes: 'off', max_wal_size: '1GB', autovacuum_naptime: '10s' };

export async function startProofStack(): Promise<Stack> {
  const folder = await temporaryFolder('kill');
  const ends: (() => unknown)[] = [() => removeFolder(folder)];
  const keep = <T>(value: T, end: (value: T) => unknown): T => {
    ends.push(() => end(value));
    return value;
  };
  const destroy = async () => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const volume = async (name: string) => keep(await makeVolume(folder, name), removeVolume);
    const volumes = {
      kafka: await volume('kafka'),
      crm: await volume('crm'),
      erp: await volume('erp'),
      state: await volume('state'),
    };
    const proxy = () => keep(new Proxy(), (each) => each.close());
    const proxies = { kafka: proxy(), crm: proxy(), erp: proxy() };
    const proxyPorts = {
      kafka: await proxies.kafka.listen(),
      crm: await proxies.crm.listen(),
      erp: await proxies.erp.listen(),
    };
    const postgres = async (version: 14 | 18, name: SystemName) => {
      const server = await startPostgres({ version, settings: quickPostgres, under: volumes[name].folder });
      proxies[name].targetPort = server.port;
      return keep(server, (each) => each.destroy());
    };
    const kafka = keep(
      await startKafka({ under: volumes.kafka.folder, proxyPort: proxyPorts.kafka, settings: brokerSettings }),
      (each) => each.destroy(),
    );
    proxies.kafka.targetPort = kafka.behindProxyPort;
    const [registry, erp, crm, witness] = await Promise.all([
      startRegistry().then((each) => keep(each, () => each.destroy())),
      postgres(14, 'erp'),
      postgres(18, 'crm'),
      Witness.start(kafka.brokers).then((each) => keep(each, () => each.stop())),
    ]);
    return { folder, kafka, registry, databases: { crm, erp }, proxies, proxyPorts, volumes, witness, destroy };
  } catch (error) {
    await destroy();
    throw error;
  }
}

/** What is trimmed goes soon, so that the witness could be seen to miss something. */
const brokerSettings = { 'log.segment.bytes': 64 * 1024 * 1024 };
