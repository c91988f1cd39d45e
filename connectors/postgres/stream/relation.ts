import { DuologError } from '../../../src/errors/duolog-error.js';
import type { TableShape } from '../../../src/model/table.js';
import type { DescribedColumn, DescribedTable } from '../catalogue.js';
import { TupleReader } from './tuple-reader.js';

/** What the stream says of a table before its first row, and again when it has changed. */
export interface RelationMessage {
  readonly id: number;
  readonly schema: string;
  readonly name: string;
  readonly replicaIdentity: string;
  readonly columns: readonly RelationColumn[];
}

export interface RelationColumn {
  readonly name: string;
  readonly key: boolean;
  readonly typeOid: number;
  readonly typmod: number;
}

/** A relation as the stream shows it now. One table may serve several entities; without any its rows are passed over. */
export interface Relation {
  readonly id: number;
  readonly shapes: readonly TableShape[];
  readonly reader: TupleReader;
}

export function readRelation(bytes: Buffer): RelationMessage {
  const id = bytes.readUInt32BE(1);
  let at = 5;
  const text = () => {
    const end = bytes.indexOf(0, at);
    const value = bytes.toString('utf8', at, end);
    at = end + 1;
    return value;
  };
  const schema = text();
  const name = text();
  const replicaIdentity = String.fromCharCode(bytes[at++]!);
  const columns: RelationColumn[] = [];
  const count = bytes.readUInt16BE(at);
  at += 2;
  for (let index = 0; index < count; index++) {
    const key = (bytes[at++]! & 1) === 1;
    const column = text();
    columns.push({ name: column, key, typeOid: bytes.readUInt32BE(at), typmod: bytes.readInt32BE(at + 4) });
    at += 8;
  }
  return { id, schema: schema === '' ? 'pg_catalog' : schema, name, replicaIdentity, columns };
}

/** True where the stream shows exactly the columns and the key that the catalogue described. */
export function sameColumns(message: RelationMessage, table: DescribedTable): boolean {
  const key = message.columns.filter((column) => column.key).map((column) => column.name);
  const sameKey =
    message.replicaIdentity === 'f' ||
    (key.length === table.shape.key.length && key.every((column) => table.shape.key.includes(column)));
  return (
    sameKey &&
    message.columns.length === table.columns.length &&
    message.columns.every((column, index) => {
      const known = table.columns[index]!;
      return column.name === known.name && column.typeOid === known.typeOid && column.typmod === known.typmod;
    })
  );
}

/** The relation that the tables of one or several entities, all of them the same table, have in the stream. */
export function relationOf(message: RelationMessage, tables: readonly DescribedTable[]): Relation {
  const [first] = tables;
  return {
    id: message.id,
    shapes: tables.map((table) => table.shape),
    reader: new TupleReader(first?.columns ?? [], first?.shape.key ?? []),
  };
}

/** A description with the columns that the log shows at this place, which the catalogue may have left behind already. */
export async function tableAsOf(
  message: RelationMessage,
  table: DescribedTable,
  describeType: (typeOid: number, typmod: number) => Promise<Pick<DescribedColumn, 'type' | 'nativeType'>>,
): Promise<DescribedTable> {
  const columns: DescribedColumn[] = [];
  for (const { name, typeOid, typmod } of message.columns) {
    const now = table.columns.find((column) => column.name === name);
    if (now !== undefined && now.typeOid === typeOid && now.typmod === typmod) columns.push(now);
    else {
      const { type, nativeType } = await describeType(typeOid, typmod);
      const rest = { nullable: true, hasDefault: false, generated: false, comment: now?.comment ?? null };
      columns.push({ name, type, nativeType, ...rest, typeOid, typmod });
    }
  }
  const flagged = message.columns.filter((column) => column.key).map((column) => column.name);
  const key = keyAsOf(message, table.shape.key, flagged);
  const plain = columns.map(({ typeOid: _typeOid, typmod: _typmod, ...column }) => column);
  return { ...table, columns, shape: { ...table.shape, columns: plain, key } };
}

/** The catalogue knows the key's order; where its key is another one by now, the columns that the log flags. */
function keyAsOf(message: RelationMessage, now: readonly string[], flagged: readonly string[]): readonly string[] {
  const names = message.columns.map((column) => column.name);
  const still = now.every((column) => names.includes(column));
  if (message.replicaIdentity === 'f') {
    if (still) return now;
    throw new DuologError('TABLE_WITHOUT_KEY', `The key of ${message.schema}.${message.name} changed`);
  }
  if (still && flagged.length === now.length && flagged.every((column) => now.includes(column))) return now;
  if (flagged.length === 0) {
    throw new DuologError('TABLE_WITHOUT_KEY', `${message.schema}.${message.name} no longer has a primary key`);
  }
  return flagged;
}
