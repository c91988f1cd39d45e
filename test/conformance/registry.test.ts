import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Encoders } from '../../src/avro/codec.js';
import { ChangeEncoder } from '../../src/avro/change-codec.js';
import { CommandEncoder, commandSchema } from '../../src/avro/command-codec.js';
import { layoutOf } from '../../src/avro/layout.js';
import { HttpSchemaRegistry } from '../../src/avro/registry.js';
import { KeyEncoder } from '../../src/avro/progress-codec.js';
import type { ColumnType, TableShape } from '../../src/model/table.js';
import { sharedRegistry, uniquePrefix } from '../support/shared.js';

/** Our schemas at a real registry: registered once, the next ones held to the rule, every refusal in words. */
let url: string;
let gate: Server | null = null;

beforeAll(async () => {
  url = await sharedRegistry();
});

afterEach(() => {
  gate?.close();
  gate?.closeAllConnections();
  gate = null;
});

describe('schemas of a change topic', () => {
  it('are registered once, under the rules that subscribers count on', async () => {
    const topic = `${uniquePrefix()}.change.crm.company`;
    const id = async () => {
      const encoders = new Encoders(new HttpSchemaRegistry({ url }));
      await KeyEncoder.register(encoders, topic);
      await ChangeEncoder.register(encoders, topic, table({ name: TEXT }), 1_000_000);
      return ask(`/subjects/${topic}-value/versions`);
    };
    expect(await id()).toEqual([1]);
    expect(await id()).toEqual([1]);
    expect(await ask(`/config/${topic}-value`)).toMatchObject({ compatibilityLevel: 'BACKWARD_TRANSITIVE' });
    expect(await ask(`/config/${topic}-key`)).toMatchObject({ compatibilityLevel: 'FULL' });
  });

  it('have one id for processes that register them at the same moment', async () => {
    const prefix = uniquePrefix();
    for (let round = 0; round < 5; round++) {
      const schema = { type: 'record', name: `Round${round}`, fields: [] } as const;
      const processes = Array.from({ length: 6 }, () => new HttpSchemaRegistry({ url }));
      const ids = await Promise.all(processes.map((each) => each.register(`${prefix}.${round}`, 'value', schema)));
      expect(new Set(ids).size).toBe(1);
    }
  });

  it('come back as they were given, as far as messages are read by them', async () => {
    const registering = new Encoders(new HttpSchemaRegistry({ url }));
    const { schemaId } = await CommandEncoder.register(registering, `${uniquePrefix()}.command.customers.crm`);
    const stored = await new HttpSchemaRegistry({ url }).schema(schemaId);
    expect(layoutOf(stored)).toBe(layoutOf(commandSchema()));
  });

  it('may gain and lose columns', async () => {
    const topic = `${uniquePrefix()}.change.crm.company`;
    for (const columns of [{ name: TEXT }, { name: TEXT, since: DATE }, { since: DATE }]) {
      await ChangeEncoder.register(new Encoders(new HttpSchemaRegistry({ url })), topic, table(columns), 1_000_000);
    }
    expect(await ask(`/subjects/${topic}-value/versions`)).toEqual([1, 2, 3]);
  });

  it('are refused where a column becomes what its readers cannot read, and the topic keeps the ones it has', async () => {
    const topic = `${uniquePrefix()}.change.crm.company`;
    const encoders = new Encoders(new HttpSchemaRegistry({ url }));
    await ChangeEncoder.register(encoders, topic, table({ name: TEXT }), 1_000_000);
    await expect(ChangeEncoder.register(encoders, topic, table({ name: BOOLEAN }), 1_000_000)).rejects.toMatchObject({
      code: 'SCHEMA_INCOMPATIBLE',
      retry: 'operator',
      message: expect.stringContaining(`${topic}-value`),
    });
    expect(await ask(`/subjects/${topic}-value/versions`)).toEqual([1]);
  });
});

describe('what is wrong is named', () => {
  it('a schema that the registry does not have', async () => {
    await expect(new HttpSchemaRegistry({ url }).schema(987_654_321)).rejects.toMatchObject({ code: 'SCHEMA_UNKNOWN' });
  });

  it('a registry that is away; another address is tried', async () => {
    const away = `http://127.0.0.1:${await closedPort()}`;
    const topic = uniquePrefix();
    await expect(new HttpSchemaRegistry({ url: away }).register(topic, 'value', 'string')).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
    });
    const both = new HttpSchemaRegistry({ url: `${away},${url}` });
    expect(await both.register(topic, 'value', 'string')).toBeGreaterThan(0);
  });

  it('a wrong login, without its password; the right one opens', async () => {
    const address = await gated('duolog', 'p@ss word');
    const at = (password: string) =>
      new HttpSchemaRegistry({ url: address.replace('://', `://duolog:${encodeURIComponent(password)}@`) });
    const topic = uniquePrefix();
    await expect(at('guessed-secret').register(topic, 'value', 'string')).rejects.toMatchObject({
      code: 'REGISTRY_REFUSED',
      message: expect.not.stringContaining('guessed-secret'),
    });
    expect(await at('p@ss word').register(topic, 'value', 'string')).toBeGreaterThan(0);
  });
});

const TEXT: ColumnType = { kind: 'text', maxLength: null };
const DATE: ColumnType = { kind: 'date' };
const BOOLEAN: ColumnType = { kind: 'boolean' };

function table(columns: Readonly<Record<string, ColumnType>>): TableShape {
  const common = { nativeType: '', nullable: true, hasDefault: false, generated: false, comment: null };
  const all = Object.entries({ id: TEXT, ...columns }).map(([name, type]) => ({ ...common, name, type }));
  return { system: 'crm', entity: 'company', table: 'public.company', columns: all, key: ['id'], comment: null };
}

async function ask(path: string): Promise<unknown> {
  return (await fetch(`${url}${path}`)).json();
}

/** The real registry behind a login, as a company's gateway has it. */
async function gated(user: string, password: string): Promise<string> {
  const expected = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const behind = new URL(url);
  gate = createServer((incoming, answer) => {
    if (incoming.headers.authorization !== expected) {
      answer.writeHead(401, { 'content-type': 'application/json' }).end('{"error_code":401,"message":"who is it?"}');
      return;
    }
    const { method, headers } = incoming;
    const onward = request(
      { host: behind.hostname, port: behind.port, path: incoming.url, method, headers },
      (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
      },
    );
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => gate!.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(gate.address() as AddressInfo).port}${behind.pathname}`;
}

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
