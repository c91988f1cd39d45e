import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DuologProcess, spawnDuolog } from '../support/duolog-process.js';
import { eventually } from '../support/eventually.js';
import { companyPair, type CompanyPair } from './cli-fixture.js';

/** Each role in a process of its own, and a second stream that stands by. */
describe('roles apart', () => {
  let pair: CompanyPair;
  let processes: DuologProcess[] = [];

  beforeAll(async () => {
    pair = await companyPair();
    await pair.configure((text) =>
      text
        .replace('schemaRegistry:', 'sessionTimeout: 6s, schemaRegistry:')
        .replace('folder: ./state', 'folder: "${STATE_FOLDER}"'),
    );
  }, 240_000);

  afterAll(async () => {
    for (const process of processes) process.kill('SIGKILL');
    await Promise.all(processes.map(({ exited }) => exited));
    await pair?.close();
  });

  async function start(role: string, folder: string): Promise<DuologProcess> {
    const process = await spawnDuolog(pair.file, ['run', '--roles', role], { ...pair.env, STATE_FOLDER: folder });
    processes.push(process);
    return process;
  }

  const decides = (process: DuologProcess) => process.output().includes('"task":"stream customers","msg":"running"');

  it('a stream that is killed is followed by its standby, and nothing is lost or doubled', {
    timeout: 600_000,
  }, async () => {
    const streams = [await start('stream', './first'), await start('stream', './second')];
    await start('source', './source');
    await start('sink', './sink');
    const running = () => processes.filter((process) => process.output().includes('"msg":"running"')).length === 3;
    await eventually(() => running(), {
      what: 'a source, a stream and a sink to run',
      timeoutMs: 120_000,
    });
    const atFirst = ['Alfreds Futterkiste', 'Berglunds', 'Only in the CRM', 'Only in the ERP'];
    await eventually(async () => expect(await pair.names()).toEqual({ crm: atFirst, erp: atFirst }), {
      what: 'both sides to be equal',
      timeoutMs: 120_000,
    });
    const [leader, ...others] = streams.filter(decides);
    expect(others).toEqual([]);
    const standby = streams.find((stream) => stream !== leader)!;
    // Edits go on while it is killed: some are decided by it, some by the one that follows.
    const added: string[] = [];
    for (let number = 0; number < 40; number++) {
      const name = `New ${String(number).padStart(2, '0')}`;
      added.push(name);
      if (number % 2 === 0) await pair.erp.query('INSERT INTO customer (name, vat) VALUES ($1, $1)', [name]);
      else
        await pair.crm.query("INSERT INTO company (comp_name, comp_vat, comp_territory) VALUES ($1, $1, 'X')", [name]);
      if (number === 20) leader!.kill('SIGKILL');
    }
    await leader!.exited;
    const atLast = [...atFirst, ...added].toSorted();
    await eventually(
      async () => {
        const { crm, erp } = await pair.names();
        return expect({ crm: crm.toSorted(), erp: erp.toSorted() }).toEqual({ crm: atLast, erp: atLast });
      },
      { what: 'both sides to be equal again', timeoutMs: 120_000 },
    );
    expect(decides(standby)).toBe(true);
    for (const process of processes.filter((one) => one !== leader)) {
      expect(await process.stop(), process.output()).toBe(0);
    }
    processes = [];
  });
});
