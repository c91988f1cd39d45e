import { createHash } from 'node:crypto';
import { open, type Database, type RootDatabase } from 'lmdb';
import { failPoint } from '../failpoints.js';
import { STORE_FORMAT, type BackingBatch, type StateBacking, type StoreMeta } from './backing.js';

/** Longest text that goes into LMDB's keys as it is; an index key holds two and LMDB's limit is 1978 bytes. */
const MAX_KEY_BYTES = 700;
const META_KEY = 'meta';
const NO_KEY = Buffer.alloc(0);

/**
 * The local store: one LMDB environment, written without sync and through the memory map, because it is a cache of the
 * changelog. A killed process leaves it consistent; after a crash of the machine its folder is thrown away unread.
 */
export class LmdbBacking implements StateBacking {
  private readonly root: RootDatabase;
  private readonly records: Database<Buffer, string>;
  /** (entry, key) to the full key where it had to be shortened. */
  private readonly index: Database<Buffer, [string, string]>;
  private readonly about: Database<StoreMeta, string>;

  constructor(folder: string) {
    this.root = open({ path: folder, noSync: true, useWritemap: true, noMemInit: true, maxDbs: 4, maxReaders: 8 });
    this.records = this.root.openDB({ name: 'records', encoding: 'binary' });
    this.index = this.root.openDB({ name: 'index', encoding: 'binary' });
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
    const start: [string, string] = [short, after === null ? '' : shortened(after)];
    const found: string[] = [];
    for (const { key, value } of this.index.getRange({ start })) {
      if (key[0] !== short || found.length >= limit) break;
      const full = value.length === 0 ? key[1] : value.toString();
      if (full !== after) found.push(full);
    }
    return found;
  }

  write({ records, index }: BackingBatch, meta: StoreMeta): void {
    this.root.transactionSync(() => {
      for (const [key, bytes] of records) {
        if (bytes === null) this.records.removeSync(shortened(key));
        else this.records.putSync(shortened(key), bytes);
      }
      failPoint('stream.flush.inside');
      for (const [entry, changes] of index) {
        const short = shortened(entry);
        for (const [key, there] of changes) {
          const shortKey = shortened(key);
          if (there) this.index.putSync([short, shortKey], shortKey === key ? NO_KEY : Buffer.from(key));
          else this.index.removeSync([short, shortKey]);
        }
      }
      this.about.putSync(META_KEY, meta);
    });
  }

  clear(): void {
    this.records.clearSync();
    this.index.clearSync();
    this.about.clearSync();
  }

  close(): Promise<void> {
    return this.root.close();
  }
}

/** Long texts keep their beginning, for their order, and a hash for their identity. */
function shortened(text: string): string {
  if (text.length < MAX_KEY_BYTES / 3 && !text.includes('\0')) return text;
  if (Buffer.byteLength(text) <= MAX_KEY_BYTES && !text.includes('\0')) return text;
  const hash = createHash('sha256').update(text).digest('hex');
  return `${text.slice(0, 100).replaceAll('\0', ' ')}#${hash}`;
}
