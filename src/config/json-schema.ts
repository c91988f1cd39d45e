import { z } from 'zod';
import { configurationSchema } from './schema.js';

/** The configuration's JSON Schema, for editors; published as schemas/duolog.schema.json. */
export function configurationJsonSchema(): Readonly<Record<string, unknown>> {
  return {
    ...z.toJSONSchema(configurationSchema, { io: 'input', target: 'draft-2020-12' }),
    title: 'Duolog configuration',
  };
}
