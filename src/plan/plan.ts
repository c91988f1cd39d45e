import type { ColumnType, TableShape } from '../model/table.js';
import type { Row, Value } from '../model/value.js';

/**
 * The configuration compiled against the systems' catalogues: everything the tasks and the decision need,
 * with no lookups left to fail. Made by `src/plan/compile.ts`.
 */
export interface SyncPlan {
  readonly name: string;
  readonly prefix: string;
  /** Systems in order of precedence: the first leads. */
  readonly leading: readonly string[];
  /** Every system that takes part. */
  readonly systems: readonly string[];
  /** Parents before children where references allow it. */
  readonly entities: readonly EntityPlan[];
  /** Hash of everything that decides; state made under another one is refused (I16). */
  readonly fingerprint: string;
  /** What the fingerprint is made of, a digest a part, so that an added field can be told from a change (fingerprint.ts). */
  readonly fingerprintParts: Readonly<Record<string, string>>;
  /** Decide and record everything, but send no command (`run --observe`). No part of the fingerprint; may change between runs. */
  readonly observe?: boolean;
}

export interface EntityPlan {
  readonly name: string;
  readonly fields: readonly FieldPlan[];
  readonly match: readonly MatchRule[];
  readonly conflict: ConflictPlan;
  readonly systems: Readonly<Record<string, EntitySystemPlan>>;
  /** Entities that refer to this one, with the field. */
  readonly children: readonly { readonly entity: string; readonly field: string }[];
}

export type FieldType =
  | {
      readonly kind:
        | 'string'
        | 'integer'
        | 'float'
        | 'boolean'
        | 'date'
        | 'timestamp'
        | 'time'
        | 'uuid'
        | 'json'
        | 'bytes';
    }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'reference'; readonly entity: string };

export interface FieldPlan {
  readonly name: string;
  readonly type: FieldType;
  readonly nullable: boolean;
  /** Fields of one group are merged as one. A field without a group is a group by itself, named after it. */
  readonly group: string;
}

/** Records of different systems with equal normalised values of all these fields are the same thing. */
export interface MatchRule {
  readonly name: string;
  readonly on: readonly string[];
  /** Applied to text values, in this order, before comparison. */
  readonly normalise: readonly ('case' | 'spaces' | 'punctuation')[];
}

export interface ConflictRule {
  readonly policy: 'leading' | 'newest' | 'hold';
  /** The system that wins under `leading`; the sync's precedence where null. */
  readonly lead: string | null;
  /** Under `newest`: edits closer than this are not ordered by their clocks. */
  readonly withinMicros: number;
  /** Under `newest`, when the times do not tell. */
  readonly otherwise: 'leading' | 'hold';
}

export interface ConflictPlan extends ConflictRule {
  /** By field group. */
  readonly groups: Readonly<Record<string, ConflictRule>>;
  /** A first link of two existing records: as the policy says, or the leading system's values with empty fields filled. */
  readonly first: 'leading' | 'newest' | 'fill';
}

export type DeletePolicy = 'hard' | 'soft' | 'unlink' | 'never';

export interface EntitySystemPlan {
  readonly entity: string;
  readonly system: string;
  readonly table: string;
  readonly shape: TableShape;
  /** Changes are captured from here. */
  readonly captured: boolean;
  /** Commands are sent to here. */
  readonly written: boolean;
  readonly columns: readonly ColumnPlan[];
  /** Constants on insert only. */
  readonly insertSet: Row;
  /** What a deletion made elsewhere does here. */
  readonly delete: DeletePolicy;
  readonly softDelete: { readonly column: string; readonly deleted: Value; readonly present: Value } | null;
  /** A mapped updated-date column, for the age of rows read by a snapshot. */
  readonly updatedColumn: string | null;
  /** The system makes the key on insert. */
  readonly generatesKey: boolean;
  /** So many linked records, and so large a share of them, must a reading miss before nobody believes that they were deleted. */
  readonly vanished?: VanishedLimit;
}

export interface VanishedLimit {
  readonly records: number;
  readonly percent: number;
}

/** One field in one system. */
export interface ColumnPlan {
  readonly field: string;
  readonly column: string;
  readonly columnType: ColumnType;
  readonly fieldType: FieldType;
  /** Its edits count. */
  readonly read: boolean;
  /** The projection covers it with commands. */
  readonly write: boolean;
  /** Column value to field value. */
  readonly values: readonly { readonly column: Value; readonly field: Value }[] | null;
  /** For a value that the map does not know. */
  readonly otherwise: 'hold' | 'null' | 'keep';
  readonly tooLong: 'hold' | 'truncate';
}
