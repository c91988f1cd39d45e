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
import type { RoundTrip } from './round-trip.js';
import { MemorySink } from './sink.js';
import { MemorySource } from './source.js';

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
