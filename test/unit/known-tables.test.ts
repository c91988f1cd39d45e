import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KnownTables } from '../../src/known-tables.js';
import type { TableShape } from '../../src/model/table.js';

const shape: TableShape = {
  system: 'crm',
  entity: 'company',
  table: 'public.company',
  columns: [
    {
      name: 'id',
      type: { kind: 'int64' },
      nativeType: 'bigint',
      nullable: false,
      hasDefault: true,
      generated: false,
      comment: null,
    },
  ],
  key: ['id'],
  comment: null,
};
const wanted = [{ entity: 'company', table: 'public.company' }];

/** The tables as they were last are a convenience: a file that says nothing is a file that is not there. */
describe('the tables as a process saw them last', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'duolog-tables-'));
    file = join(folder, 'prefix', 'tables.json');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are those that were remembered', async () => {
    expect(await new KnownTables(file).of('crm', wanted)).toBeNull();
    await new KnownTables(file).remember([shape]);
    expect(await new KnownTables(file).of('crm', wanted)).toEqual([shape]);
    expect(await new KnownTables(file).of('erp', wanted)).toBeNull();
  });

  it('are unknown where the file is torn, at whatever byte, and known again once they are remembered', async () => {
    await new KnownTables(file).remember([shape]);
    const whole = readFileSync(file);
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole.subarray(0, length));
      expect(await new KnownTables(file).of('crm', wanted)).toBeNull();
    }
    await new KnownTables(file).remember([shape]);
    expect(await new KnownTables(file).of('crm', wanted)).toEqual([shape]);
  });

  it.each([
    ['zeroes, as a crash of the machine leaves them', Buffer.alloc(200)],
    ['of a version that knows other types', JSON.stringify([{ ...shape, columns: [{ name: 'id', type: 'other' }] }])],
    ['no list', '{}'],
  ])('are unknown where the file is %s', async (_what, content) => {
    await new KnownTables(file).remember([shape]);
    writeFileSync(file, content);
    expect(await new KnownTables(file).of('crm', wanted)).toBeNull();
  });
});
