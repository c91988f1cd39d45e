import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { TableShape } from './model/table.js';

const columnType = z.union([
  z.object({
    kind: z.enum(['boolean', 'int16', 'int32', 'int64', 'float32', 'float64']),
  }),
  z.object({ kind: z.literal('decimal'), precision: z.number().nullable(), scale: z.number().nullable() }),
  z.object({ kind: z.literal('text'), maxLength: z.number().nullable(), padded: z.boolean().optional() }),
  z.object({ kind: z.enum(['date', 'timestamp', 'timestamptz', 'time', 'uuid', 'json', 'bytes']) }),
  z.object({ kind: z.literal('native'), nativeType: z.string() }),
]);

const tableShape = z.object({
  system: z.string(),
  entity: z.string(),
  table: z.string(),
  columns: z.array(
    z.object({
      name: z.string(),
      type: columnType,
      nativeType: z.string(),
      nullable: z.boolean(),
      hasDefault: z.boolean(),
      generated: z.boolean(),
      comment: z.string().nullable(),
    }),
  ),
  key: z.array(z.string()),
  comment: z.string().nullable(),
});

/**
 * What the systems' catalogues said the last time, in a file beside the local state: a system that is away when a
 * process starts keeps nobody from working with the others. A table that has changed since stops its own tasks, as one
 * that changes while they run does.
 */
export class KnownTables {
  constructor(private readonly file: string) {}

  /** The tables of one system, or null where they were never read here. */
  async of(
    system: string,
    wanted: readonly { readonly entity: string; readonly table: string }[],
  ): Promise<readonly TableShape[] | null> {
    const known = (await this.read()).filter((shape) => shape.system === system);
    const found = wanted.map(({ entity, table }) => known.find((one) => one.entity === entity && one.table === table));
    return found.every((shape) => shape !== undefined) ? found : null;
  }

  async remember(shapes: readonly TableShape[]): Promise<void> {
    const partial = `${this.file}.${process.pid}`;
    await mkdir(dirname(this.file), { recursive: true });
    await writeFile(partial, JSON.stringify(shapes));
    await rename(partial, this.file);
  }

  /** A file that is not there, torn or of another version tells nothing. */
  private async read(): Promise<readonly TableShape[]> {
    try {
      const parsed: unknown = JSON.parse(await readFile(this.file, 'utf8'));
      return z.array(tableShape).parse(parsed) as readonly TableShape[];
    } catch {
      return [];
    }
  }
}
