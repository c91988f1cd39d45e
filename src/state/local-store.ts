import { DuologError } from '../errors/duolog-error.js';
import type { StateBacking } from './backing.js';
import { takeStoreFolder, type StoreFolder } from './folder.js';
import { LmdbBacking } from './lmdb-backing.js';

/**
 * The local store of a sync: a folder below `base` that this process holds, and LMDB in it. It is opened by the task
 * that needs it, so that a disk that is full then is that task's to wait for, like one that becomes full later.
 */
export class LocalStore {
  private folder: StoreFolder | null = null;
  private backing: LmdbBacking | null = null;

  constructor(
    private readonly base: string,
    private readonly freeBytes?: (folder: string) => number,
  ) {}

  /**
   * Safe to ask again after a failure: the folder stays taken, and with it what is in it.
   * @throws DuologError STATE_DISK_FULL, STATE_FOLDER_UNUSABLE
   */
  async open(): Promise<StateBacking> {
    try {
      this.folder ??= await takeStoreFolder(this.base);
      this.backing ??= new LmdbBacking(this.folder.path, this.freeBytes);
      return this.backing;
    } catch (error) {
      throw this.named(error);
    }
  }

  private named(error: unknown): unknown {
    if (error instanceof DuologError || !(error instanceof Error) || !('syscall' in error)) return error;
    if ('code' in error && error.code === 'ENOSPC') {
      return new DuologError('STATE_DISK_FULL', `The disk of the local state, ${this.base}, is full.`, {
        cause: error,
      });
    }
    return new DuologError('STATE_FOLDER_UNUSABLE', `The folder of the local state: ${error.message}`, {
      cause: error,
    });
  }

  /** Once the store is closed; where the time that `over` gives is too short, it is as if the process had been killed. */
  async release(over?: AbortSignal): Promise<void> {
    await this.folder?.release(over);
  }
}
