import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { open, type Database, type RootDatabase } from 'lmdb';
import { DuologError } from '../errors/duolog-error.js';
import { failPoint } from '../failpoints.js';
import { STORE_FORMAT, type BackingBatch, type StateBacking, type StoreMeta } from './backing.js';

/** Longest text that goes into LMDB's keys as it is; its limit is 1978 bytes. */
const MAX_KEY_BYTES = 700;
const META_KEY = 'meta';
/** Room that a write wants; pages are copied before they change, so it takes some times as much as its records. */
const ROOM_BYTES = 16 << 20;
const CHECK_EVERY_BYTES = 2 << 20;
/**
 * Address space for the memory map, so that it need not grow: each growth leaves the old map in place, and its pages count
 * as memory once more. The file is sparse; only what is written takes room.
 */
const MAP_BYTES = 16 * 2 ** 30;

/**
 * The local store: one LMDB environment, written without sync and through the memory map, because it is a cache of the
 * changelog. A killed process leaves it consistent; after a crash of the machine its folder is thrown away unread.
 */
export class LmdbBacking implements StateBacking {
  private readonly root: RootDatabase;
  private readonly records: Database<Buffer, string>;
  /** Entry to its keys, in order. */
  private readonly index: Database<string, string>;
  /** Shortened keys to the full ones. */
  private readonly fullKeys: Database<string, string>;
  private readonly about: Database<StoreMeta, string>;

  /** @throws DuologError STATE_DISK_FULL */
  constructor(
    private readonly folder: string,
    private readonly freeBytes: (folder: string) => number = freeBytesOf,
  ) {
    this.requireRoom();
    this.root = open({
      path: folder,
      noSync: true,
      useWritemap: true,
      noMemInit: true,
      mapSize: MAP_BYTES,
      maxDbs: 5,
      maxReaders: 8,
    });
    this.records = this.root.openDB({ name: 'records', encoding: 'binary' });
    this.index = this.root.openDB({ name: 'index', encoding: 'ordered-binary', dupSort: true });
    this.fullKeys = this.root.openDB({ name: 'full-keys', encoding: 'string' });
    this.about = this.root.openDB({ name: 'about', encoding: 'json' });
    const meta = this.about.get(META_KEY);
    if (meta !== undefined && meta.format !== STORE_FORMAT) this.clear();
  }

  meta(): StoreMeta | null {
    return this.about.get(META_KEY) ?? null;
  }

  get(key: string): Buffer | undefined {
    return this.records.getBinary(shortened(key));
  }

  indexed(entry: string, after: string | null, limit: number): string[] {
    const short = shortened(entry);
    // Most questions have no answer, or ask for the first, which is known soonest this way.
    const first = this.index.get(short);
    if (first === undefined) return [];
    if (limit === 1 && after === null) return [this.full(first)];
    const start = after === null ? {} : { start: shortened(after) };
    const found: string[] = [];
    for (const value of this.index.getValues(short, start)) {
      if (found.length >= limit) break;
      const full = this.full(value);
      if (full !== after) found.push(full);
    }
    return found;
  }

  private full(key: string): string {
    return key.length < SHORTENED_LENGTH ? key : (this.fullKeys.get(key) ?? key);
  }

  /** @throws DuologError STATE_DISK_FULL; nothing is written then. */
  write({ records, index }: BackingBatch, meta: StoreMeta): void {
    this.requireRoom();
    let unchecked = 0;
    // A read transaction left open would keep the pages that this one frees from being used again.
    this.root.resetReadTxn();
    this.root.transactionSync(() => {
      for (const [key, bytes] of records) {
        this.writeRecord(key, bytes);
        unchecked += bytes?.length ?? 0;
        if (unchecked < CHECK_EVERY_BYTES) continue;
        unchecked = 0;
        this.requireRoom();
      }
      failPoint('stream.flush.inside');
      for (const [entry, changes] of index) {
        const short = shortened(entry);
        for (const [key, there] of changes) {
          if (there) this.index.putSync(short, shortened(key));
          else this.index.removeSync(short, shortened(key));
        }
      }
      this.about.putSync(META_KEY, meta);
    });
  }

  /** Through a memory map a full disk is no error but the end of the process, so it is looked for before. */
  private requireRoom(): void {
    const free = this.freeBytes(this.folder);
    if (free >= ROOM_BYTES) return;
    const megabytes = (count: number) => Math.ceil(count / (1 << 20));
    throw new DuologError(
      'STATE_DISK_FULL',
      `The disk of the local state, ${this.folder}, has ${megabytes(free)} MB left; ${megabytes(ROOM_BYTES)} MB are wanted.`,
    );
  }

  private writeRecord(key: string, bytes: Buffer | null): void {
    const short = shortened(key);
    if (bytes === null) this.records.removeSync(short);
    else this.records.putSync(short, bytes);
    if (short === key) return;
    if (bytes === null) this.fullKeys.removeSync(short);
    else this.fullKeys.putSync(short, key);
  }

  clear(): void {
    this.records.clearSync();
    this.index.clearSync();
    this.fullKeys.clearSync();
    this.about.clearSync();
  }

  /** The file is left as long as what is in it. */
  async close(): Promise<void> {
    const { lastPageNumber, pageSize } = this.root.getStats() as { lastPageNumber: number; pageSize: number };
    await this.root.close();
    // Where that fails it is only longer than it need be.
    await truncate(join(this.folder, 'data.mdb'), (lastPageNumber + 1) * pageSize).catch(() => undefined);
  }
}

/** Of the beginning that is kept and the hash behind it. */
const KEPT_LENGTH = 100;
const SHORTENED_LENGTH = KEPT_LENGTH + 1 + 64;

/** Long texts keep their beginning, for their order, and a hash for their identity. */
function shortened(text: string): string {
  if (text.length < MAX_KEY_BYTES / 3 && !text.includes('\0')) return text;
  if (Buffer.byteLength(text) <= MAX_KEY_BYTES && !text.includes('\0')) return text;
  const hash = createHash('sha256').update(text).digest('hex');
  return `${text.slice(0, KEPT_LENGTH).padEnd(KEPT_LENGTH).replaceAll('\0', ' ')}#${hash}`;
}

function freeBytesOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
