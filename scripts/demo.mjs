// npm run demo [-- --once]: two databases kept in agreement, on this machine, from nothing.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { prepare, root } from './bootstrap.mjs';

prepare({ servers: !(process.env.KAFKA_BROKERS && process.env.SCHEMA_REGISTRY_URL) });

const demo = join(root, 'dist', 'examples', 'northwind', 'demo.js');
const child = spawn(process.execPath, ['--enable-source-maps', demo, ...process.argv.slice(2)], { stdio: 'inherit' });
// A Ctrl-C reaches the demo by the terminal; it decides when to end, and we end with it.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => child.kill('SIGTERM'));
process.on('SIGHUP', () => child.kill('SIGHUP'));
child.on('exit', (code, signal) => process.exit(signal ? 130 : (code ?? 1)));
