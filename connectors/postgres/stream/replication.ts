import type pg from 'pg';
import { LogicalReplicationService, type Pgoutput, PgoutputPlugin } from 'pg-logical-replication';
import { formatLsn, type Lsn, parseLsn } from './lsn.js';

export interface ReplicationListener {
  /** A message of pgoutput; the bytes are valid only during the call. */
  message(bytes: Buffer): void;
  /** All commits below `lsn` have been sent; `timeMicros` is the server's clock. */
  keepalive(lsn: Lsn, timeMicros: number): void;
  /** The connection is gone, once, for whatever reason but `close()`. */
  ended(error: unknown): void;
}

export interface ReplicationOptions {
  readonly client: pg.ClientConfig;
  readonly slot: string;
  readonly publication: string;
  /** The last place durable with us when the connection begins. */
  readonly durable: Lsn;
  /** Our own timer: acknowledges the last durable place and asks the server for a sign of life. */
  readonly statusIntervalMs: number;
}

/** At most this often is the slot confirmed; the rest goes with the next time. */
const MIN_ACKNOWLEDGE_INTERVAL_MS = 100;
/** A connection that says nothing for so many status intervals, asked each time, is dead. */
const SILENT_INTERVALS = 6;
/** But none is given up sooner: a busy machine, ours or the server's, is silent for seconds. */
const MIN_SILENCE_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** The library takes Postgres' epoch, 2000-01-01, to be seven days earlier. */
const LIBRARY_EPOCH_ERROR_MS = 7 * 86_400_000;

/**
 * The replication connection, by pg-logical-replication without its hazards: nothing is acknowledged but what was given
 * to `acknowledge()` (no `auto`, no timer of the library's, which would confirm the last received place), and the socket
 * is paused by us, only where enough is waiting (the library's flow control stops at every chunk).
 */
export class Replication {
  readonly #service: LogicalReplicationService;
  #durable: Lsn;
  #acknowledged: Lsn;
  #acknowledgedAtMs = 0;
  #statusTimer: NodeJS.Timeout | null = null;
  #acknowledgeTimer: NodeJS.Timeout | null = null;
  #lastHeardMs = Date.now();
  #paused = false;
  #closed = false;

  constructor(
    private readonly options: ReplicationOptions,
    private readonly listener: ReplicationListener,
  ) {
    this.#durable = options.durable;
    this.#acknowledged = options.durable;
    this.#service = new LogicalReplicationService(options.client, { acknowledge: { auto: false, timeoutSeconds: 0 } });
  }

  /** Resolves when the stream has begun. @throws the server's own error. */
  async start(): Promise<void> {
    const service = this.#service;
    service.on('data', (_lsn, bytes: Buffer) => {
      if (this.#closed) return;
      this.#lastHeardMs = Date.now();
      this.listener.message(bytes);
    });
    service.on('heartbeat', (lsn, timestampMs, shouldRespond) => {
      if (this.#closed) return;
      this.#lastHeardMs = Date.now();
      if (shouldRespond) this.#sendStatus(false);
      this.listener.keepalive(parseLsn(lsn), (timestampMs + LIBRARY_EPOCH_ERROR_MS) * 1000);
    });
    await new Promise<void>((resolve, reject) => {
      service.on('start', () => resolve());
      const end = (error: Error) => {
        reject(error);
        this.#end(error);
      };
      service.on('error', end);
      // '0/0': where to begin is the slot's to say.
      service.subscribe(new BytesPlugin(this.options.publication), this.options.slot, '0/0').then(
        () => end(new Error('the server ended the replication connection')),
        (error: Error) => end(error),
      );
    });
    this.#statusTimer = setInterval(() => this.#tick(), this.options.statusIntervalMs);
  }

  /** Everything that commits at or below `lsn` is durable with us: the server may forget it (I1). */
  acknowledge(lsn: Lsn): void {
    if (lsn <= this.#durable) return;
    this.#durable = lsn;
    const waitMs = this.#acknowledgedAtMs + MIN_ACKNOWLEDGE_INTERVAL_MS - Date.now();
    if (waitMs <= 0) this.#sendStatus(false);
    else this.#acknowledgeTimer ??= setTimeout(() => this.#sendStatus(false), waitMs);
  }

  /** Asks the server where it is: it answers by a keepalive. */
  ask(): void {
    this.#sendStatus(true);
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#lastHeardMs = Date.now();
    this.#stream?.resume();
  }

  /** Confirms what is durable and leaves; a server that does not answer is left all the same. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#durable !== this.#acknowledged) this.#sendStatus(false);
    this.#closed = true;
    this.#stopTimers();
    const stream = this.#stream;
    stream?.resume();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    });
    await Promise.race([
      this.#service.stop().then(
        () => undefined,
        () => undefined,
      ),
      timeout,
    ]);
    clearTimeout(timer);
    stream?.destroy();
  }

  #end(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimers();
    this.#stream?.destroy();
    this.listener.ended(error);
  }

  #tick(): void {
    const silentMs = Date.now() - this.#lastHeardMs;
    const limitMs = Math.max(SILENT_INTERVALS * this.options.statusIntervalMs, MIN_SILENCE_MS);
    if (!this.#paused && silentMs > limitMs) {
      this.#end(new Error(`the server has said nothing for ${Math.round(silentMs / 1000)} s`));
    } else this.#sendStatus(true);
  }

  /**
   * Tells the server the last durable place, also where that is nothing new: it takes the message for a sign of life.
   * The library adds one to what it is given, and the server forgets commits that begin below the sum.
   */
  #sendStatus(ask: boolean): void {
    if (this.#acknowledgeTimer !== null) clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = null;
    if (this.#closed) return;
    this.#acknowledgedAtMs = Date.now();
    this.#acknowledged = this.#durable;
    void this.#service.acknowledge(formatLsn(this.#durable), ask);
  }

  #stopTimers(): void {
    if (this.#statusTimer !== null) clearInterval(this.#statusTimer);
    if (this.#acknowledgeTimer !== null) clearTimeout(this.#acknowledgeTimer);
    this.#statusTimer = null;
    this.#acknowledgeTimer = null;
  }

  get #stream(): { pause(): void; resume(): void; destroy(): void } | undefined {
    // The library keeps its connection private, and pausing needs the socket.
    const inner = this.#service as unknown as {
      _connection: { stream: { pause(): void; resume(): void; destroy(): void } } | null;
    };
    return inner._connection?.stream;
  }
}

/** Hands out pgoutput's bytes as they are: decoding goes straight from them to values. */
class BytesPlugin extends PgoutputPlugin {
  constructor(publication: string) {
    super({ protoVersion: 1, publicationNames: [publication], messages: true });
  }

  override parse(bytes: Buffer): Pgoutput.Message {
    return bytes as unknown as Pgoutput.Message;
  }
}
