import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { repositoryFiles } from '../support/source-files.js';

const documents = repositoryFiles().filter((path) => path.endsWith('.md'));

/** As GitHub makes the anchor of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchors(file: string): readonly string[] {
  return Array.from(readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm), (match) => anchor(match[1] ?? ''));
}

it.each(documents)('%s links to what there is', (document) => {
  const links = Array.from(
    readFileSync(document, 'utf8').matchAll(/\]\((?!https?:)([^)\s]+)\)/g),
    (match) => match[1] ?? '',
  );
  const broken = links.filter((link) => {
    const [path = '', fragment] = link.split('#');
    const file = path === '' ? document : join(dirname(document), path);
    return !existsSync(file) || (fragment !== undefined && !anchors(file).includes(fragment));
  });
  expect(broken).toEqual([]);
});
