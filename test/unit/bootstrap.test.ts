import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
