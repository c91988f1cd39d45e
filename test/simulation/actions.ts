import type { Value } from '../../src/model/value.js';

/** Values by field; a reference is given as the parent's match value. */
export type FieldValues = Readonly<Record<string, Value>>;

/** One row of a system, found by its match value, so that a shrunk scenario still means the same rows. */
export interface RowPick {
  readonly system: string;
  readonly entity: string;
  readonly code: Value;
  /** Which of several, modulo their count. */
  readonly nth: number;
}

/** What a user does in one system, at once or in a transaction that stays open. */
export type UserAction =
  | {
      readonly do: 'insert';
      readonly system: string;
      readonly entity: string;
      readonly values: FieldValues;
      /** Under the key of the row deleted last. */
      readonly reuseKey: boolean;
    }
  | { readonly do: 'edit'; readonly row: RowPick; readonly values: FieldValues }
  | { readonly do: 'edit-unmapped'; readonly row: RowPick; readonly value: string }
  /** A soft delete where the system has one and `soft` says so. */
  | { readonly do: 'delete'; readonly row: RowPick; readonly soft: boolean }
  | { readonly do: 'undelete'; readonly row: RowPick }
  /** Changes the key itself. */
  | { readonly do: 'rekey'; readonly row: RowPick; readonly key: number };

/** One thing that happens in a simulated world. A scenario is a list of them, and nothing else is left to chance. */
export type Action =
  | UserAction
  | { readonly do: 'transaction'; readonly system: string; readonly actions: readonly UserAction[] }
  /** A user's transaction that locks the row, and the insert it may hold back, until `unlock`. */
  | { readonly do: 'lock'; readonly name: string; readonly row: RowPick; readonly insert: FieldValues | null }
  | { readonly do: 'unlock'; readonly name: string; readonly values: FieldValues | null; readonly commit: boolean }
  /** A task goes on, for so many round trips or to the end of its step, reading so many records of each topic. */
  | {
      readonly do: 'step';
      readonly task: string;
      readonly roundTrips: number | null;
      readonly records: number | null;
      /** Part of a topic's name that has nothing new for this step. */
      readonly slow: string | null;
    }
  /** A task's process ends where it is; with `leftBehind` it is only taken for dead and goes on later. */
  | { readonly do: 'crash'; readonly task: string; readonly leftBehind: boolean }
  /** The process that was left behind wakes up. */
  | { readonly do: 'wake'; readonly task: string; readonly roundTrips: number }
  /** The task's next round trip but so many fails. */
  | { readonly do: 'cut'; readonly task: string; readonly after: number }
  /** What the system's source has not read yet is gone. */
  | { readonly do: 'lose'; readonly system: string }
  /** A person asks for a resync of the system. */
  | { readonly do: 'resync'; readonly system: string }
  | { readonly do: 'compact' }
  | { readonly do: 'wait'; readonly milliseconds: number };

/** An action on one line, for the trace of a failing seed. */
export function describe(action: Action): string {
  switch (action.do) {
    case 'insert':
      return `${action.system}: insert ${action.entity} ${values(action.values)}${action.reuseKey ? ' under the key deleted last' : ''}`;
    case 'edit':
      return `${pick(action.row)}: set ${values(action.values)}`;
    case 'edit-unmapped':
      return `${pick(action.row)}: set extra (not mapped) ${action.value}`;
    case 'delete':
      return `${pick(action.row)}: ${action.soft ? 'soft ' : ''}delete`;
    case 'undelete':
      return `${pick(action.row)}: undelete`;
    case 'rekey':
      return `${pick(action.row)}: change the key to ${action.key}`;
    case 'transaction':
      return `${action.system}: one transaction of [${action.actions.map(describe).join('; ')}]`;
    case 'lock':
      return `${pick(action.row)}: locked by ${action.name}${action.insert ? `, which inserts ${values(action.insert)}` : ''}`;
    case 'unlock':
      return `${action.name} ${action.commit ? `commits ${values(action.values ?? {})}` : 'rolls back'}`;
    case 'step': {
      const limits = [
        action.roundTrips === null ? '' : ` for ${action.roundTrips} round trips`,
        action.records === null ? '' : `, ${action.records} records`,
        action.slow === null ? '' : `, nothing of ${action.slow}`,
      ];
      return `${action.task} goes on${limits.join('')}`;
    }
    case 'crash':
      return action.leftBehind ? `${action.task} is taken for dead` : `${action.task} crashes`;
    case 'wake':
      return `the old ${action.task} wakes up for ${action.roundTrips} round trips`;
    case 'cut':
      return `${action.task} loses its connection after ${action.after} round trips`;
    case 'lose':
      return `the log of ${action.system} is cut`;
    case 'resync':
      return `a resync of ${action.system} is asked for`;
    case 'compact':
      return 'topics are compacted';
    case 'wait':
      return `${action.milliseconds} ms pass`;
  }
}

function pick(row: RowPick): string {
  return `${row.system}: ${row.entity} "${String(row.code)}"${row.nth > 0 ? ` (${row.nth})` : ''}`;
}

function values(fields: FieldValues): string {
  return JSON.stringify(fields);
}
