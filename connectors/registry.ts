import type { Connector } from '../src/connector/contract.js';
import { DuologError } from '../src/errors/duolog-error.js';
import { PostgresConnector } from './postgres/index.js';

/** How a system is configured: the kind of its connector and what that kind asks for. */
export type SystemOptions = { readonly connector: 'postgres'; readonly url: string };

/** A connector of a kind, for the system of that name. */
type ConnectorFactory<Options extends SystemOptions> = (system: string, options: Options) => Connector;

/** Every kind of system: a new one adds its folder and a line here. */
const FACTORIES: {
  readonly [Kind in SystemOptions['connector']]: ConnectorFactory<SystemOptions & { connector: Kind }>;
} = {
  postgres: (system, { url }) => new PostgresConnector(system, { url }),
};

/** The connector for a system; connects to nothing yet. @throws DuologError CONNECTOR_UNKNOWN. */
export function createConnector(system: string, options: SystemOptions): Connector {
  const factory = FACTORIES[options.connector];
  if (factory === undefined) {
    const kinds = Object.keys(FACTORIES).join(', ');
    throw new DuologError('CONNECTOR_UNKNOWN', `${system}: there is no connector "${options.connector}" (${kinds})`);
  }
  return factory(system, options);
}
