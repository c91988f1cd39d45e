import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../deploy/dev/paths.js';

const bootstrap = pathToFileURL(join(packageRoot(), 'scripts/bootstrap.mjs')).href;

describe('a machine that lacks something', () => {
  let path: string;
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'duolog-path-'));
  });
  afterEach(() => rmSync(path, { recursive: true }));

  it.each([
    ['an old Node.js', 'v18.19.0', {}, /Node\.js 20\.19 or newer is needed; this is 18\.19\.0/],
    ['no Java', null, {}, /Java 17 or newer is needed.*none was found[\s\S]*apt-get install openjdk-17/],
    ['Java 8', null, { java: 'openjdk version "1.8.0_412"' }, /Java 17 or newer.*this is 8\.0_412/],
    ['no Maven', null, { java: 'openjdk version "21.0.1" 2023' }, /Maven 3\.6\.3 or newer.*none was found[\s\S]*maven/],
    [
      'an old Maven',
      null,
      { java: 'openjdk version "17.0.15"', mvn: 'Apache Maven 3.3.9 (bb52d85)' },
      /Maven 3\.6\.3 or newer.*this is 3\.3\.9/,
    ],
  ])('hears of %s at once, and what to install', (_, node, tools, message) => {
    for (const [name, version] of Object.entries(tools)) {
      writeFileSync(join(path, name), `#!/bin/sh\necho '${version}'\n`);
      chmodSync(join(path, name), 0o755);
    }
    const pretend =
      node === null ? '' : `Object.defineProperty(process, 'versions', { value: { node: '${node.slice(1)}' } });`;
    const script = `${pretend}(await import('${bootstrap}')).prepare({ servers: true })`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { PATH: path },
      encoding: 'utf8',
    });
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });
});

describe('a machine that has everything', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'duolog-second-start-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('downloads the jars at its first start and nothing at its second', () => {
    tool('java', `echo 'openjdk version "21.0.1" 2023'`);
    tool('npm', 'exit 1');
    const version = `[ "$1" = -v ] && echo 'Apache Maven 3.9.9' && exit 0`;
    tool('mvn', `${version}\nfor word; do case "$word" in -Dtarget=*) /bin/mkdir "\${word#*=}/kafka";; esac; done`);
    const first = prepare();
    expect(first.status, first.stderr).toBe(0);
    expect(first.stdout).toContain('Downloading Kafka and the schema registry');
    expect(first.called).toEqual(['mvn -v -B', expect.stringMatching(/^mvn .* generate-resources -Dtarget=/)]);
    tool('mvn', `${version}\nexit 1`);
    const second = prepare();
    expect(second.status, second.stderr).toBe(0);
    expect(second.stdout).not.toContain('Downloading');
    expect(second.called).toEqual(['mvn -v -B']);
  });

  /** A script that notes how it was called. */
  function tool(name: string, script: string): void {
    writeFileSync(join(folder, name), `#!/bin/sh\necho "${name} $*" >> "${join(folder, 'called')}"\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }

  /** The preparation of `npm run demo` and `npm test` with a cache of its own, where no process of ours can connect. */
  function prepare() {
    const noNetwork = `import net from 'node:net'; net.Socket.prototype.connect = () => { throw new Error('No network') }`;
    const called = join(folder, 'called');
    rmSync(called, { force: true });
    const script = `(await import('${bootstrap}')).prepare({ servers: true })`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: {
        PATH: folder,
        XDG_CACHE_HOME: join(folder, 'cache'),
        NODE_OPTIONS: `--import="data:text/javascript,${encodeURIComponent(noNetwork)}"`,
      },
      encoding: 'utf8',
    });
    const calls = existsSync(called) ? readFileSync(called, 'utf8').trim().split('\n') : [];
    return { status, stdout, stderr, called: calls.filter((call) => !call.startsWith('java')) };
  }
});
