import type { Command, Outcome } from '../connector/contract.js';
import { DuologError } from '../errors/duolog-error.js';
import {
  fromAssignments,
  fromOutcomeRecord,
  toAssignments,
  toOutcomeRecord,
  type Assignment,
  type OutcomeRecord,
} from './assignments.js';
import type { Decoded, Encoder, Encoders } from './codec.js';
import { type AvroRecord, schemaFile, withDefinitions } from './schema.js';

/** The envelope of `schemas/command.avsc`. */
interface CommandRecord {
  readonly id: string;
  readonly link: string;
  readonly entity: string;
  readonly operation: Command['operation'] | 'unknown';
  readonly key: string | null;
  readonly set: readonly Assignment[];
  readonly expect: readonly Assignment[];
  readonly absent: readonly (readonly Assignment[])[];
  readonly madeAt: number;
  readonly again: boolean;
}

export function commandSchema(): AvroRecord {
  return withDefinitions(schemaFile('command'), [schemaFile('assignment')]);
}

export function outcomeSchema(): AvroRecord {
  return withDefinitions(schemaFile('outcome'), [schemaFile('assignment')]);
}

export class CommandEncoder {
  private constructor(private readonly encoder: Encoder<CommandRecord>) {}

  static async register(encoders: Encoders, topic: string): Promise<CommandEncoder> {
    return new CommandEncoder(await encoders.register<CommandRecord>(topic, 'value', commandSchema()));
  }

  get schemaId(): number {
    return this.encoder.id;
  }

  encode(command: Command): Buffer {
    const { id, link, entity, operation, key } = command;
    return this.encoder.encode({
      id,
      link,
      entity,
      operation,
      key,
      set: toAssignments(command.set),
      expect: toAssignments(command.expect),
      absent: command.absent.map(toAssignments),
      madeAt: command.madeAtMicros,
      again: command.again ?? false,
    });
  }
}

/** @throws DuologError MESSAGE_UNREADABLE for an operation of a later version. */
export function commandOf(decoded: Decoded): Command {
  const { id, link, entity, operation, key, set, expect, absent, madeAt, again } = decoded.value as CommandRecord;
  if (operation === 'unknown') {
    throw new DuologError('MESSAGE_UNREADABLE', 'A command of a kind that this version does not know.');
  }
  const command = {
    id,
    link,
    entity,
    operation,
    key,
    set: fromAssignments(set),
    expect: fromAssignments(expect),
    absent: absent.map(fromAssignments),
    madeAtMicros: madeAt,
  };
  return again ? { ...command, again } : command;
}

export class OutcomeEncoder {
  private constructor(private readonly encoder: Encoder<OutcomeRecord>) {}

  static async register(encoders: Encoders, topic: string): Promise<OutcomeEncoder> {
    return new OutcomeEncoder(await encoders.register<OutcomeRecord>(topic, 'value', outcomeSchema()));
  }

  get schemaId(): number {
    return this.encoder.id;
  }

  encode(outcome: Outcome): Buffer {
    return this.encoder.encode(toOutcomeRecord(outcome));
  }
}

export function outcomeOf(decoded: Decoded): Outcome {
  return fromOutcomeRecord(decoded.value as OutcomeRecord);
}
