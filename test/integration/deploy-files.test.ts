import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { removeFolder, temporaryFolder } from '../../deploy/dev/guardian.js';
import { ensureJars, javaCommand } from '../../deploy/dev/jars.js';
import { packageRoot } from '../../deploy/dev/paths.js';
import { loadConfiguration } from '../../src/config/load.js';
import { textOf } from '../support/source-files.js';

const run = promisify(execFile);

interface Service {
  readonly image?: string;
  readonly build?: { readonly dockerfile: string; readonly target?: string };
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
}

const compose = parse(textOf('docker-compose.yml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const { services } = compose;

/** There is no Docker here: what can be known of these files without it. */
describe('docker-compose.yml', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder('compose');
  });
  afterAll(() => removeFolder(folder));

  it('names only services, volumes and files that exist', () => {
    for (const [name, { depends_on = {}, volumes = [] }] of Object.entries(services)) {
      for (const other of Object.keys(depends_on)) expect(services, `${name} needs ${other}`).toHaveProperty(other);
      for (const volume of volumes) {
        const source = volume.split(':')[0] ?? '';
        const known = source.startsWith('./') ? existsSync(join(packageRoot(), source)) : source in compose.volumes;
        expect(known, `${name} mounts ${source}`).toBe(true);
      }
    }
  });

  it('publishes no port twice', () => {
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(new Set(ports.map((port) => port.split(':')[0])).size).toBe(ports.length);
  });

  it('gives Duolog every variable of the example’s configuration, at services that exist', () => {
    const environment = Object.fromEntries(
      Object.entries(services.duolog?.environment ?? {}).map(([name, value]) => [name, String(value)]),
    );
    const { configuration } = loadConfiguration(join(packageRoot(), 'examples/northwind/duolog.yaml'), environment);
    expect(configuration.http.host).toBe('0.0.0.0');
    const urls = [
      configuration.kafka.schemaRegistry.url,
      ...Object.values(configuration.systems).map(({ url }) => url),
    ];
    const hosts = [
      ...urls.map((url) => new URL(url).hostname),
      ...configuration.kafka.brokers.map((broker) => broker.split(':')[0] ?? ''),
    ];
    for (const host of hosts) expect(services).toHaveProperty(host);
  });

  it('gives Kafka settings that its own tool accepts', async () => {
    const { kafka } = await ensureJars();
    const { CLUSTER_ID: cluster, ...environment } = services.kafka?.environment ?? {};
    const settings = Object.entries(environment).map(([name, value]) => {
      const key = name
        .replace(/^KAFKA_/, '')
        .toLowerCase()
        .replaceAll('_', '.');
      return `${key}=${key === 'log.dirs' ? join(folder, 'data') : value}`;
    });
    const file = join(folder, 'server.properties');
    await writeFile(file, settings.join('\n'));
    const format = ['kafka.tools.StorageTool', 'format', '-t', String(cluster), '-c', file];
    const { stdout } = await run(javaCommand(), ['-cp', join(kafka, '*'), ...format], { cwd: folder });
    expect(stdout).toContain('Formatting');
  });

  it('builds only with files that are there, and from a Node.js that package.json allows', () => {
    for (const { build } of Object.values(services)) {
      if (build !== undefined) expect(existsSync(join(packageRoot(), build.dockerfile))).toBe(true);
    }
    const lines = textOf('deploy/Dockerfile').split('\n');
    const copied = lines.flatMap((line) => /^COPY (?!--)(.*) \S+$/.exec(line)?.[1]?.split(' ') ?? []);
    for (const path of copied) expect(existsSync(join(packageRoot(), path)), path).toBe(true);
    const bases = lines.flatMap((line) => /^FROM node:(\d+)/.exec(line)?.[1] ?? []);
    expect(bases.map(Number).every((version) => version >= 20)).toBe(true);
    expect(bases).toHaveLength(2);
  });
});
