import { ERROR_KINDS, type ErrorCode, type Retry } from './codes.js';

export interface ErrorDetails {
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The one error class: what happened, its documented code, whether to try again, and what a person can do. */
export class DuologError extends Error {
  override readonly name = 'DuologError';
  readonly code: ErrorCode;
  readonly retry: Retry;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.retry = ERROR_KINDS[code].retry;
    this.hint = details.hint ?? ERROR_KINDS[code].hint;
  }
}
