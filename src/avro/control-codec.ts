import type { AnswerEvent } from '../decision/events.js';
import { DuologError } from '../errors/duolog-error.js';
import type { Row } from '../model/value.js';
import { fromAssignments, toAssignments, type Assignment } from './assignments.js';
import type { Decoded, Encoder, Encoders } from './codec.js';
import { schemaFile, withDefinitions } from './schema.js';

/** The envelope of `schemas/control.avsc`. */
interface ControlRecord {
  readonly answer: {
    readonly entity: string;
    readonly link: string;
    readonly group: string | null;
    readonly winner: string;
    readonly seen: readonly { readonly system: string; readonly row: readonly Assignment[] | null }[];
    readonly time: number;
  } | null;
}

/** What people tell a sync, for its control topic. */
export class ControlEncoder {
  private constructor(private readonly encoder: Encoder<ControlRecord>) {}

  static async register(encoders: Encoders, topic: string): Promise<ControlEncoder> {
    const schema = withDefinitions(schemaFile('control'), [schemaFile('assignment')]);
    return new ControlEncoder(await encoders.register<ControlRecord>(topic, 'value', schema));
  }

  encode({ entity, link, group, winner, seen, timeMicros }: AnswerEvent): Buffer {
    const images = Object.entries(seen).map(([system, row]) => ({ system, row: row && toAssignments(row) }));
    return this.encoder.encode({ answer: { entity, link, group, winner, seen: images, time: timeMicros } });
  }
}

/** @throws DuologError MESSAGE_UNREADABLE for what a later version may say. */
export function controlEvent(decoded: Decoded): AnswerEvent {
  const { answer } = decoded.value as ControlRecord;
  if (answer === null)
    throw new DuologError('MESSAGE_UNREADABLE', 'A word of control that this version does not know.');
  const { entity, link, group, winner, time } = answer;
  const seen: Record<string, Row | null> = {};
  for (const { system, row } of answer.seen) seen[system] = row && fromAssignments(row);
  return { kind: 'answer', entity, link, group, winner, seen, timeMicros: time };
}
