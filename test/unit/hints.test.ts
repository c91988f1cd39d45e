import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { ERROR_KINDS } from '../../src/errors/codes.js';
import { repositoryFiles } from '../support/source-files.js';

/** What a person is told to type must be there to be typed. */
const commands = new Map(
  createProgram(() => async () => undefined).commands.map((command) => [
    command.name(),
    new Set(command.options.flatMap(({ long, short }) => [long, short])),
  ]),
);
const everyOption = new Set([...commands.values()].flatMap((options) => [...options]));

/** Names of commands and options that a text has and Duolog has not; an option right behind its command must be that one's. */
function unknownIn(text: string): readonly string[] {
  const unknown: string[] = [];
  for (const [line, name = '', rest = ''] of text.matchAll(/\bduolog ([a-z][a-z-]*)((?: [^`\s.;,)]+)*)/g)) {
    const options = commands.get(name);
    if (options === undefined) unknown.push(line);
    else unknown.push(...optionsIn(rest).filter((option) => !options.has(option)));
  }
  return unknown;
}

function optionsIn(text: string): readonly string[] {
  return Array.from(text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g), ([option]) => option);
}

describe('a hint', () => {
  it.each(Object.entries(ERROR_KINDS))('of %s names what the command line has', (_code, { hint }) => {
    // "duolog" in prose is "Duolog": whatever follows the small word is a command.
    expect(unknownIn(hint)).toEqual([]);
    expect(optionsIn(hint).filter((option) => !everyOption.has(option))).toEqual([]);
  });

  it('that names what is not there is found out', () => {
    expect(unknownIn('Run `duolog repair`.')).toEqual(['duolog repair']);
    expect(unknownIn('Run `duolog resync crm --force`.')).toEqual(['--force']);
    expect(unknownIn('Run `duolog resync crm --entity company --allow-deletes`.')).toEqual([]);
    expect(optionsIn('with --everything').filter((option) => !everyOption.has(option))).toEqual(['--everything']);
  });
});

it('no page and no message tells of a command that is not there', () => {
  const texts = repositoryFiles().filter((path) => /^src\/.*\.ts$|\.md$/.test(path));
  const unknown = texts.flatMap((path) => {
    const quoted = Array.from(readFileSync(path, 'utf8').matchAll(/`(duolog [^`]+)`/g), ([, text = '']) => text);
    return quoted.flatMap((text) => unknownIn(text)).map((name) => `${path}: ${name}`);
  });
  expect(unknown).toEqual([]);
});
