// npm run kill -- --rounds N --seed S: kills, freezes and cuts on real parts, judged by an oracle outside of Duolog.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { prepare, root, run } from './bootstrap.mjs';

prepare({ servers: true });
const out = join(root, 'dist', 'kill');
const project = join(root, 'test', 'kill', 'tsconfig.json');
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--out', out, '--project', project]);
const main = [process.execPath, '--enable-source-maps', join(out, 'test', 'kill', 'main.js'), ...process.argv.slice(2)];
// Disks that can become full are mounts, which go with the process where it has a mount namespace of its own.
const namespace = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0;
const [command, ...args] = namespace ? ['unshare', '--mount', ...main] : main;
// Ctrl-C: the round in hand is finished, and the servers are ended, by the process itself.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => undefined);
run(command, args);
