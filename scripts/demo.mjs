// npm run demo [-- --once]: two databases kept in agreement, on this machine, from nothing.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './bootstrap.mjs';

// Whoever read our output has gone, as `| head` does.
const unread = () => process.exit(1);
process.stdout.on('error', unread);
prepare({ servers: !(process.env.KAFKA_BROKERS && process.env.SCHEMA_REGISTRY_URL) });
process.setSourceMapsEnabled(true);
process.stdout.off('error', unread);
await import(pathToFileURL(join(root, 'dist', 'examples', 'northwind', 'demo.js')).href);
