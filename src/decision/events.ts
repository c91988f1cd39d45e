import type { EndEvent, Operation, Origin, Outcome } from '../connector/contract.js';
import type { Row, Value } from '../model/value.js';

/** What the decision is told, one at a time, in the order of each system's stream. */
export type StreamEvent = ChangeEvent | OutcomeSeen | EndSeen | HeartbeatEvent | ContinueEvent;

/** A row of a system changed or was read; with `origin.command` it is our own write, applied. */
export interface ChangeEvent {
  readonly kind: 'change';
  readonly system: string;
  readonly entity: string;
  readonly key: string;
  readonly operation: Operation;
  readonly keyChange: { readonly from: string } | { readonly to: string } | null;
  readonly before: Row | null;
  readonly after: Row | null;
  readonly unchanged: readonly string[];
  /** Columns that are not sent because the row is too large for a message, `unchanged` names them too: the member is held as oversize. */
  readonly oversize?: readonly string[];
  readonly commitTimeMicros: number | null;
  readonly transaction: string;
  readonly position: string;
  readonly origin: Origin | null;
}

/** A command's outcome that no row change carries. */
export interface OutcomeSeen {
  readonly kind: 'outcome';
  readonly system: string;
  readonly entity: string;
  readonly outcome: Outcome;
  readonly commitTimeMicros: number;
  readonly transaction: string;
  readonly position: string;
}

export interface EndSeen {
  readonly kind: 'end';
  readonly system: string;
  readonly entity: string;
  readonly end: EndEvent['end'];
  readonly commitTimeMicros: number | null;
  readonly transaction: string;
  readonly position: string;
}

/** The only way time comes in while nothing happens. */
export interface HeartbeatEvent {
  readonly kind: 'heartbeat';
  readonly system: string;
  readonly timeMicros: number;
}

/** Go on with a cursor of the state: something touched more links than one event may. Fed by the task while `hasCursors`. */
export interface ContinueEvent {
  readonly kind: 'continue';
}

/** A person settles a held conflict (rule 9): an event of the control topic, beside the streams. */
export interface AnswerEvent {
  readonly kind: 'answer';
  readonly entity: string;
  readonly link: string;
  /** The field group; null where the record itself is disputed: deleted here, changed there. */
  readonly group: string | null;
  /** The system whose value stands; where it has no record, the deletion does. */
  readonly winner: string;
  /** What the person saw, by system; null where there was no record. If one of them has moved, nothing is done. */
  readonly seen: Readonly<Record<string, Row | null>>;
  readonly timeMicros: number;
}

/** A canonical value: references are `{ link }` once the record has a link, before that the key in the system that named it. */
export type FieldValue =
  | Value
  | { readonly link: string }
  | { readonly system: string; readonly entity: string; readonly key: string };
