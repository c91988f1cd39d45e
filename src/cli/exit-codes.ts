/** How a command ends, for scripts; docs/operations.md has the same list. */
export const EXIT = {
  /** Done, and nothing is wrong. */
  OK: 0,
  /** Done, and something is wrong: `check` found an error, a task gave up, `status` shows a process that is not healthy. */
  PROBLEM: 1,
  /** The command line or the configuration is wrong; nothing was done. */
  USAGE: 2,
  /** Ended before it was done: a second signal, ten seconds after the first, or any before `run --observe` has told. */
  CUT_SHORT: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
