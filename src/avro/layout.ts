import type { AvroField, AvroSchema } from './schema.js';

interface Named {
  readonly type: string;
  readonly name?: string;
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  readonly items?: AvroSchema;
  readonly values?: AvroSchema;
}

/**
 * What of a schema says how its messages' bytes lie: equal for two schemas whose messages are read alike. A registry may
 * give a schema back in another order of attributes, with shorter names or without its texts.
 */
export function layoutOf(schema: AvroSchema): string {
  if (typeof schema === 'string') return schema.slice(schema.lastIndexOf('.') + 1);
  if (Array.isArray(schema)) return `[${schema.map(layoutOf).join(' ')}]`;
  const { type, name = '', fields = [], symbols = [], items = 'null', values = 'null' } = schema as Named;
  const short = layoutOf(name);
  switch (type) {
    case 'record':
      return `record ${short} {${fields.map((field) => `${field.name}: ${layoutOf(field.type)}`).join(' ')}}`;
    case 'enum':
      return `enum ${short} (${symbols.join(' ')})`;
    case 'array':
      return `array ${layoutOf(items)}`;
    case 'map':
      return `map ${layoutOf(values)}`;
    default:
      return layoutOf(type);
  }
}
