import type { GroupShape } from './group-shape.js';
import type { TargetColumn } from './target-table.js';

/**
 * The statements of a group. Each takes arrays and joins them as rows `i (c0, c1, …, n)`, n counting from 1.
 * All but `lock` and `exists` take `groupParameters`, those two `keyParameters`.
 */
export interface GroupStatements {
  /** Writes every row that is as expected; see `answer` for what it tells. */
  readonly write: string;
  readonly answer: /** One row: how many were written and, unless all, their n as `{1,2}`; for inserts also how many were tried. */
    | 'numbers'
    /** A row for each insert: whether all are there under the keys made for them, n, and the key. */
    | 'keys';
  /** For one insert at a time, whose key only the row itself tells. Answers with the key. */
  readonly writeOne: string | null;
  /** Locks rows in key order, leaving out those that somebody else holds: n of each. Null for inserts. */
  readonly lock: string | null;
  /** n of each row that exists, whoever holds it. Null for inserts without a key. */
  readonly exists: string | null;
  /**
   * Looks at rows that were not written: n, whether the expectation holds, whether the new values are there
   * already, and the captured columns. Locks them like `lock`; for inserts the row in the way, unlocked.
   */
  readonly inspect: string;
}

export function groupStatements(form: GroupShape): GroupStatements {
  return form.operation === 'insert' ? insertStatements(form) : existingRowStatements(form);
}

/** Names of the input columns, in the order of `groupParameters`. */
interface Input {
  /** `unnest(…) WITH ORDINALITY AS i (…)` */
  readonly from: string;
  readonly keyOnly: string;
  /** Values of the columns' own types. */
  readonly key: readonly string[];
  readonly set: readonly string[];
  readonly expect: readonly string[];
  /** By absent form and column. */
  readonly absent: readonly (readonly (string | null)[])[];
}

function inputOf(form: GroupShape): Input {
  const arrays: string[] = [];
  const take = (column: TargetColumn): string => {
    arrays.push(`$${arrays.length + 1}::${column.form.parameter}`);
    return column.form.fromElement(`i.c${arrays.length - 1}`);
  };
  const from = (): string => {
    const names = arrays.map((_, place) => `c${place}`);
    return `unnest(${arrays.join(', ')}) WITH ORDINALITY AS i (${[...names, 'n'].join(', ')})`;
  };
  const key = form.keyed ? form.table.key.map(take) : [];
  const keyOnly = from();
  const set = form.set.map(take);
  const expect = form.expect.map(take);
  const absent = form.absent.map(({ columns }) => columns.map(({ column, isNull }) => (isNull ? null : take(column))));
  return { from: from(), keyOnly, key, set, expect, absent };
}

function existingRowStatements(form: GroupShape): GroupStatements {
  const input = inputOf(form);
  const { table } = form;
  const isRow = table.key.map((column, place) => `t.${column.sql} = ${input.key[place]}`).join(' AND ');
  const holds = form.expect.map((column, place) => isSame(column, input.expect[place]!));
  const same = form.set.map((column, place) => isSame(column, input.set[place]!));
  const changes = form.operation === 'update' && form.compareSet ? [`NOT (${same.join(' AND ')})`] : [];
  const where = [isRow, ...holds, ...changes].join(' AND ');
  const assignments = form.set.map((column, place) => `${column.sql} = ${input.set[place]}`).join(', ');
  const write =
    form.operation === 'update'
      ? `UPDATE ${table.sql} AS t SET ${assignments} FROM ${input.from} WHERE ${where} RETURNING i.n`
      : `DELETE FROM ${table.sql} AS t USING ${input.from} WHERE ${where} RETURNING i.n`;
  const lockRows = `ORDER BY ${table.key.map((column) => `t.${column.sql}`).join(', ')}
    FOR ${form.operation === 'delete' || changesUniqueColumn(form) ? 'UPDATE' : 'NO KEY UPDATE'} OF t SKIP LOCKED`;
  return {
    write: `WITH w AS (${write}) SELECT count(*), CASE WHEN count(*) < cardinality($1) THEN array_agg(n) END FROM w`,
    answer: 'numbers',
    writeOne: null,
    lock: `SELECT i.n FROM ${input.keyOnly} JOIN ${table.sql} AS t ON ${isRow} ${lockRows}`,
    exists: `SELECT i.n FROM ${input.keyOnly} JOIN ${table.sql} AS t ON ${isRow}`,
    inspect: `SELECT i.n, ${all(holds)}, ${all(same)}, ${imageColumns(form)}
      FROM ${input.from} JOIN ${table.sql} AS t ON ${isRow} ${lockRows}`,
  };
}

function insertStatements(form: GroupShape): GroupStatements {
  const input = inputOf(form);
  const { table } = form;
  const given = table.key.map((column, place) => {
    const inSet = form.set.findIndex(({ name }) => name === column.name);
    return inSet >= 0 ? input.set[inSet]! : (input.key[place] ?? null);
  });
  const isRow = given.every((value) => value !== null)
    ? [table.key.map((column, place) => `t.${column.sql} = ${given[place]}`).join(' AND ')]
    : [];
  const inTheWay = [...isRow, ...absentConditions(form, input)];
  const guard = inTheWay.map((condition) => `NOT EXISTS (SELECT FROM ${table.sql} AS t WHERE ${condition})`);
  const where = guard.length === 0 ? '' : `WHERE ${guard.join(' AND ')}`;
  const columns = insertColumns(form, input, given);
  const target = `INSERT INTO ${table.sql} AS t (${columns.map(({ column }) => column.sql).join(', ')})
    ${columns.some(({ column }) => column.identityAlways) ? 'OVERRIDING SYSTEM VALUE' : ''}`;
  const key = table.key.map(({ sql }) => `t.${sql}`);
  // Values are made in a first step, once each, so that the key made for a row is known beside its number.
  const values = columns.map(({ value }, place) => `${value} AS v${place}`);
  const made = table.key.map((of) => {
    const place = columns.findIndex(({ column }) => column.name === of.name);
    return (row: string): string => `CAST(${row}.v${place} AS ${of.declaredType})`;
  });
  // Rows come back in the order in which they went in; a join instead would be planned for ten rows, not for a thousand.
  const keysAreThose = made.map(
    (keyOf, at) =>
      `(SELECT array_agg(w.k${at}) FROM w) IS NOT DISTINCT FROM (SELECT array_agg(CAST(${keyOf('x')} AS pg_catalog.text)) FROM r AS x)`,
  );
  const rows = `WITH r AS MATERIALIZED (SELECT ${values.join(', ')}, i.n FROM ${input.from} ${where}),
    w AS (${target} SELECT ${columns.map((_, place) => `r.v${place}`).join(', ')} FROM r
      RETURNING ${key.map((column, at) => `CAST(${column} AS pg_catalog.text) AS k${at}`).join(', ')})`;
  const generates = given.some((value) => value === null);
  const one = columns.filter(({ made }) => !made);
  return {
    write: generates
      ? `${rows} SELECT ${all(keysAreThose)}, r.n, ${made.map((keyOf) => keyOf('r')).join(', ')} FROM r`
      : `${rows} SELECT count(*), CASE WHEN count(*) < cardinality($1) THEN array_agg(r.n) END, ${all(keysAreThose)} FROM r`,
    answer: generates ? 'keys' : 'numbers',
    writeOne: `INSERT INTO ${table.sql} AS t (${one.map(({ column }) => column.sql).join(', ')})
      ${one.some(({ column }) => column.identityAlways) ? 'OVERRIDING SYSTEM VALUE' : ''}
      SELECT ${one.map(({ value }) => value).join(', ')} FROM ${input.from} ${where} RETURNING ${key.join(', ')}`,
    lock: null,
    exists: null,
    inspect: `SELECT i.n, false, false, ${imageColumns(form)} FROM ${input.from}
      JOIN LATERAL (SELECT * FROM ${table.sql} AS t WHERE ${anyOf(inTheWay)} LIMIT 1) AS t ON true`,
  };
}

interface InsertColumn {
  readonly column: TargetColumn;
  readonly value: string;
  /** By the database's default; the statement for one row leaves it to the database. */
  readonly made: boolean;
}

/** The columns of `set`, and the key's where they are not among them. */
function insertColumns(form: GroupShape, input: Input, given: readonly (string | null)[]): InsertColumn[] {
  const set = form.set.map((column, place) => ({ column, value: input.set[place]!, made: false }));
  const key = form.table.key.flatMap((column, place): InsertColumn[] => {
    if (form.set.some(({ name }) => name === column.name)) return [];
    const value = given[place] ?? null;
    if (value !== null) return [{ column, value, made: false }];
    return [{ column, value: column.nextValue ?? 'NULL', made: true }];
  });
  return [...set, ...key];
}

/** In each, columns with their own `=`, so that an index answers. */
function absentConditions(form: GroupShape, input: Input): string[] {
  return form.absent.map(({ columns }, at) =>
    columns
      .map(({ column }, place) => {
        const value = input.absent[at]![place] ?? null;
        return value === null ? `t.${column.sql} IS NULL` : `t.${column.sql} = ${value}`;
      })
      .join(' AND '),
  );
}

/** Rows that are found by one of several indexes; OR alone would read the whole table. */
function anyOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? 'false' : conditions.map((condition) => `(${condition})`).join(' OR ');
}

function isSame(column: TargetColumn, value: string): string {
  return `${column.form.comparable(`t.${column.sql}`)} IS NOT DISTINCT FROM ${column.form.comparable(value)}`;
}

function all(conditions: readonly string[]): string {
  return conditions.length === 0 ? 'true' : `(${conditions.join(' AND ')})`;
}

/** The whole captured row, in the order of the table's shape. */
function imageColumns({ table }: GroupShape): string {
  return [...table.columns.values()].map(({ sql }) => `t.${sql}`).join(', ');
}

/** Such a change needs a stronger lock: another table's row may refer to the value. */
function changesUniqueColumn(form: GroupShape): boolean {
  const unique = new Set(form.table.uniqueIndexes.flatMap(({ columns }) => columns ?? []));
  return form.set.some(({ name }) => unique.has(name));
}
