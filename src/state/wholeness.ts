import {
  statSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

/** Written beside a store that was closed in order, and removed when it is opened again. */
const SEAL = 'whole.json';
const DATA = 'data.mdb';
const CHUNK_BYTES = 4 << 20;
/** A process leaves within ten seconds; a larger store is read anew from Kafka after it. */
const MAX_SEALED_BYTES = 6e9;

interface Seal {
  readonly bytes: number;
  readonly crc32: number;
}

/**
 * LMDB has no checksums: a file that a crash or a hand has torn gives wrong answers, or ends the process. So a store that
 * was closed in order is on the disk as a whole, and says so by a sum over all of it.
 */
export function sealStore(folder: string): void {
  const path = join(folder, DATA);
  rmSync(join(folder, SEAL), { force: true });
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes === 0 || bytes > MAX_SEALED_BYTES) return;
  writeFileSync(join(folder, SEAL), JSON.stringify(sumOf(path, true)));
}

/** The store was closed in order and is what it was then; the seal is broken by this question. */
export function isSealed(folder: string): boolean {
  try {
    const seal = JSON.parse(readFileSync(join(folder, SEAL), 'utf8')) as Seal;
    rmSync(join(folder, SEAL));
    const found = sumOf(join(folder, DATA), false);
    return found.bytes === seal.bytes && found.crc32 === seal.crc32;
  } catch {
    return false;
  }
}

/** Reads the whole file: some gigabytes a second. */
function sumOf(path: string, sync: boolean): Seal {
  const file = openSync(path, 'r');
  try {
    if (sync) fsyncSync(file);
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let sum = 0;
    let bytes = 0;
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      sum = crc32(chunk.subarray(0, read), sum);
      bytes += read;
    }
    return { bytes, crc32: sum };
  } finally {
    closeSync(file);
  }
}

/** LMDB's two meta pages, as far as they are looked at here. */
const META = {
  bytes: 160,
  magicAt: 24,
  magic: 0xbeefc0de,
  versionAt: 28,
  version: 2,
  pageSizeAt: 48,
  lastPageAt: 144,
  transactionAt: 152,
};
const LARGEST_PAGE_BYTES = 65_536;

/**
 * A store whose process was killed is whole as far as the system can tell: what LMDB had written is in its memory. That
 * its file has been cut short, or is no such file at all, would end the process that opens it.
 */
export function looksWhole(folder: string): boolean {
  const path = join(folder, DATA);
  if (!existsSync(path)) return true;
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    if (size === 0) return true;
    const first = metaAt(file, 0);
    const pageBytes = first?.readUInt32LE(META.pageSizeAt) ?? 0;
    if (first === null || pageBytes < META.bytes || pageBytes > LARGEST_PAGE_BYTES) return false;
    const second = metaAt(file, pageBytes);
    if (second === null) return false;
    const isNewer = second.readBigUInt64LE(META.transactionAt) > first.readBigUInt64LE(META.transactionAt);
    const lastPage = (isNewer ? second : first).readBigUInt64LE(META.lastPageAt);
    return (lastPage + 1n) * BigInt(pageBytes) <= BigInt(size);
  } finally {
    closeSync(file);
  }
}

function metaAt(file: number, position: number): Buffer | null {
  const meta = Buffer.alloc(META.bytes);
  if (readSync(file, meta, 0, META.bytes, position) < META.bytes) return null;
  const isMeta = meta.readUInt32LE(META.magicAt) === META.magic && meta.readUInt32LE(META.versionAt) === META.version;
  return isMeta ? meta : null;
}
