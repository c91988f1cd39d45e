import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node } from 'yaml';
import type { LocatedProblem, Path, Problem } from './problems.js';
import { substituteVariables } from './variables.js';

/** A configuration file's text, parsed, with the way back from a path to line and column. */
export interface ConfigurationText {
  readonly value: unknown;
  readonly problems: readonly LocatedProblem[];
  readonly locate: (problem: Problem) => LocatedProblem;
}

/** Parses YAML and puts the variables in. Aliases are limited, so that a small file cannot become a huge one. */
export function parseConfigurationText(
  text: string,
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): ConfigurationText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number | undefined): { readonly line: number | null; readonly column: number | null } => {
    if (offset === undefined) return { line: null, column: null };
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const locate = (problem: Problem): LocatedProblem => ({
    ...problem,
    file,
    ...place(offsetOf(document, problem.path)),
  });
  const [error] = document.errors;
  if (error !== undefined) {
    const problem = { path: [], ...syntaxProblem(error.message), file, ...place(error.pos[0]) };
    return { value: undefined, problems: [problem], locate };
  }
  const missing = substituteVariables(document, environment).map(locate);
  try {
    return { value: document.toJS({ maxAliasCount: 100 }), problems: missing, locate };
  } catch {
    const problem = { path: [], message: 'its aliases are missing, circular or too many', suggestion: null };
    return { value: undefined, problems: [locate(problem)], locate };
  }
}

/** The first error alone, as all others may follow from it; without the file's own text, which may be a secret. */
function syntaxProblem(text: string): Pick<Problem, 'message' | 'suggestion'> {
  const unquoted = text.startsWith('Unexpected flow-map-start');
  return {
    message: text.replace(/: ".*$/s, '').replace(/\.$/, ''),
    suggestion: unquoted ? 'Within { } and [ ] a variable is put in quotes: "${NAME}".' : null,
  };
}

/** Where the path's last part begins, or as much of the path as the file has. A missing key is where its map is. */
function offsetOf(document: Document, path: Path): number | undefined {
  let node: Node | null = isNode(document.contents) ? document.contents : null;
  let offset = node?.range?.[0];
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === String(part));
      if (pair === undefined) return offset;
      if (isNode(pair.key)) offset = pair.key.range?.[0];
      node = isNode(pair.value) ? pair.value : null;
    } else if (isSeq(node)) {
      const item: unknown = node.items[Number(part)];
      if (!isNode(item)) return offset;
      offset = item.range?.[0];
      node = item;
    } else return offset;
  }
  return offset;
}
