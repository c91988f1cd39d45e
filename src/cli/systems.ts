import { createConnector } from '../../connectors/registry.js';
import type { Configuration } from '../config/schema.js';
import type { Catalogue, Connector, TableReference } from '../connector/contract.js';
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

/** The tables that the configuration names in one system. */
export function referencesTo(configuration: Configuration, system: string): readonly TableReference[] {
  const needed = tablesNeeded(configuration).filter((need) => need.system === system);
  return needed.map(({ entity, table }) => ({ entity, table }));
}

/** Their shapes. @throws DuologError TABLE_NOT_FOUND and whatever keeps the system from answering. */
export function readShapes(configuration: Configuration, system: OpenedSystem): Promise<readonly TableShape[]> {
  return system.catalogue.tables(referencesTo(configuration, system.name));
}
