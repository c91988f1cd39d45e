import { DuologError } from '../../src/errors/duolog-error.js';
import { type DescribedTable, describeTables, describeType } from './catalogue.js';
import { sourceFailure } from './failure.js';
import type { QuerySession } from './session.js';
import { type Relation, type RelationMessage, relationOf, sameColumns, tableAsOf } from './stream/relation.js';

/** The captured entities' tables as the stream has them now: columns come and go with the relation messages. */
export class SourceTables {
  readonly #tables = new Map<string, DescribedTable>();

  constructor(
    private readonly system: string,
    private readonly session: QuerySession,
    tables: readonly DescribedTable[],
    /** An entity's columns or key are others than before. */
    private readonly changed: (entity: string) => void,
  ) {
    for (const table of tables) this.#tables.set(table.shape.entity, table);
  }

  get all(): readonly DescribedTable[] {
    return [...this.#tables.values()];
  }

  find(entity: string): DescribedTable | undefined {
    return this.#tables.get(entity);
  }

  get(entity: string): DescribedTable {
    const table = this.#tables.get(entity);
    if (table === undefined) throw new DuologError('INTERNAL', `${this.system} captures no entity ${entity}`);
    return table;
  }

  /** What a relation message means; asks the catalogue where the columns are not those known. */
  relation(message: RelationMessage): Relation | Promise<Relation> {
    const served = this.all.filter((table) => table.schema === message.schema && table.name === message.name);
    const fits = served.every((table) => sameColumns(message, table));
    return fits ? relationOf(message, served) : this.#changedRelation(message, served);
  }

  /** Reads an entity's table from the catalogue again. @throws DuologError TABLE_NOT_FOUND, TABLE_WITHOUT_KEY, … */
  async describeAgain(entity: string): Promise<DescribedTable> {
    const { shape } = this.get(entity);
    const [table] = await this.session.use((client) =>
      describeTables(client, this.system, [{ entity, table: `"${shape.table.replace('.', '"."')}"` }]),
    );
    this.#tables.set(entity, table!);
    return table!;
  }

  async #changedRelation(message: RelationMessage, served: readonly DescribedTable[]): Promise<Relation> {
    try {
      const tables: DescribedTable[] = [];
      for (const known of served) {
        const now = await this.describeAgain(known.shape.entity);
        const table = await tableAsOf(message, now, (typeOid, typmod) =>
          this.session.use((client) => describeType(client, typeOid, typmod)),
        );
        this.#tables.set(known.shape.entity, table);
        tables.push(table);
      }
      for (const table of tables) this.changed(table.shape.entity);
      return relationOf(message, tables);
    } catch (error) {
      throw sourceFailure(error, this.system, `reading the columns of ${message.schema}.${message.name}`);
    }
  }
}
