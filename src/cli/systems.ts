import { createConnector } from '../../connectors/registry.js';
import type { Configuration } from '../config/schema.js';
import type { Catalogue, Connector } from '../connector/contract.js';
import type { TableShape } from '../model/table.js';
import { tablesNeeded } from '../plan/compile.js';

/** The systems of a configuration, opened for a look at their catalogues. */
export interface OpenedSystem {
  readonly name: string;
  readonly catalogue: Catalogue;
}

/** Opens a catalogue of every system, hands them over, and closes them whatever happens. */
export async function withSystems<T>(
  configuration: Configuration,
  use: (systems: readonly OpenedSystem[]) => Promise<T>,
): Promise<T> {
  const opened: { readonly connector: Connector; readonly system: OpenedSystem }[] = [];
  try {
    for (const [name, system] of Object.entries(configuration.systems)) {
      const connector = createConnector(name, system);
      opened.push({ connector, system: { name, catalogue: connector.catalogue() } });
    }
    return await use(opened.map(({ system }) => system));
  } finally {
    await Promise.allSettled(
      opened.map(async ({ connector, system }) => {
        await system.catalogue.close();
        await connector.close();
      }),
    );
  }
}

/** The shapes of the tables that the configuration names in one system. */
export function readShapes(configuration: Configuration, system: OpenedSystem): Promise<readonly TableShape[]> {
  const references = tablesNeeded(configuration).filter((need) => need.system === system.name);
  return system.catalogue.tables(references.map(({ entity, table }) => ({ entity, table })));
}
