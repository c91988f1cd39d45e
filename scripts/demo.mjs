// npm run demo [-- --once]: two databases kept in agreement, on this machine, from nothing.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './bootstrap.mjs';

prepare({ servers: !(process.env.KAFKA_BROKERS && process.env.SCHEMA_REGISTRY_URL) });
process.setSourceMapsEnabled(true);
await import(pathToFileURL(join(root, 'dist', 'examples', 'northwind', 'demo.js')).href);
