import { ConstraintViolation, RowLocked } from '../../connectors/memory/database.js';
import type { MemoryDatabase, Table, Transaction } from '../../connectors/memory/database.js';
import type { Row, Value } from '../../src/model/value.js';
import type { Action, FieldValues, RowPick, UserAction } from './actions.js';
import {
  columnOf,
  fieldToColumn,
  isPresent,
  presence,
  tableName,
  TRUNCATED_LENGTH,
  type EntityConfig,
  type EntitySystemConfig,
  type WorldConfig,
} from './world-config.js';

interface Place {
  readonly database: MemoryDatabase;
  readonly table: Table;
  readonly entity: EntityConfig;
  readonly config: EntitySystemConfig;
  readonly system: string;
}

/**
 * The people who work in the systems. What they ask for and their database forbids (a constraint, a locked row,
 * a row that has gone) does not happen, as on their own screens.
 */
export class Users {
  private readonly locks = new Map<string, { readonly place: Place; readonly key: string; readonly number: number }>();

  constructor(
    private readonly world: WorldConfig,
    private readonly databases: ReadonlyMap<string, MemoryDatabase>,
  ) {}

  act(action: UserAction | Extract<Action, { do: 'transaction' | 'lock' | 'unlock' }>): void {
    try {
      switch (action.do) {
        case 'lock':
          return this.lock(action);
        case 'unlock':
          return this.unlock(action);
        case 'transaction':
          return this.inTransaction(action.system, action.actions);
        case 'insert':
          return this.inTransaction(action.system, [action]);
        default:
          return this.inTransaction(action.row.system, [action]);
      }
    } catch (error) {
      if (!(error instanceof ConstraintViolation || error instanceof RowLocked)) throw error;
    }
  }

  /** Ends every transaction still open, without writing. */
  leave(): void {
    for (const { place, number } of this.locks.values()) place.database.end(number, null);
    this.locks.clear();
  }

  private inTransaction(system: string, actions: readonly UserAction[]): void {
    this.databases.get(system)!.transaction((transaction) => {
      for (const action of actions) this.write(transaction, action);
    });
  }

  private write(transaction: Transaction, action: UserAction): void {
    if (action.do === 'insert') {
      const place = this.place(action.system, action.entity);
      transaction.insert(place.table, {
        ...this.toRow(place, action.values),
        ...(action.reuseKey ? this.deletedKey(place) : {}),
        ...(place.config.softDelete ? presence(true) : {}),
      });
      return;
    }
    const place = this.place(action.row.system, action.row.entity);
    const key = this.find(place, action.row, action.do !== 'undelete');
    if (key === null) return;
    switch (action.do) {
      case 'edit':
        transaction.update(place.table, key, this.toRow(place, action.values));
        return;
      case 'edit-unmapped':
        transaction.update(place.table, key, { extra: action.value });
        return;
      case 'delete':
        if (action.soft && place.config.softDelete) transaction.update(place.table, key, presence(false));
        else transaction.delete(place.table, key);
        return;
      case 'undelete':
        transaction.update(place.table, key, presence(true));
        return;
      case 'rekey':
        if (place.config.keys === 'natural' || place.table.rows.has(String(action.key))) return;
        transaction.update(place.table, key, {
          id: place.config.keys === 'sequence' ? action.key : `X${action.key}`,
        });
    }
  }

  private lock(action: Extract<Action, { do: 'lock' }>): void {
    if (this.locks.has(action.name)) return;
    const place = this.place(action.row.system, action.row.entity);
    const key = this.find(place, action.row, true);
    if (key === null) return;
    const inserts = action.insert
      ? [{ table: place.table.name, row: { ...this.toRow(place, action.insert), ...this.flag(place) } }]
      : [];
    const number = place.database.begin([{ table: place.table.name, key }], inserts);
    this.locks.set(action.name, { place, key, number });
  }

  private unlock(action: Extract<Action, { do: 'unlock' }>): void {
    const lock = this.locks.get(action.name);
    if (!lock) return;
    this.locks.delete(action.name);
    const { place, key, number } = lock;
    const { values } = action;
    const work = (transaction: Transaction) => {
      if (values && place.table.rows.has(key)) transaction.update(place.table, key, this.toRow(place, values));
    };
    place.database.end(number, action.commit ? work : null);
  }

  private place(system: string, entityName: string): Place {
    const database = this.databases.get(system)!;
    const entity = this.world.entities.find(({ name }) => name === entityName)!;
    const config = entity.systems[system]!;
    return { database, table: database.table(tableName(system, entityName)), entity, config, system };
  }

  private flag(place: Place): Row {
    return place.config.softDelete ? presence(true) : {};
  }

  /** The key of the row meant, or null where there is none (any more). */
  private find(place: Place, pick: RowPick, present: boolean): string | null {
    const code = place.entity.fields.find(({ kind }) => kind === 'code');
    const column = code ? columnOf(place.config, place.system, code) : null;
    const keys: string[] = [];
    for (const [key, row] of place.table.rows) {
      if (isPresent(place.config, row) !== present) continue;
      if (column === null || sameCode(row[column] ?? null, pick.code)) keys.push(key);
    }
    return keys.length === 0 ? null : keys[pick.nth % keys.length]!;
  }

  private toRow(place: Place, values: FieldValues): Row {
    const row: Record<string, Value> = {};
    for (const field of place.entity.fields) {
      const value = values[field.name];
      if (value === undefined) continue;
      const column = columnOf(place.config, place.system, field);
      if (field.kind === 'reference') row[column] = this.parentKey(place, field.name, value);
      else if (typeof value === 'string' && place.config.truncated.includes(field.name)) {
        row[column] = value.slice(0, TRUNCATED_LENGTH);
      } else row[column] = fieldToColumn(field, value);
    }
    return row;
  }

  private parentKey(child: Place, entity: string, code: Value): Value {
    if (code === null) return null;
    const parent = this.place(child.system, entity);
    const key = this.find(parent, { system: child.system, entity, code, nth: 0 }, true);
    return key === null ? null : parent.table.rows.get(key)!.id!;
  }

  private deletedKey(place: Place): Row {
    const { log } = place.database;
    for (let number = log.end; number > log.forgottenTo; number--) {
      for (const change of log.at(number)!.changes.toReversed()) {
        if (change.table !== place.table.name || change.operation !== 'delete') continue;
        if (!place.table.rows.has(change.key) && place.config.keys !== 'natural') return { id: change.before!.id! };
      }
    }
    return {};
  }
}

/** Whether two match values are the same to people: case and spaces around do not count. */
export function sameCode(left: Value, right: Value): boolean {
  return normalisedCode(left) === normalisedCode(right);
}

export function normalisedCode(value: Value): Value {
  return typeof value === 'string' ? value.trim().toLowerCase() : value;
}
