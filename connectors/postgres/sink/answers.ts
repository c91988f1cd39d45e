import type { Command, Outcome, QueuedCommand } from '../../../src/connector/contract.js';
import type { Row } from '../../../src/model/value.js';

export type Failed = Extract<Outcome, { readonly status: 'failed' }>;
export type Failure = Pick<Failed, 'code' | 'message' | 'constraint' | 'column' | 'blockingKey'>;

/** What has become of a transaction's commands so far. */
export class Answers {
  outcomes = new Map<number, Outcome>();
  /** Offsets whose row somebody holds. */
  readonly deferred = new Set<number>();

  applied({ offset, command }: QueuedCommand, key: string): void {
    const { id, link, entity } = command;
    this.outcomes.set(offset, { command: id, link, entity, status: 'applied', key });
  }

  unchanged({ offset, command }: QueuedCommand, key: string): void {
    this.outcomes.set(offset, { ...identity(command), status: 'unchanged', key });
  }

  refused({ offset, command }: QueuedCommand, key: string | null, met: Row | null, reason: string): void {
    this.outcomes.set(offset, { ...identity(command), status: 'refused', key, met, reason });
  }

  failed({ offset, command }: QueuedCommand, failure: Failure): void {
    this.outcomes.set(offset, { ...identity(command), status: 'failed', key: command.key, ...failure });
  }

  defer({ offset }: QueuedCommand): void {
    this.deferred.add(offset);
  }

  /** Takes over what a part of the batch has come to; the part is not used any more. */
  add(part: Answers): void {
    if (this.outcomes.size === 0) this.outcomes = part.outcomes;
    else for (const [offset, outcome] of part.outcomes) this.outcomes.set(offset, outcome);
    for (const offset of part.deferred) this.deferred.add(offset);
  }
}

function identity({ id, link, entity }: Command): Pick<Outcome, 'command' | 'link' | 'entity'> {
  return { command: id, link, entity };
}
