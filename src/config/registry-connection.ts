import type { RegistryOptions } from '../avro/registry.js';
import type { KafkaConfiguration } from './schema.js';

/** The schema registry's addresses with the login in them, as the client takes it. */
export function registryOptions({ schemaRegistry }: KafkaConfiguration): RegistryOptions {
  const { url, username, password } = schemaRegistry;
  const urls = url.split(',').map((part) => {
    const address = new URL(part.trim());
    if (username !== undefined) address.username = encodeURIComponent(username);
    if (password !== undefined) address.password = encodeURIComponent(password);
    return address.href;
  });
  return { url: urls.join(',') };
}
