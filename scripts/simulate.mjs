// npm run simulate -- --runs N --seed S: random scenarios against the shipped decision and tasks, in memory.
import { join } from 'node:path';
import { checkNode, installPackages, root, run } from './bootstrap.mjs';

checkNode();
installPackages();
const out = join(root, 'dist', 'simulation');
const project = join(root, 'test', 'simulation', 'tsconfig.json');
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--out', out, '--project', project]);
const main = join(out, 'test', 'simulation', 'main.js');
run(process.execPath, ['--enable-source-maps', main, ...process.argv.slice(2)]);
