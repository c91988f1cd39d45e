import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

/** Written beside a store that was closed in order, and removed when it is opened again. */
const SEAL = 'whole.json';
const DATA = 'data.mdb';
/** Summed at a stretch: a millisecond's work, between which everything else goes on. */
const CHUNK_BYTES = 4 << 20;

interface Seal {
  readonly bytes: number;
  readonly crc32: number;
}

/**
 * LMDB has no checksums: a file that a crash or a hand has torn (half a copy, half a disk) gives wrong answers, or ends
 * the process. Its size and last transaction would not tell. So a store that was closed in order is on the disk as a
 * whole, and says so by a sum over all of it.
 *
 * A store can have many gigabytes, of which the system has yet to write what changed in the last half minute, and a
 * process leaves within ten seconds: the work is done beside the event loop, half a second a gigabyte. False
 * where `over` came first, or the disk is full: then nothing vouches for the store.
 */
export async function sealStore(folder: string, over?: AbortSignal): Promise<boolean> {
  const path = join(folder, SEAL);
  try {
    await rm(path, { force: true });
    const sum = await sumOf(join(folder, DATA), { sync: true, ...(over === undefined ? {} : { over }) });
    if (sum === null) return false;
    await writeFile(path, JSON.stringify(sum), { flush: true });
    return true;
  } catch {
    return false;
  }
}

/** The store was closed in order, and nobody has answered since whether it is what it was then. */
export function hasSeal(folder: string): boolean {
  return existsSync(join(folder, SEAL));
}

/** The store was closed in order and is what it was then; the seal is broken by this question. */
export async function isSealed(folder: string): Promise<boolean> {
  try {
    const seal = JSON.parse(await readFile(join(folder, SEAL), 'utf8')) as Seal;
    const found = await sumOf(join(folder, DATA), { sync: false });
    // Only now: whoever is killed before leaves the question to the next.
    await rm(join(folder, SEAL));
    return found !== null && found.bytes === seal.bytes && found.crc32 === seal.crc32;
  } catch {
    return false;
  }
}

/** Reads the whole file; null where `over` came first. */
async function sumOf(
  path: string,
  { sync, over }: { readonly sync: boolean; readonly over?: AbortSignal },
): Promise<Seal | null> {
  const file = await open(path, 'r');
  try {
    if (sync) await file.sync();
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let sum = 0;
    let bytes = 0;
    for (;;) {
      if (over?.aborted === true) return null;
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, bytes);
      if (bytesRead === 0) return { bytes, crc32: sum };
      sum = crc32(chunk.subarray(0, bytesRead), sum);
      bytes += bytesRead;
    }
  } finally {
    await file.close();
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
