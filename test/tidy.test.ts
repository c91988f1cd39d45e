import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSource, repositoryFiles, type SourceFile, textOf } from './support/source-files.js';

/** The house rules that a machine can check. Each exception says why it is one. */
const exceptions: Readonly<Record<string, string>> = {};

const maxFileLines = 400;
const maxFunctionLines = 70;

const files = repositoryFiles();
const sources = files.filter((path) => /\.(ts|mts|mjs|js)$/.test(path)).map(readSource);
const product = sources.filter(({ path }) => /^(src|connectors)\//.test(path));

/** What a folder may import: other folders of the repository, and packages (node:crypto for its hashes). */
interface FolderRule {
  readonly folder: string;
  readonly why: string;
  readonly folders: readonly string[];
  readonly packages: readonly string[];
}

const pure = ['src/model/', 'src/errors/', 'src/plan/', 'src/mapping/', 'src/decision/'];
const contracts = ['src/connector/contract.ts', 'src/state/contract.ts', 'src/log/contract.ts', 'src/log/topics.ts'];

const folderRules: readonly FolderRule[] = [
  { folder: 'src/model/', why: 'the values that all others speak of', folders: ['src/model/'], packages: [] },
  {
    folder: 'src/errors/',
    why: 'known to everybody, so it knows nobody',
    folders: ['src/errors/'],
    packages: [],
  },
  {
    folder: 'src/decision/',
    why: 'a pure function: no clock, no random, no I/O (I14)',
    folders: [...pure, ...contracts],
    packages: ['node:crypto'],
  },
  {
    folder: 'src/mapping/',
    why: 'pure: the simulation runs it millions of times',
    folders: [...pure, ...contracts],
    packages: ['node:crypto'],
  },
  {
    folder: 'src/plan/',
    why: 'compiled without I/O; it hashes its fingerprint',
    folders: [...pure, ...contracts, 'src/config/'],
    packages: ['node:crypto'],
  },
];

describe('the folders know only whom they may know', () => {
  it.each(folderRules)('$folder: $why', ({ folder, folders, packages }) => {
    const offences = sources
      .filter(({ path }) => path.startsWith(folder))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ file, specifier }) =>
            file === null ? !packages.includes(specifier) : !folders.some((allowed) => file.startsWith(allowed)),
          )
          .map(({ specifier }) => `${path} imports ${specifier}`),
      );
    expect(offences).toEqual([]);
  });

  it('only src/kafka imports kafkajs: the corrections must come before its first use', () => {
    const offenders = sources
      // The example consumer is a stranger's process, which has nothing of ours.
      .filter(({ path }) => !/^(src\/kafka|test\/conformance\/kafka|examples\/consumer\/)/.test(path))
      .filter(({ imports }) => imports.some(({ specifier }) => /^kafkajs(\/|$)/.test(specifier)));
    expect(paths(offenders)).toEqual([]);
  });

  it('connectors know src only through the contract, the model, the plan, the mapping, the errors and the fail points', () => {
    const allowed = [...pure, 'src/connector/', 'src/failpoints.ts', 'connectors/'];
    const offences = product
      .filter(({ path }) => path.startsWith('connectors/'))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ file }) => file !== null && !allowed.some((folder) => file.startsWith(folder)))
          .map(({ file }) => `${path} imports ${file}`),
      );
    expect(offences).toEqual([]);
  });

  it('a connector does not know another connector', () => {
    const folderOf = (path: string) => path.split('/')[1] ?? '';
    const offences = product
      .filter(({ path }) => /^connectors\/[^/]+\//.test(path))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ file }) => file !== null && /^connectors\/[^/]+\//.test(file) && folderOf(file) !== folderOf(path))
          .map(({ file }) => `${path} imports ${file}`),
      );
    expect(offences).toEqual([]);
  });

  it('src finds connectors through their registry, and only where the parts are put together', () => {
    const offences = product
      .filter(({ path }) => path.startsWith('src/'))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ file }) => file?.startsWith('connectors/') === true)
          .filter(({ file }) => file !== 'connectors/registry.ts' || !/^src\/(runtime|main|cli\/)/.test(path))
          .map(({ file }) => `${path} imports ${file}`),
      );
    expect(offences).toEqual([]);
  });

  it('the product imports neither tests nor examples nor the local stack', () => {
    const offences = product.flatMap(({ path, imports }) =>
      imports
        .filter(({ file }) => file !== null && !/^(src|connectors)\//.test(file))
        .map(({ file }) => `${path} imports ${file}`),
    );
    expect(offences).toEqual([]);
  });

  it('the oracle of the kills shares no code with the product', () => {
    const offences = sources
      .filter(({ path }) => /^test\/kill\/(oracle|world|witness)\//.test(path))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ file }) => /^(src|connectors)\//.test(file ?? ''))
          .map(({ file }) => `${path} imports ${file}`),
      );
    expect(offences).toEqual([]);
  });

  it('has no circle of imports', () => {
    expect(circles(sources)).toEqual([]);
  });
});

describe('nothing is too large to be read in one go', () => {
  it(`files of at most ${maxFileLines} lines`, () => {
    const large = sources.filter(({ path, lines }) => lines > maxFileLines && !exceptions[path]);
    expect(large.map(({ path, lines }) => `${path}: ${lines}`)).toEqual([]);
  });

  it(`functions of at most ${maxFunctionLines} lines`, () => {
    const large = sources
      .filter(({ path }) => !exceptions[path])
      .flatMap(({ path, functions }) =>
        functions
          .filter(({ lines }) => lines > maxFunctionLines)
          .map(({ name, line, lines }) => `${path}:${line} ${name}: ${lines}`),
      );
    expect(large).toEqual([]);
  });
});

describe('names say what a thing is', () => {
  const empty = /^(utils?|helpers?|managers?|misc|stuff)$/i;

  it('files and folders', () => {
    const words = (path: string) => path.split('/').flatMap((part) => part.split(/[-_.]/));
    const offences = files.filter((path) => words(path).some((word) => empty.test(word)));
    expect(offences).toEqual([]);
  });

  it('what files export', () => {
    const words = (name: string) => name.split(/(?=[A-Z])/);
    const offences = sources.flatMap(({ path, exports }) =>
      exports.filter((name) => words(name).some((word) => empty.test(word))).map((name) => `${path}: ${name}`),
    );
    expect(offences).toEqual([]);
  });
});

describe('a clone stands on its own', () => {
  const texts = files.filter((path) => !/\.(png|ico|gz|jar|csv)$/.test(path) && path !== 'test/tidy.test.ts');

  it('mentions no path of one machine and nothing outside of the repository', () => {
    const foreign = /\.\.\/shared|(?<![\w.$}])\/(work|root|home|Users)\/[\w-]/;
    expect(linesWith(texts, foreign)).toEqual([]);
  });

  it('leaves nothing to be done later', () => {
    expect(linesWith(texts, /\b(TODO|FIXME|XXX)\b/)).toEqual([]);
  });

  it('locks packages without download addresses, so that everybody uses their own registry', () => {
    expect(textOf('package-lock.json')).not.toContain('"resolved"');
  });

  it('names every package that is imported', () => {
    const manifest = JSON.parse(textOf('package.json')) as Record<string, Record<string, string>>;
    const known = new Set([
      ...Object.keys(manifest.dependencies ?? {}),
      ...Object.keys(manifest.devDependencies ?? {}),
    ]);
    const offences = sources.flatMap(({ path, imports }) =>
      imports
        .filter(
          ({ file, specifier }) => file === null && !specifier.startsWith('node:') && !known.has(packageOf(specifier)),
        )
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expect(offences).toEqual([]);
  });

  it('runs with the dependencies of production alone', () => {
    const manifest = JSON.parse(textOf('package.json')) as Record<string, Record<string, string>>;
    const offences = product.flatMap(({ path, imports }) =>
      imports
        .filter(({ file, specifier, typeOnly }) => file === null && !specifier.startsWith('node:') && !typeOnly)
        .filter(({ specifier }) => manifest.dependencies?.[packageOf(specifier)] === undefined)
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expect(offences).toEqual([]);
  });

  it('lists no exception that is none', () => {
    const needless = Object.keys(exceptions).filter((path) => {
      const source = sources.find((found) => found.path === path);
      if (source === undefined) return true;
      return source.lines <= maxFileLines && source.functions.every(({ lines }) => lines <= maxFunctionLines);
    });
    expect(needless).toEqual([]);
  });
});

function paths(found: readonly SourceFile[]): string[] {
  return found.map(({ path }) => path);
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function linesWith(names: readonly string[], pattern: RegExp): string[] {
  return names.flatMap((path) =>
    textOf(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${basename(path)} (${path}:${index + 1})`] : [])),
  );
}

/** Circles of imports, those of types alone included, each named by its files. */
function circles(all: readonly SourceFile[]): string[] {
  const byPath = new Map(all.map((source) => [source.path, source]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, way: readonly string[]) => {
    const at = way.indexOf(path);
    if (at >= 0) found.push([...way.slice(at), path].join(' → '));
    if (at >= 0 || done.has(path)) return;
    for (const { file } of byPath.get(path)?.imports ?? []) {
      if (file !== null) visit(file, [...way, path]);
    }
    done.add(path);
  };
  for (const path of byPath.keys()) visit(path, []);
  return found;
}
