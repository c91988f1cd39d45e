import type { Database, Servers } from '../servers.js';

/** Settings of Kafka Connect, Debezium and its JDBC sink: tuned, at least once, Avro. */

export const TABLE_TOPIC = 'peer.public.contact';

export function workerSettings(servers: Servers, options: { readonly port: number; readonly plugins: string }): string {
  const converter = (part: string) => [
    `${part}.converter=io.apicurio.registry.utils.converter.AvroConverter`,
    `${part}.converter.apicurio.registry.url=${servers.registry.url.replace('/apis/ccompat/v7', '/apis/registry/v2')}`,
    `${part}.converter.apicurio.registry.auto-register=true`,
    `${part}.converter.apicurio.registry.find-latest=true`,
  ];
  return [
    `bootstrap.servers=${servers.kafka.brokers.join(',')}`,
    'group.id=peer',
    `listeners=http://127.0.0.1:${options.port}`,
    `plugin.path=${options.plugins}`,
    ...['config', 'offset', 'status'].flatMap((name) => [
      `${name}.storage.topic=peer-${name}`,
      `${name}.storage.replication.factor=1`,
    ]),
    'offset.storage.partitions=1',
    'status.storage.partitions=1',
    'topic.creation.enable=true',
    'connector.client.config.override.policy=All',
    ...converter('key'),
    ...converter('value'),
    '',
  ].join('\n');
}

export function sourceSettings({ source }: Servers): Readonly<Record<string, string>> {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    ...connection(source, 'database.', 'dbname'),
    'plugin.name': 'pgoutput',
    'publication.autocreate.mode': 'filtered',
    'slot.name': 'peer',
    'topic.prefix': 'peer',
    'table.include.list': 'public.contact',
    'tombstones.on.delete': 'false',
    'poll.interval.ms': '5',
    'producer.override.linger.ms': '0',
    'topic.creation.default.replication.factor': '1',
    'topic.creation.default.partitions': '1',
    'decimal.handling.mode': 'precise',
    'schema.name.adjustment.mode': 'avro',
  };
}

export function sinkSettings({ target }: Servers): Readonly<Record<string, string>> {
  const { hostname, port, pathname, username, password } = new URL(target.url);
  return {
    'connector.class': 'io.debezium.connector.jdbc.JdbcSinkConnector',
    'tasks.max': '1',
    topics: TABLE_TOPIC,
    'connection.url': `jdbc:postgresql://${hostname}:${port}${pathname}`,
    'connection.username': username,
    'connection.password': password,
    'insert.mode': 'upsert',
    'delete.enabled': 'true',
    'primary.key.mode': 'record_key',
    'schema.evolution': 'none',
    'collection.name.format': 'public.contact',
    'batch.size': '2000',
    'use.reduction.buffer': 'true',
    'consumer.override.max.poll.records': '2000',
  };
}

function connection({ url }: Database, prefix: string, database: string): Readonly<Record<string, string>> {
  const { hostname, port, pathname, username, password } = new URL(url);
  return {
    [`${prefix}hostname`]: hostname,
    [`${prefix}port`]: port,
    [`${prefix}user`]: username,
    [`${prefix}password`]: password,
    [`${prefix}${database}`]: pathname.slice(1),
  };
}
