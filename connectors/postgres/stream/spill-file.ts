import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BLOCK_BYTES = 1 << 20;
const HEADER_BYTES = 12;

/** One message of the log with its ordinal. */
export interface SpilledMessage {
  readonly ordinal: number;
  readonly message: Buffer;
}

/** Messages on disk, in order, for transactions that do not fit in memory. Gone with `remove()`, or with the process. */
export class SpillFile {
  readonly #file = openUnnamed();
  #block = Buffer.allocUnsafe(BLOCK_BYTES);
  #filled = 0;
  #written = 0;
  #removed = false;

  get bytes(): number {
    return this.#written + this.#filled;
  }

  add(message: Buffer, ordinal: number): void {
    const needed = HEADER_BYTES + message.length;
    if (this.#filled + needed > this.#block.length) this.#flush();
    if (needed > this.#block.length) this.#block = Buffer.allocUnsafe(needed);
    this.#block.writeUInt32BE(message.length, this.#filled);
    this.#block.writeDoubleBE(ordinal, this.#filled + 4);
    message.copy(this.#block, this.#filled + HEADER_BYTES);
    this.#filled += needed;
  }

  /** The messages in order; each is valid until the next is asked for. May be run again. */
  *messages(): Generator<SpilledMessage> {
    this.#flush();
    let block = Buffer.allocUnsafe(BLOCK_BYTES);
    let from = 0;
    let start = 0;
    let end = 0;
    const load = (bytes: number) => {
      if (end - start >= bytes) return;
      if (bytes > block.length) {
        const larger = Buffer.allocUnsafe(bytes);
        block.copy(larger, 0, start, end);
        block = larger;
      } else block.copy(block, 0, start, end);
      end -= start;
      start = 0;
      while (end < bytes) {
        const read = readSync(this.#file, block, end, Math.min(block.length - end, this.#written - from), from);
        if (read === 0) throw new Error('The file of a spilled transaction is shorter than what was written to it');
        from += read;
        end += read;
      }
    };
    while (from < this.#written || start < end) {
      load(HEADER_BYTES);
      const length = block.readUInt32BE(start);
      const ordinal = block.readDoubleBE(start + 4);
      load(HEADER_BYTES + length);
      start += HEADER_BYTES + length;
      yield { ordinal, message: block.subarray(start - length, start) };
    }
  }

  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    closeSync(this.#file);
  }

  #flush(): void {
    let at = 0;
    while (at < this.#filled) {
      at += writeSync(this.#file, this.#block, at, this.#filled - at, this.#written + at);
    }
    this.#written += this.#filled;
    this.#filled = 0;
  }
}

/** A file that has no name any more: nothing of it is left whatever becomes of the process. */
function openUnnamed(): number {
  const folder = mkdtempSync(join(tmpdir(), 'duolog-spill-'));
  try {
    return openSync(join(folder, 'messages'), 'wx+', 0o600);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
