import type { Command } from '../connector/contract.js';
import type { FieldValue } from './events.js';

/** What the decision says. The stream task puts each on its topic, in this order, in one transaction. */
export type Output = CommandOutput | CanonicalOutput | DecisionOutput | HoldOutput;

export interface CommandOutput {
  readonly kind: 'command';
  readonly system: string;
  readonly command: Command;
}

/** The current record for subscribers; `fields` null is a tombstone. */
export interface CanonicalOutput {
  readonly kind: 'canonical';
  readonly entity: string;
  readonly link: string;
  readonly fields: Readonly<Record<string, FieldValue>> | null;
  /** Key of the record in each system that has it. */
  readonly keys: Readonly<Record<string, string>>;
  /** Per field: the system that set it and when (null: unknown, a snapshot row). */
  readonly set: Readonly<Record<string, { readonly system: string; readonly timeMicros: number | null }>>;
}

/** Why a value or a deletion won or lost (I10). */
export interface DecisionOutput {
  readonly kind: 'decision';
  readonly entity: string;
  readonly link: string;
  readonly decision:
    | 'conflict'
    | 'rewritten'
    | 'update-delete'
    | 'first-link'
    | 'merged-links'
    | 'lost-deletion'
    | 'revived'
    | 'ignored';
  /** The field group, or null for the whole record. */
  readonly group: string | null;
  readonly fields: readonly {
    readonly field: string;
    readonly agreed: FieldValue | null;
    /** Every side's value, the loser's included, by system. */
    readonly sides: readonly {
      readonly system: string;
      readonly key: string | null;
      readonly value: FieldValue;
      readonly absent: boolean;
      readonly timeMicros: number | null;
    }[];
  }[];
  /** `merged-links` of whole records: the link that became part of this one; whatever referred to it refers to this one now. */
  readonly merged: string | null;
  /** The system whose value stands; null where a person must say, or where nothing stood against anything. */
  readonly winner: string | null;
  /** The rule that said so, for people: `newest: crm 10:00:03 is later than erp 10:00:01`. */
  readonly rule: string;
  readonly timeMicros: number | null;
}

export type HoldReason =
  | 'approval'
  | 'parent-missing'
  | 'children-exist'
  | 'duplicate'
  | 'invalid'
  | 'conflict'
  | 'refused'
  | 'failed'
  | 'oversize'
  | 'rewritten'
  | 'paused';

/** One reason why a member waits. */
export interface HeldFor {
  readonly reason: HoldReason;
  /** The field group that waits; the record's others go on. Null for the whole record. */
  readonly group: string | null;
  /** For people; never the record's values, but the system's own error for `failed`. */
  readonly detail: string;
  readonly sinceMicros: number | null;
}

/** A member waits, with the reason, and with the others where there are several; `hold` null ends all of them. */
export interface HoldOutput {
  readonly kind: 'hold';
  readonly entity: string;
  readonly link: string;
  readonly system: string;
  readonly hold: (HeldFor & { readonly key: string | null; readonly others: readonly HeldFor[] }) | null;
}
