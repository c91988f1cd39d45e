import { slotLost } from './failure.js';
import type { QuerySession } from './session.js';

const INTERVAL_MS = 10_000;

/** Looks after the slot: how much log the server keeps for us, and whether it still does. */
export class SlotWatch {
  retainedBytes: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(
    private readonly session: QuerySession,
    private readonly system: string,
    private readonly slot: string,
    private readonly failed: (error: unknown) => void,
  ) {}

  start(): void {
    void this.#look();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      const [row] = await this.session.query(
        `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text, wal_status
           FROM pg_replication_slots WHERE slot_name = $1`,
        [this.slot],
      );
      if (this.#closed) return;
      if (row === undefined || row[1] === 'lost') {
        throw slotLost(this.system, `the replication slot ${this.slot} is gone or has lost its log`);
      }
      this.retainedBytes = row[0] == null ? null : Number(row[0]);
      this.#timer = setTimeout(() => void this.#look(), INTERVAL_MS);
    } catch (error) {
      if (!this.#closed) this.failed(error);
    }
  }
}
