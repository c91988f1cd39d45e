import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../deploy/dev/paths.js';
import { builtSources } from '../support/shared.js';
import { companyPair, type CompanyPair } from './cli-fixture.js';

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
}

/** What `npm pack` makes, in a folder of its own beside nothing but the packages that it depends on. */
describe('the package', () => {
  let folder: string;
  let pair: CompanyPair;
  let packed: readonly string[];
  let command: string;
  const manifest = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as Manifest;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'duolog-package-'));
    const source = join(folder, 'source');
    cpSync(await builtSources(), join(source, 'dist'), { recursive: true });
    for (const file of ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE']) {
      cpSync(join(packageRoot(), file), join(source, file));
    }
    // Its script would build, which is done.
    const report = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
      cwd: source,
      encoding: 'utf8',
    });
    const [made] = JSON.parse(report) as { filename: string; files: { path: string }[] }[];
    packed = made!.files.map(({ path }) => path);
    const modules = join(folder, 'node_modules');
    mkdirSync(join(modules, 'duolog'), { recursive: true });
    execFileSync('tar', ['-xzf', join(folder, made!.filename), '-C', join(modules, 'duolog'), '--strip-components=1']);
    for (const name of Object.keys(manifest.dependencies)) {
      mkdirSync(dirname(join(modules, name)), { recursive: true });
      symlinkSync(join(packageRoot(), 'node_modules', name), join(modules, name));
    }
    command = join(modules, 'duolog', manifest.bin['duolog']!);
    pair = await companyPair();
  }, 300_000);

  afterAll(async () => {
    await pair?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('has the command, the connectors and the schemas, and nothing that only tests need', () => {
    expect(packed).toContain('dist/src/cli/main.js');
    expect(packed).toContain('dist/connectors/postgres/index.js');
    expect(packed).toContain('dist/schemas/change.avsc');
    expect(packed).toContain('LICENSE');
    expect(packed.filter((path) => /memory|deploy|examples|test/.test(path))).toEqual([]);
  });

  it('says its version', () => {
    const text = execFileSync(process.execPath, [command, '--version'], { encoding: 'utf8', cwd: folder });
    expect(text.trim()).toBe(manifest.version);
  });

  it('checks two real databases, Kafka and the registry', () => {
    const text = execFileSync(process.execPath, [command, 'check', '--json', '--config', pair.file], {
      encoding: 'utf8',
      cwd: folder,
      env: { ...process.env, ...pair.env },
    });
    expect(JSON.parse(text)).toMatchObject({ ok: true });
  });
});
