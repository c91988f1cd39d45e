/** What a task may do after an error: try at once, try after a pause, wait for a person, or give up. */
export type Retry = 'now' | 'backoff' | 'operator' | 'never';

export interface ErrorKind {
  readonly retry: Retry;
  /** What the reader of the error can do about it; a thrower may give a more exact hint. */
  readonly hint: string;
}

/**
 * Every error Duolog raises, with its retry policy and what to do about it.
 * docs/errors.md explains each; a test keeps both lists equal.
 */
export const ERROR_KINDS = {
  CONFIG_INVALID: { retry: 'never', hint: 'Correct the configuration at the named path.' },
  CONFIG_CHANGED: {
    retry: 'operator',
    hint: 'Run the configuration that made this state, or reset the sync with a new prefix.',
  },
  INTERNAL: { retry: 'never', hint: 'This is a defect of Duolog; please report it with the log.' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;
