import type { Path, Problem } from '../config/problems.js';

/** Gathers everything that is wrong, so that one run of `check` shows all of it. */
export class Findings {
  readonly problems: Problem[] = [];
  /** What works but will probably surprise. */
  readonly warnings: Problem[] = [];

  problem(path: Path, message: string, suggestion: string | null = null): void {
    this.problems.push({ path, message, suggestion });
  }

  warning(path: Path, message: string, suggestion: string | null = null): void {
    this.warnings.push({ path, message, suggestion });
  }
}
