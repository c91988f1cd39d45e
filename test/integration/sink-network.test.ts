import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EntitySystemPlan } from '../../src/plan/plan.js';
import {
  apply,
  BIRTH,
  insert,
  progressOf,
  type SinkFixture,
  sinkFixture,
  statuses,
  testedPostgres,
  update,
} from './sink-fixture.js';

const SCHEMA = `
  CREATE TABLE company (id bigint PRIMARY KEY, name text);
  INSERT INTO company SELECT n, 'Company ' || n FROM generate_series(1, 10) n;`;

/** Between the sink and its database: cuts the connection around a COMMIT. */
class Proxy {
  cut: 'before-commit' | 'after-commit' | null = null;
  private readonly sockets = new Set<net.Socket>();

  private constructor(
    private readonly server: net.Server,
    readonly url: string,
  ) {}

  static async start(target: string): Promise<Proxy> {
    const { hostname, port } = new URL(target);
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = new URL(target);
    url.port = String((server.address() as net.AddressInfo).port);
    const proxy = new Proxy(server, url.href);
    server.on('connection', (client) => {
      const database = net.connect(Number(port), hostname);
      proxy.link(client, database);
    });
    return proxy;
  }

  private link(client: net.Socket, database: net.Socket): void {
    let silent = false;
    for (const socket of [client, database]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
    }
    client.on('data', (data) => {
      // Our COMMIT is a simple query: its text stands in the packet.
      const commits = data.includes('COMMIT\0');
      if (commits && this.cut === 'before-commit') return this.end();
      if (commits && this.cut === 'after-commit') silent = true;
      database.write(data);
    });
    database.on('data', (data) => {
      if (silent) this.end();
      else client.write(data);
    });
    client.on('close', () => database.destroy());
    database.on('close', () => client.destroy());
  }

  private end(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  stop(): void {
    this.end();
    this.server.close();
  }
}

describe.each(testedPostgres)('the way to Postgres %s', (version) => {
  let fixture: SinkFixture;
  let company: EntitySystemPlan;
  let proxy: Proxy;

  beforeEach(async () => {
    fixture = await sinkFixture(version, SCHEMA);
    company = await fixture.plan('company');
    proxy = await Proxy.start(fixture.database.url);
  });
  afterEach(async () => {
    proxy.stop();
    await fixture.end();
  });

  test.each(['after-commit', 'before-commit'] as const)(
    'connection cut %s: unknown, and opening again tells',
    async (cut) => {
      const sink = fixture.sink([company], proxy.url);
      await sink.open(BIRTH);
      const batch = [
        update('company', '1', { name: 'Company 1' }, { name: 'One' }),
        insert('company', { id: 50 }, [], '50'),
      ];
      proxy.cut = cut;
      await expect(apply(sink, batch)).rejects.toMatchObject({ code: 'SINK_COMMIT_UNKNOWN', retry: 'backoff' });
      await expect(apply(sink, batch)).rejects.toMatchObject({ code: 'SINK_UNREACHABLE' });
      proxy.cut = null;
      const { progress } = await sink.open(BIRTH);
      const committed = cut === 'after-commit';
      expect(progress).toEqual(committed ? progressOf(batch.map(({ offset }) => offset)) : null);
      expect(await fixture.sql('SELECT name FROM company WHERE id = 1')).toEqual([
        { name: committed ? 'One' : 'Company 1' },
      ]);
      if (!committed) expect(statuses(await apply(sink, batch))).toEqual(['applied', 'applied']);
    },
  );

  test('a target that is away, and is back', async () => {
    const sink = fixture.sink([company], proxy.url);
    await sink.open(BIRTH);
    proxy.stop();
    const batch = [update('company', '2', { name: 'Company 2' }, { name: 'Two' })];
    await expect(apply(sink, batch)).rejects.toMatchObject({ code: 'SINK_UNREACHABLE', retry: 'backoff' });
    await expect(sink.open(BIRTH)).rejects.toMatchObject({ code: 'SINK_UNREACHABLE' });
    const back = fixture.sink([company]);
    await back.open(BIRTH);
    expect(statuses(await apply(back, batch))).toEqual(['applied']);
  });

  test('a wrong password and a missing database need a person', async () => {
    const wrongPassword = new URL(fixture.database.url);
    wrongPassword.password = 'wr0ng-secret';
    const noDatabase = new URL(fixture.database.url);
    noDatabase.pathname = '/nowhere';
    for (const url of [wrongPassword, noDatabase]) {
      const failure = await fixture
        .sink([company], url.href)
        .open(BIRTH)
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'SINK_LOGIN', retry: 'operator' });
      expect(String(failure)).not.toContain('wr0ng-secret');
    }
  });
});
