import type {
  Capabilities,
  Catalogue,
  Connector,
  Sink,
  SinkOptions,
  Source,
  SourceOptions,
} from '../../src/connector/contract.js';
import { MemoryCatalogue } from './catalogue.js';
import type { MemoryDatabase } from './database.js';
import { MemorySink } from './sink.js';
import { MemorySource } from './source.js';

/**
 * Awaited wherever a real connector would wait for its system's answer; `point` says where.
 * The simulation lets other processes run there, loses the connection or ends the process.
 */
export type RoundTrip = (point: string) => Promise<void>;

/** The smallest connector there is, and a whole one: start from a copy of this folder to write another. */
export class MemoryConnector implements Connector {
  readonly capabilities: Capabilities = { ordered: true, transactions: true };

  constructor(
    private readonly system: string,
    private readonly database: MemoryDatabase,
    private readonly roundTrip: RoundTrip = async () => {},
  ) {}

  catalogue(): Catalogue {
    return new MemoryCatalogue(this.system, this.database);
  }

  source(options: SourceOptions): Source {
    return new MemorySource(this.database, options, this.roundTrip);
  }

  sink(options: SinkOptions): Sink {
    return new MemorySink(this.database, options, this.roundTrip);
  }

  async close(): Promise<void> {}
}
