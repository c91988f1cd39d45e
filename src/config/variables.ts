import { Scalar, visit, type Document, type Node, type Pair } from 'yaml';
import type { Path, Problem } from './problems.js';

const VARIABLE = /\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\})/g;

/**
 * Puts environment variables into the values of a YAML document: `${NAME}`, or `${NAME:-default}` where the variable
 * may be missing or empty; `$${` is a literal `${`. Works on values after parsing, so that no character of a
 * variable can change the structure. Gives a problem for each variable that is not set.
 */
export function substituteVariables(
  document: Document,
  environment: Readonly<Record<string, string | undefined>>,
): readonly Problem[] {
  const problems: Problem[] = [];
  visit(document, {
    Scalar(key, node, ancestors) {
      if (key === 'key' || typeof node.value !== 'string' || !node.value.includes('$')) return;
      const substituted = node.value.replace(VARIABLE, (whole, escaped: string, name: string, _, fallback?: string) => {
        if (escaped === '${') return '${';
        const value = environment[name];
        if (value !== undefined && value !== '') return value;
        if (fallback !== undefined) return fallback;
        problems.push({
          path: pathOf(ancestors, node),
          message: `the environment variable ${name} is not set`,
          suggestion: `Set it, or write \${${name}:-default}.`,
        });
        return whole;
      });
      node.value = node.type === Scalar.PLAIN && !isLogin(ancestors.at(-1)) ? plainValue(substituted) : substituted;
    },
  });
  return problems;
}

/** A login is a text, whatever it looks like. */
function isLogin(parent: Document | Node | Pair | undefined): boolean {
  return parent !== undefined && 'key' in parent && /^(username|password)$/.test(String(parent.key));
}

/** An unquoted value keeps YAML's meaning of numbers and booleans after the substitution. */
function plainValue(text: string): string | number | boolean | null {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === '') return null;
  return /^-?(0|[1-9]\d{0,14})(\.\d+)?$/.test(text) ? Number(text) : text;
}

function pathOf(ancestors: readonly (Document | Node | Pair)[], leaf: Node): Path {
  const path: (string | number)[] = [];
  for (let at = 0; at < ancestors.length; at++) {
    const ancestor = ancestors[at];
    const next = ancestors[at + 1] ?? leaf;
    if (ancestor !== undefined && 'key' in ancestor) path.push(String(ancestor.key));
    else if (ancestor !== undefined && 'items' in ancestor && Array.isArray(ancestor.items) && !('key' in next)) {
      path.push((ancestor.items as unknown[]).indexOf(next));
    }
  }
  return path;
}
