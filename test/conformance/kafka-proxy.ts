import { createServer, connect, type Server, type Socket } from 'node:net';
import type { KafkaLogOptions } from '../../src/kafka/index.js';

/** What happens to a request on its way to the broker. */
export type Fate =
  | 'pass'
  /** It never arrives, and the connection breaks. */
  | 'lose-request'
  /** The broker carries it out, but the connection breaks before its answer. */
  | 'lose-answer'
  /** The broker carries it out; the client is told this error code instead. */
  | { readonly answer: number };

export const API = {
  produce: 0,
  fetch: 1,
  findCoordinator: 10,
  initProducerId: 22,
  addPartitions: 24,
  addOffsets: 25,
  endTxn: 26,
  txnOffsetCommit: 28,
};

/** Stands between a client and the one broker and can lose or change single requests and answers. */
export class KafkaProxy {
  /** Asked for each request, in order; may take its time. */
  fate: (apiKey: number) => Fate | Promise<Fate> = () => 'pass';
  /** Nobody gets through, not even on the connections there are. */
  #unreachable = false;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(private readonly brokerPort: number) {
    this.#server = createServer((client) => this.#serve(client));
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  /** Sends all connections of a log through here, whatever address the broker gives itself. */
  get socketFactory(): NonNullable<KafkaLogOptions['socketFactory']> {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The proxy does not listen');
    return ({ onConnect }) => connect({ host: '127.0.0.1', port: address.port }, onConnect);
  }

  cutOff(): void {
    this.#unreachable = true;
    this.breakConnections();
  }

  /** New connections fail from now on; those there are last until a fate breaks them. */
  refuse(): void {
    this.#unreachable = true;
  }

  /** Breaks the connections there are; new ones are served. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(client: Socket): void {
    if (this.#unreachable) return void client.destroy();
    const broker = connect({ host: '127.0.0.1', port: this.brokerPort });
    const fates = new Map<number, Fate>();
    const end = () => {
      client.destroy();
      broker.destroy();
    };
    for (const socket of [client, broker]) {
      this.#sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        end();
      });
    }
    let order = Promise.resolve();
    onFrames(client, (frame) => {
      order = order.then(async () => {
        const fate = await this.fate(frame.readInt16BE(4));
        if (fate === 'lose-request') return end();
        fates.set(frame.readInt32BE(8), fate);
        broker.write(frame);
      });
    });
    onFrames(broker, (frame) => {
      const fate = fates.get(frame.readInt32BE(4)) ?? 'pass';
      if (fate === 'lose-answer') return end();
      // The requests whose answers are changed all end with an error code.
      if (typeof fate === 'object') frame.writeInt16BE(fate.answer, frame.length - 2);
      client.write(frame);
    });
  }
}

function onFrames(socket: Socket, onFrame: (frame: Buffer) => void): void {
  let pending = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
      const length = 4 + pending.readInt32BE(0);
      onFrame(Buffer.from(pending.subarray(0, length)));
      pending = pending.subarray(length);
    }
  });
}
