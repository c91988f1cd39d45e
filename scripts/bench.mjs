// npm run bench -- --help: how fast the shipped `duolog run` is, beside others on the same work.
import { join } from 'node:path';
import { checkNode, installPackages, root, run } from './bootstrap.mjs';

checkNode();
installPackages();
const out = join(root, 'dist', 'bench');
const project = join(root, 'bench', 'tsconfig.json');
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--out', out, '--project', project]);
const main = join(out, 'bench', 'main.js');
run(process.execPath, ['--enable-source-maps', main, ...process.argv.slice(2)]);
