// Compiles to dist/ and puts beside the code what it reads at run time.
//   --out FOLDER     there instead, and without the type check, which has its own command
//   --project FILE   what to compile, instead of tsconfig.build.json
//   --clean          removes what is there before
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { out: { type: 'string' }, project: { type: 'string' }, clean: { type: 'boolean', default: false } },
});
const out = values.out ? resolve(values.out) : join(root, 'dist');
const project = values.project ? resolve(values.project) : join(root, 'tsconfig.build.json');

if (values.clean) rmSync(out, { recursive: true, force: true });
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const options = ['-p', project, '--outDir', out, ...(values.out ? ['--noCheck'] : [])];
const { status } = spawnSync(process.execPath, [compiler, ...options], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

cpSync(join(root, 'schemas'), join(out, 'schemas'), { recursive: true });
const main = join(out, 'src', 'cli', 'main.js');
if (existsSync(main)) chmodSync(main, 0o755);
