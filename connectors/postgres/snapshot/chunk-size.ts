import type { DescribedTable } from '../catalogue.js';
import type { ChunkRow } from './chunk-reader.js';

const TARGET_BYTES = 2 << 20;
/** Rows of unknown size: few first. */
const ROWS_WITHOUT_ESTIMATE = 500;

/** How many rows to ask for: chunks of a few megabytes, whatever the rows' size. */
export class ChunkSize {
  rows: number;
  /** Rows of a chunk beyond it are left to the next: rows may be larger than the statistics say. */
  readonly maxBytes = 4 * TARGET_BYTES;
  /** Errors of this reading so far. */
  failures = 0;

  constructor(
    estimate: DescribedTable['estimate'],
    private readonly maxRows: number,
  ) {
    const known = estimate !== null && estimate.rows > 0;
    this.rows = this.#fitting(known ? estimate.bytes / estimate.rows : TARGET_BYTES / ROWS_WITHOUT_ESTIMATE);
  }

  read(rows: readonly ChunkRow[]): void {
    if (rows.length === 0) return;
    const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
    this.rows = Math.min(this.#fitting(bytes / rows.length), this.rows * 4);
  }

  #fitting(rowBytes: number): number {
    return Math.max(1, Math.min(this.maxRows, Math.floor(TARGET_BYTES / Math.max(1, rowBytes))));
  }
}
