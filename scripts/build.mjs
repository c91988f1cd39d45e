// Compiles to dist/ and puts beside the code what it reads at run time.
// With --out FOLDER: there instead, and without the type check, which has its own command.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const elsewhere = process.argv[2] === '--out' ? process.argv[3] : undefined;
const out = elsewhere ? resolve(elsewhere) : join(root, 'dist');

const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const project = ['-p', join(root, 'tsconfig.build.json'), '--outDir', out, ...(elsewhere ? ['--noCheck'] : [])];
const { status } = spawnSync(process.execPath, [compiler, ...project], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

cpSync(join(root, 'schemas'), join(out, 'schemas'), { recursive: true });
const main = join(out, 'src', 'cli', 'main.js');
if (existsSync(main)) chmodSync(main, 0o755);
