import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { javaCommand } from '../../deploy/dev/jars.js';
import { type LocalKafka, startKafka } from '../../deploy/dev/kafka.js';
import pino from 'pino';
import { Client } from '../../src/kafka/client.js';
import type { KafkaLogOptions } from '../../src/kafka/index.js';
import type { Log } from '../../src/log/contract.js';
import { eventually } from '../support/eventually.js';
import { uniquePrefix } from '../support/shared.js';
import { keysOf, message, openTestLog, pollUntil, readAll } from './kafka-log.js';

const run = promisify(execFile);

/** The protocol's numbers for rights. */
const ACL = { topic: 2, transactionalId: 5, literal: 3, any: 1, all: 2, write: 4, deny: 2, allow: 3 };

/** TLS, passwords and rights, on a broker that has all of them. */
let kafka: LocalKafka;
let folder: string;
let certificate: string;
let root: Log;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'duolog-certificates-'));
  certificate = await makeCertificate(join(folder, 'broker.p12'));
  kafka = await startKafka({
    settings: {
      'listener.security.protocol.map': 'PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT',
      'sasl.enabled.mechanisms': 'PLAIN',
      'sasl.mechanism.inter.broker.protocol': 'PLAIN',
      'listener.name.plaintext.plain.sasl.jaas.config':
        'org.apache.kafka.common.security.plain.PlainLoginModule required username="root" password="root-secret" ' +
        'user_root="root-secret" user_duolog="secret";',
      'ssl.keystore.type': 'PKCS12',
      'ssl.keystore.location': join(folder, 'broker.p12'),
      'ssl.keystore.password': 'changeit',
      'ssl.truststore.type': 'PKCS12',
      'ssl.truststore.location': join(folder, 'broker.p12'),
      'ssl.truststore.password': 'changeit',
      'ssl.endpoint.identification.algorithm': '',
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:root;User:ANONYMOUS',
    },
  });
  root = await eventually(() => openTestLog(kafka.brokers, as('root', 'root-secret')));
});

afterAll(async () => {
  await root?.close();
  await kafka?.destroy();
  await rm(folder, { recursive: true, force: true });
});

it('everything works over TLS with a password', async () => {
  const topic = uniquePrefix();
  await root.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }]);
  const producer = await root.producer(uniquePrefix());
  const consumed = { group: uniquePrefix(), offsets: [{ topic, offset: 0 }] };
  await producer.commit({ task: 'stream', sends: [{ topic, messages: [message('a')] }], consumed });
  expect(keysOf(await readAll(root, topic))).toEqual(['a']);
  const reader = await root.reader([{ topic, offset: 0 }]);
  expect(keysOf(await pollUntil(reader, 1))).toEqual(['a']);
  const tenure = await root.lease(uniquePrefix()).acquire(new AbortController().signal);
  await tenure.release();
});

describe('what is wrong is named', () => {
  it('a wrong password', async () => {
    await expect(openTestLog(kafka.brokers, as('duolog', 'wrong'))).rejects.toMatchObject({
      code: 'KAFKA_NOT_ALLOWED',
      message: expect.not.stringContaining('wrong'),
    });
  });

  it('a certificate that nobody here trusts', async () => {
    const { ssl: _ssl, ...trusting } = as('root', 'root-secret');
    await expect(openTestLog(kafka.brokers, { ...trusting, ssl: true })).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
      message: expect.stringContaining('self-signed certificate'),
    });
  });

  it('no TLS where it is needed', async () => {
    const { ssl: _ssl, ...plain } = as('root', 'root-secret');
    await expect(openTestLog(kafka.brokers, { ...plain, requestTimeoutMs: 1_000 })).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
    });
  });

  it('rights that are lacking: to topics, transactional ids and groups', async () => {
    const topic = uniquePrefix();
    await root.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }]);
    const log = await openTestLog(kafka.brokers, as('duolog', 'secret'));
    const refused = { code: 'KAFKA_NOT_ALLOWED' };
    const spec = { name: uniquePrefix(), cleanup: 'delete', retentionMs: null } as const;
    await expect(log.ensureTopics([spec])).rejects.toMatchObject(refused);
    await expect(log.bounds(topic)).rejects.toMatchObject(refused);
    await expect(readAll(log, topic)).rejects.toMatchObject(refused);
    await expect(log.reader([{ topic, offset: 0 }])).rejects.toMatchObject(refused);
    await expect(log.producer(uniquePrefix())).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('TRANSACTIONAL_ID_AUTHORIZATION_FAILED'),
    });
    await expect(log.lease(uniquePrefix()).acquire(new AbortController().signal)).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining('GROUP_AUTHORIZATION_FAILED'),
    });
    await log.close();
  });
});

it('appending needs no right but that to write the topic', async () => {
  const topic = uniquePrefix();
  await root.ensureTopics([{ name: topic, cleanup: 'delete', retentionMs: null }]);
  await allow([{ resourceType: ACL.topic, resourceName: topic }]);
  const log = await openTestLog(kafka.brokers, as('duolog', 'secret'));
  await (await log.appender()).append([{ topic, messages: [message('a')] }]);
  expect(keysOf(await readAll(root, topic))).toEqual(['a']);
  await log.close();
});

it('one forbidden topic among allowed ones is the reason given for them all', async () => {
  const topics = [0, 1, 2, 3, 4].map((number) => `${uniquePrefix()}.${number}`);
  await root.ensureTopics(topics.map((name) => ({ name, cleanup: 'delete', retentionMs: null })));
  const id = uniquePrefix();
  const [forbidden = '', ...allowed] = topics;
  await allow([
    { resourceType: ACL.transactionalId, resourceName: id },
    ...[forbidden, ...allowed].map((resourceName) => ({ resourceType: ACL.topic, resourceName })),
  ]);
  await allow([{ resourceType: ACL.topic, resourceName: forbidden }], ACL.deny);
  const log = await openTestLog(kafka.brokers, as('duolog', 'secret'));
  const producer = await log.producer(id);
  const sends = [...allowed, forbidden].map((topic) => ({ topic, messages: [message('a')] }));
  await expect(producer.commit({ task: 'stream', sends })).rejects.toMatchObject({
    code: 'KAFKA_NOT_ALLOWED',
    message: expect.stringContaining('TOPIC_AUTHORIZATION_FAILED'),
  });
  await log.close();
});

async function allow(
  resources: readonly { readonly resourceType: number; readonly resourceName: string }[],
  permissionType: number = ACL.allow,
): Promise<void> {
  const logger = pino({ level: 'silent' });
  const options = { brokers: kafka.brokers, clientId: 'root', logger, ...as('root', 'root-secret') };
  const admin = new Client(options).admin();
  await admin.connect();
  await admin.createAcls({
    acl: resources.map((resource) => ({
      ...resource,
      resourcePatternType: ACL.literal,
      principal: 'User:duolog',
      host: '*',
      // To describe it stays allowed where writing is denied, or the topic would not even be seen.
      operation: permissionType === ACL.deny ? ACL.write : ACL.all,
      permissionType,
    })),
  });
  // The broker applies them a moment after they are made.
  const mine = { principal: 'User:duolog', operation: ACL.any, permissionType, resourcePatternType: ACL.literal };
  await eventually(
    async () => {
      for (const { resourceType, resourceName } of resources) {
        const { resources: found } = await admin.describeAcls({ ...mine, resourceType, resourceName });
        if (found.length === 0) return false;
      }
      return true;
    },
    { what: 'the rights to hold' },
  );
  await admin.disconnect();
}

function as(username: string, password: string): Partial<KafkaLogOptions> {
  return { ssl: { ca: certificate }, sasl: { mechanism: 'plain', username, password } };
}

/** A key store with a certificate for this machine, signed by itself; gives the certificate as PEM. */
async function makeCertificate(store: string): Promise<string> {
  const java = javaCommand();
  const keytool = java === 'java' ? 'keytool' : join(dirname(java), 'keytool');
  const options = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).flatMap(([name, value]) => [`-${name}`, value]);
  const common = options({ keystore: store, storepass: 'changeit', alias: 'broker' });
  await run(keytool, [
    '-genkeypair',
    ...options({ keyalg: 'EC', groupname: 'secp256r1', storetype: 'PKCS12', validity: '2', keypass: 'changeit' }),
    ...options({ dname: 'CN=localhost', ext: 'SAN=DNS:localhost,IP:127.0.0.1' }),
    ...common,
  ]);
  const { stdout } = await run(keytool, ['-exportcert', '-rfc', ...common]);
  return stdout;
}
