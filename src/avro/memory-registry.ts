import { DuologError } from '../errors/duolog-error.js';
import type { SchemaRegistry } from './registry.js';
import type { AvroSchema } from './schema.js';

/** A registry within the process, for the simulation and for tests of what stands above it: ids in order, everything is compatible. */
export class MemorySchemaRegistry implements SchemaRegistry {
  private readonly schemas: AvroSchema[] = [];
  private readonly ids = new Map<string, number>();
  private readonly idsByObject = new WeakMap<object, number>();

  register(_topic: string, _part: 'key' | 'value', schema: AvroSchema): Promise<number> {
    const known = typeof schema === 'object' ? this.idsByObject.get(schema) : undefined;
    if (known !== undefined) return Promise.resolve(known);
    const text = JSON.stringify(schema);
    let id = this.ids.get(text);
    if (id === undefined) {
      this.schemas.push(schema);
      id = this.schemas.length;
      this.ids.set(text, id);
    }
    if (typeof schema === 'object') this.idsByObject.set(schema, id);
    return Promise.resolve(id);
  }

  schema(id: number): Promise<AvroSchema> {
    const schema = this.schemas[id - 1];
    if (schema === undefined) return Promise.reject(new DuologError('SCHEMA_UNKNOWN', `no schema ${id}`));
    return Promise.resolve(schema);
  }
}
