import { connect, createServer, type Server, type Socket } from 'node:net';

/** One client's connection through the proxy. */
export interface Passage {
  /** From its first bytes: what the client says of itself, for the one who arms a fault. */
  readonly greeting: () => string;
  cut(): void;
  /** What the server says from now on is lost; at its first word the connection breaks. */
  loseAnswer(onLost: () => void): void;
}

/** Looks at what a client sends, before the server gets it. */
export type Watch = (passage: Passage, bytes: Buffer) => void;

const GREETING_BYTES = 512;

/** Stands between Duolog and a server: can break connections, and lose the answer to one particular request. */
export class Proxy {
  targetPort = 0;
  watch: Watch | null = null;
  readonly #passages = new Set<Passage>();
  readonly #server: Server = createServer((client) => this.#serve(client));

  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    this.#server.unref();
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy has no port');
    return address.port;
  }

  get connections(): number {
    return this.#passages.size;
  }

  cutAll(): number {
    const count = this.#passages.size;
    for (const passage of this.#passages) passage.cut();
    return count;
  }

  close(): void {
    this.cutAll();
    this.#server.close();
  }

  #serve(client: Socket): void {
    const server = connect({ host: '127.0.0.1', port: this.targetPort });
    client.setNoDelay(true);
    server.setNoDelay(true);
    let greeting = Buffer.alloc(0);
    let onLost: (() => void) | null = null;
    const cut = () => {
      client.destroy();
      server.destroy();
    };
    const passage: Passage = {
      greeting: () => greeting.toString('latin1'),
      cut,
      loseAnswer: (told) => {
        onLost = told;
      },
    };
    this.#passages.add(passage);
    for (const socket of [client, server]) {
      socket.on('error', cut);
      socket.on('close', () => {
        this.#passages.delete(passage);
        cut();
      });
    }
    client.on('data', (bytes: Buffer) => {
      if (greeting.length < GREETING_BYTES) greeting = Buffer.concat([greeting, bytes]).subarray(0, GREETING_BYTES);
      this.watch?.(passage, bytes);
      if (!server.write(bytes)) pauseUntilDrained(client, server);
    });
    server.on('data', (bytes: Buffer) => {
      if (onLost !== null) {
        const told = onLost;
        onLost = null;
        cut();
        told();
        return;
      }
      if (!client.write(bytes)) pauseUntilDrained(server, client);
    });
  }
}

function pauseUntilDrained(from: Socket, to: Socket): void {
  from.pause();
  to.once('drain', () => from.resume());
}

/** Postgres: the sink's COMMIT. Its session says "sink" in its name. */
export function loseCommitAnswers(count: number, onLost: () => void): Watch {
  let left = count;
  return (passage, bytes) => {
    if (left === 0 || !bytes.includes('COMMIT\0') || !passage.greeting().includes(' sink ')) return;
    left--;
    passage.loseAnswer(onLost);
  };
}

const PRODUCE = 0;
const END_TXN = 26;

/** Kafka: EndTxn of transactional ids that contain the text. */
export function loseEndTxnAnswers(transactionalId: string, count: number, onLost: () => void): Watch {
  return loseAnswers(END_TXN, transactionalId, count, onLost);
}

/** Kafka: Produce to topics whose names contain the text. */
export function loseProduceAnswers(topic: string, count: number, onLost: () => void): Watch {
  return loseAnswers(PRODUCE, topic, count, onLost);
}

/** Requests of the client library are written one by one. */
function loseAnswers(apiKey: number, text: string, count: number, onLost: () => void): Watch {
  let left = count;
  return (passage, bytes) => {
    if (left === 0 || !containsRequest(bytes, apiKey, text)) return;
    left--;
    passage.loseAnswer(onLost);
  };
}

/** A request is its length, api key, version, correlation id, client id, then its own fields, the names among them. */
function containsRequest(bytes: Buffer, apiKey: number, text: string): boolean {
  for (let at = 0; at + 14 <= bytes.length; ) {
    const length = bytes.readInt32BE(at);
    if (length <= 0) return false;
    const request = bytes.subarray(at + 4, at + 4 + length);
    if (request.length === length && request.readInt16BE(0) === apiKey && request.includes(text)) return true;
    at += 4 + length;
  }
  return false;
}
