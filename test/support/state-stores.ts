import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StateBacking } from '../../src/state/backing.js';
import type { StateCodec } from '../../src/state/contract.js';
import { LmdbBacking } from '../../src/state/lmdb-backing.js';
import { StateStore } from '../../src/state/store.js';

/** What the stores of these tests keep: as little as has an index. */
export interface Thing {
  readonly name: string;
  readonly tags: readonly string[];
}

export const codec: StateCodec<Thing> = {
  encode: (thing) => Buffer.from(JSON.stringify(thing)),
  decode: (bytes) => JSON.parse(bytes.toString()) as Thing,
  indexEntries: ({ tags }) => tags,
  sameEntries: (left, right) => left.tags === right.tags,
};

const folders: string[] = [];
const open: StateBacking[] = [];

/** Closes and removes whatever was opened here: for after each test. */
export async function removeStores(): Promise<void> {
  for (const backing of open.splice(0)) await backing.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'duolog-store-'));
  folders.push(folder);
  return folder;
}

export function lmdb(folder = temporaryFolder()): StateBacking {
  return closedLater(new LmdbBacking(folder));
}

/** Gives back what `removeStores` shall close. */
export function closedLater<Backing extends StateBacking>(backing: Backing): Backing {
  open.push(backing);
  return backing;
}

/** Flushed after so many transactions, with little kept at hand. */
export function storeOver(backing: StateBacking, flushTransactions = 1): StateStore<Thing> {
  const limits = { flushTransactions, flushRecords: 1000, flushBytes: 1e6, cachedRecords: 4, cachedBytes: 1e6 };
  return new StateStore(
    backing,
    codec,
    () => ({ cluster: 'c', birth: 'b', schemas: [1] }),
    () => 0,
    limits,
  );
}
