import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parseSync } from 'oxc-parser';
import { packageRoot } from '../../deploy/dev/paths.js';

/** A source file with what the tidy test asks of it. Paths are relative to the repository, with slashes. */
export interface SourceFile {
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly functions: readonly { readonly name: string; readonly line: number; readonly lines: number }[];
  readonly exports: readonly string[];
}

export interface Import {
  /** As written: `node:fs`, `pg`, `../model/value.js`. */
  readonly specifier: string;
  /** The file it names, or null for a package. */
  readonly file: string | null;
  /** Disappears when compiled. */
  readonly typeOnly: boolean;
}

/** Every file that is or is about to be in the repository. */
export function repositoryFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: packageRoot(),
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return listed.split('\n').filter((path) => path !== '' && existsSync(join(packageRoot(), path)));
}

export function textOf(path: string): string {
  return readFileSync(join(packageRoot(), path), 'utf8');
}

/** Parses one TypeScript or JavaScript file. @throws Error where it does not parse. */
export function readSource(path: string): SourceFile {
  const text = textOf(path);
  const { program, module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`);
  const lineOf = lineFinder(text);
  const statics = module.staticImports.map((found) => ({
    specifier: found.moduleRequest.value,
    typeOnly: found.entries.length > 0 && found.entries.every((entry) => entry.isType),
  }));
  const dynamics = module.dynamicImports.flatMap((found) => {
    const written = text.slice(found.moduleRequest.start, found.moduleRequest.end);
    return /^['"]/.test(written) ? [{ specifier: written.slice(1, -1), typeOnly: false }] : [];
  });
  const reexports = module.staticExports.flatMap((found) =>
    found.entries.flatMap((entry) =>
      entry.moduleRequest ? [{ specifier: entry.moduleRequest.value, typeOnly: entry.isType }] : [],
    ),
  );
  return {
    path,
    lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0),
    imports: [...statics, ...dynamics, ...reexports].map((found) => ({
      ...found,
      file: target(path, found.specifier),
    })),
    functions: functionsIn(program as unknown as Node, lineOf),
    exports: module.staticExports.flatMap((found) =>
      found.entries.flatMap((entry) => (entry.exportName.name ? [entry.exportName.name] : [])),
    ),
  };
}

function target(from: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  const path = normalize(join(dirname(from), specifier));
  return path.endsWith('.js') ? path.replace(/\.js$/, '.ts') : path;
}

function lineFinder(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}

/** What is needed of a syntax tree; the parser's own types are one for each kind of node. */
interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [property: string]: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

const functionTypes = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

function functionsIn(program: Node, lineOf: (offset: number) => number): SourceFile['functions'][number][] {
  const found: SourceFile['functions'][number][] = [];
  const visit = (node: Node, parent: Node | null) => {
    if (functionTypes.has(node.type) && !groupsTests(parent)) {
      const line = lineOf(node.start);
      found.push({ name: nameOf(node, parent), line, lines: lineOf(node.end) - line + 1 });
    }
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, node);
    }
  };
  visit(program, null);
  return found;
}

/** The callback of describe holds tests as a file does. */
function groupsTests(parent: Node | null): boolean {
  for (let callee: unknown = parent?.type === 'CallExpression' ? parent.callee : null; isNode(callee); ) {
    if (callee.type === 'Identifier') return callee.name === 'describe';
    callee = callee.type === 'CallExpression' ? callee.callee : callee.object;
  }
  return false;
}

function nameOf(node: Node, parent: Node | null): string {
  for (const named of [node.id, parent?.key, parent?.id]) {
    if (isNode(named) && typeof named.name === 'string') return named.name;
  }
  return '(without a name)';
}
