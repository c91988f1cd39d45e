import type pg from 'pg';
import { connectClient, destroyClient, queryTexts, type TextRow } from './connection.js';

/** A connection for questions to the server, one after the other whoever asks. */
export class QuerySession {
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(private readonly client: pg.Client) {}

  /** @throws the driver's own error. */
  static async connect(config: pg.ClientConfig): Promise<QuerySession> {
    return new QuerySession(await connectClient(config));
  }

  query(text: string, values: readonly unknown[] = []): Promise<readonly TextRow[]> {
    return this.use((client) => queryTexts(client, text, values));
  }

  /** Lends the connection for several statements in a row. */
  use<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      if (this.#closed) throw new Error('the connection was closed');
      return work(this.client);
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Leaves at once; the server ends what is open. */
  close(): void {
    this.#closed = true;
    destroyClient(this.client);
  }
}
