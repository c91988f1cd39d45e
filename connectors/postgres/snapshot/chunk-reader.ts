import pg from 'pg';
import type { Change } from '../../../src/connector/contract.js';
import { recordKey, type Row, type Value } from '../../../src/model/value.js';
import { columnsQuery, columnsText, type DescribedTable } from '../catalogue.js';
import { quoteTable } from '../names.js';
import { keyTexts } from '../stream/batch-queue.js';
import { watermarkPrefix } from '../stream/stream-reader.js';
import { valueDecoder } from '../values.js';
import { readCopyLine } from './copy-rows.js';
import { TransactionSnapshot } from './transaction-snapshot.js';

/** Rows of one table in key order, read in one transaction, without their place in the stream. */
export interface Chunk {
  readonly table: DescribedTable;
  readonly watermark: string;
  readonly snapshot: TransactionSnapshot;
  readonly rows: readonly ChunkRow[];
  /** Key of the last row; null where there was none. */
  readonly lastKey: readonly string[] | null;
  /** No row follows. */
  readonly last: boolean;
}

export interface ChunkRow {
  readonly key: string;
  readonly after: Row;
  readonly bytes: number;
}

export interface ChunkRequest {
  readonly table: DescribedTable;
  /** Key of the row before the first, as texts; null from the beginning. */
  readonly after: readonly string[] | null;
  readonly limit: number;
  /** Rows beyond so many bytes are left to the next chunk. */
  readonly maxBytes: number;
  /** Written into the log after the rows are read: the chunk's place in the stream. */
  readonly watermark: string;
  readonly slot: string;
}

/** The table has other columns than were asked for: what was read is of no use. */
export class ColumnsChanged extends Error {}

/**
 * Reads one chunk in one REPEATABLE READ transaction and one round trip: which transactions it sees, its rows,
 * and a message into the log. Every commit the rows show is in the log before that message.
 * @throws ColumnsChanged; the driver's own errors.
 */
export async function readChunk(client: pg.Client, request: ChunkRequest): Promise<Chunk> {
  const { table, limit, watermark } = request;
  const collector = new RowCollector(table, request.maxBytes);
  const results = await copy(client, chunkStatements(request), (line) => collector.add(line));
  const [text, columns] = results[2]?.rows[0] ?? [];
  if (typeof text !== 'string') throw new Error('The server did not answer with its snapshot');
  if (columns !== columnsText(table.columns)) throw new ColumnsChanged(`The columns of ${table.shape.table} changed`);
  const { rows, lines } = collector;
  const lastRow = rows.at(-1);
  return {
    table,
    watermark,
    snapshot: TransactionSnapshot.parse(text),
    rows,
    lastKey: lastRow === undefined ? null : keyTexts({ table: table.shape, after: lastRow.after }),
    last: lines < limit && rows.length === lines,
  };
}

function chunkStatements(request: ChunkRequest): string {
  const { table, after, limit } = request;
  const key = table.shape.key.map((column) => pg.escapeIdentifier(column));
  const columns = table.columns.map((column) => pg.escapeIdentifier(column.name)).join(', ');
  const where = after === null ? '' : ` WHERE (${key.join(', ')}) > (${after.map(pg.escapeLiteral).join(', ')})`;
  // A partitioned table has its rows below it; of any other, rows of inheriting tables are changes of their own.
  const only = table.partitioned ? '' : 'ONLY ';
  const message = [watermarkPrefix(request.slot), request.watermark].map(pg.escapeLiteral).join(', ');
  return [
    'BEGIN ISOLATION LEVEL REPEATABLE READ',
    // Before the snapshot: a table that is rewritten between snapshot and reading would look empty.
    `LOCK TABLE ${only}${quoteTable(table)} IN ACCESS SHARE MODE`,
    `SELECT pg_current_snapshot()::text, (${columnsQuery(table.oid)})`,
    `COPY (SELECT ${columns} FROM ${only}${quoteTable(table)}${where} ORDER BY ${key.join(', ')} LIMIT ${limit}) TO STDOUT`,
    `SELECT pg_logical_emit_message(true, ${message})::text`,
    'COMMIT',
  ].join(';\n');
}

/** Turns lines into rows as they come; keeps the first `maxBytes` of them. */
class RowCollector {
  readonly rows: ChunkRow[] = [];
  lines = 0;
  #bytes = 0;
  readonly #names: readonly string[];
  readonly #decoders;
  readonly #template: Row;

  constructor(
    private readonly table: DescribedTable,
    private readonly maxBytes: number,
  ) {
    this.#names = table.columns.map((column) => column.name);
    this.#decoders = table.columns.map((column) => valueDecoder(column.type));
    this.#template = Object.fromEntries(this.#names.map((name) => [name, null]));
  }

  add(line: Buffer): void {
    this.lines += 1;
    if (this.#bytes > this.maxBytes) return;
    const after: Record<string, Value> = { ...this.#template };
    const names = this.#names;
    readCopyLine(line, this.#decoders, (column, value) => {
      after[names[column]!] = value;
    });
    this.#bytes += line.length;
    this.rows.push({ key: recordKey(after, this.table.shape.key), after, bytes: line.length });
  }
}

type CopyResult = { readonly rows: readonly (readonly (string | null)[])[] };

/** Runs statements of which one is a COPY … TO STDOUT; `receive` gets its lines, valid only during the call. */
function copy(client: pg.Client, statements: string, receive: (line: Buffer) => void): Promise<readonly CopyResult[]> {
  return new Promise((resolve, reject) => {
    let failure: Error | null = null;
    const config = { text: statements, rowMode: 'array' } as pg.QueryConfig;
    const query = new pg.Query(config, (error: Error | undefined, results: unknown) => {
      const reason = error ?? failure;
      if (reason) reject(reason);
      else resolve(results as readonly CopyResult[]);
    });
    // The driver passes COPY's lines to this method and does nothing with them by itself.
    Object.assign(query, {
      handleCopyData({ chunk }: { chunk: Buffer }) {
        try {
          if (failure === null) receive(chunk);
        } catch (error) {
          failure = error instanceof Error ? error : new Error('A line of COPY cannot be read', { cause: error });
        }
      },
    });
    client.query(query);
  });
}

/** A row of a chunk as an event; its place is given where it enters the stream. */
export function readEvent(chunk: Chunk, row: ChunkRow, position: string): Change {
  return {
    kind: 'change',
    table: chunk.table.shape,
    operation: 'read',
    key: row.key,
    keyChange: null,
    before: null,
    after: row.after,
    unchanged: [],
    commitTimeMicros: null,
    transaction: chunk.watermark,
    position,
    origin: null,
  };
}
