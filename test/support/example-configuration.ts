import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exampleFolder } from '../../examples/northwind/northwind-data.js';
import { checkConfiguration, type LoadedConfiguration } from '../../src/config/load.js';
import { stack, uniquePrefix } from './shared.js';

/** The example's configuration under a new prefix, over these databases of the ERP and the CRM and the shared stack. */
export async function exampleConfiguration(
  erpUrl: string,
  crmUrl: string,
  stateFolder: string,
): Promise<LoadedConfiguration> {
  const { brokers, registry } = await stack();
  const file = join(exampleFolder, 'duolog.yaml');
  const text = await readFile(file, 'utf8');
  return checkConfiguration(text.replace('prefix: northwind', `prefix: ${uniquePrefix()}`), file, {
    KAFKA_BROKERS: brokers.join(','),
    SCHEMA_REGISTRY_URL: registry,
    ERP_URL: erpUrl,
    CRM_URL: crmUrl,
    DUOLOG_STATE_FOLDER: stateFolder,
  });
}
