import type { Outcome } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import type { Row, Value } from '../model/value.js';

/** A part of a row as Avro carries it where a missing column is not the same as null. */
export interface Assignment {
  readonly column: string;
  readonly value: Value;
}

export function toAssignments(row: Row): Assignment[] {
  const assignments: Assignment[] = [];
  for (const column in row) assignments.push({ column, value: row[column] ?? null });
  return assignments;
}

export function fromAssignments(assignments: readonly Assignment[]): Row {
  const row: Record<string, Value> = {};
  for (const { column, value } of assignments) row[column] = value;
  return row;
}

/** An outcome as Avro carries it: all variants in one flat record. */
export interface OutcomeRecord {
  readonly command: string;
  readonly link: string;
  readonly entity: string;
  readonly status: Outcome['status'] | 'unknown';
  readonly key: string | null;
  readonly met: readonly Assignment[] | null;
  readonly reason: string | null;
  readonly code: string | null;
  readonly message: string | null;
  readonly constraint: string | null;
  readonly column: string | null;
  readonly blockingKey: string | null;
}

const EMPTY = { met: null, reason: null, code: null, message: null, constraint: null, column: null, blockingKey: null };

export function toOutcomeRecord(outcome: Outcome): OutcomeRecord {
  const { command, link, entity } = outcome;
  switch (outcome.status) {
    case 'applied':
    case 'unchanged':
      // Spelt out, for it is what nearly every command comes to.
      return {
        command,
        link,
        entity,
        status: outcome.status,
        key: outcome.key,
        met: null,
        reason: null,
        code: null,
        message: null,
        constraint: null,
        column: null,
        blockingKey: null,
      };
    case 'refused':
      return {
        ...EMPTY,
        command,
        link,
        entity,
        status: 'refused',
        key: outcome.key,
        met: outcome.met === null ? null : toAssignments(outcome.met),
        reason: outcome.reason,
      };
    case 'failed':
      return { ...EMPTY, ...outcome };
  }
}

/** @throws DuologError MESSAGE_UNREADABLE for a status of a later version. */
export function fromOutcomeRecord(record: OutcomeRecord): Outcome {
  const { command, link, entity } = record;
  switch (record.status) {
    case 'applied':
    case 'unchanged':
      return { command, link, entity, status: record.status, key: record.key ?? '' };
    case 'refused':
      return {
        command,
        link,
        entity,
        status: 'refused',
        key: record.key,
        met: record.met === null ? null : fromAssignments(record.met),
        reason: record.reason ?? '',
      };
    case 'failed':
      return {
        command,
        link,
        entity,
        status: 'failed',
        key: record.key,
        code: record.code ?? '',
        message: record.message ?? '',
        constraint: record.constraint,
        column: record.column,
        blockingKey: record.blockingKey,
      };
    case 'unknown':
      throw new DuologError('MESSAGE_UNREADABLE', 'An outcome of a kind that this version does not know.');
  }
}
