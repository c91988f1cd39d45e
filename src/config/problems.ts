import { DuologError } from '../errors/duolog-error.js';
import { redactSecrets } from './redaction.js';

export type Path = readonly (string | number)[];

/** One thing wrong with the configuration. */
export interface Problem {
  readonly path: Path;
  /** What is wrong; never a value that could be a secret. */
  readonly message: string;
  /** What to write instead, or null. */
  readonly suggestion: string | null;
}

/** A problem with its place in the file. */
export interface LocatedProblem extends Problem {
  readonly file: string;
  /** From 1; null when the file has no such place. */
  readonly line: number | null;
  readonly column: number | null;
}

/** `syncs.customers.entities.company.match[0].on` */
export function pathText(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[\w-]+$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `["${part}"]`;
  }
  return text === '' ? '(the whole file)' : text;
}

/** `duolog.yaml:12:5 syncs.customers: why. Suggestion.` */
export function problemText(problem: LocatedProblem): string {
  const place = problem.line === null ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  const suggestion = problem.suggestion === null ? '' : ` ${problem.suggestion}`;
  const path = pathText(problem.path);
  // A colon behind the name of a secret would make what follows look like its value.
  const colon = redactSecrets(`${path}: x`).endsWith('x') ? ':' : ' -';
  return redactSecrets(`${place} ${path}${colon} ${problem.message}.${suggestion}`);
}

/** All problems at once, as one error; the list itself is the error's `cause`. */
export function configurationError(problems: readonly LocatedProblem[]): DuologError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  const list = problems.map((problem) => `\n  ${problemText(problem)}`).join('');
  return new DuologError('CONFIG_INVALID', `The configuration has ${count}:${list}`, { cause: problems });
}

/** `Did you mean "match"?` for a name close to one of the known ones, else the list of them. */
export function didYouMean(name: string, known: readonly string[]): string | null {
  if (known.length === 0) return null;
  let best: { readonly name: string; readonly distance: number } | null = null;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (best === null || distance < best.distance) best = { name: candidate, distance };
  }
  if (best !== null && best.distance <= (name.length < 4 ? 1 : Math.max(2, Math.floor(name.length / 3))))
    return `Did you mean "${best.name}"?`;
  const listed = known.slice(0, 30);
  return `Known here: ${listed.join(', ')}${known.length > listed.length ? ', …' : ''}.`;
}

/** Levenshtein's distance, with two letters in the wrong order as one mistake; both texts are short. */
function editDistance(left: string, right: string): number {
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, at) => at)];
  const cell = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= right.length; j++) {
      const replaced = cell(i - 1, j - 1) + (left[i - 1] === right[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      row.push(Math.min(replaced, cell(i - 1, j) + 1, cell(i, j - 1) + 1, swapped ? cell(i - 2, j - 2) + 1 : Infinity));
    }
  }
  return cell(left.length, right.length);
}
