import { existsSync } from 'node:fs';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { startPostgres } from '../../deploy/dev/stack.js';
import { freshDatabase, stack, testedPostgres } from '../support/shared.js';

describe('the local stack', () => {
  it('gives a broker and a registry', async () => {
    const { brokers, registry } = await stack();
    expect(brokers).toHaveLength(1);
    expect(await (await fetch(`${registry}/subjects`)).json()).toBeInstanceOf(Array);
  });

  it.each(testedPostgres)(
    'gives a database of Postgres %i that decodes logically, and drops it with its slot',
    async (version) => {
      const database = await freshDatabase(version);
      const client = new pg.Client({ connectionString: database.url });
      client.on('error', () => undefined);
      await client.connect();
      const { rows } = await client.query('SHOW server_version_num');
      expect(Math.floor(Number(rows[0].server_version_num) / 10_000)).toBe(version);
      await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [database.name]);
      await database.drop();
      await expect(client.query('SELECT 1')).rejects.toThrow();
    },
  );

  it('keeps committed data over a kill -9 of Postgres and removes everything at the end', async () => {
    const server = await startPostgres({ version: 18 });
    const url = await server.createDatabase('kept');
    await query(url, 'CREATE TABLE t AS SELECT 1 AS one');
    await server.kill('SIGKILL');
    await server.start();
    expect(await query(url, 'SELECT one FROM t')).toEqual([{ one: 1 }]);
    await server.destroy();
    expect(existsSync(server.dataFolder)).toBe(false);
  });
});

async function query(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end();
  }
}
