import { z } from 'zod';
import { constant, durationMs, fieldName, fieldType, name, nonEmpty, type DeclaredType } from './scalars.js';

/** The part of the configuration that decides: syncs, entities, fields, rules. */

export const fieldSchema = z
  .union([
    fieldType.transform((declared) => ({ ...declared, group: null as string | null })),
    z
      .strictObject({
        type: fieldType.meta({
          description:
            'Type of the field: `string`, `integer`, `float`, `boolean`, `date`, `timestamp`, `time`, `uuid`, `json`, `bytes`, `decimal(12,2)` or `reference(entity)`; with `?` behind it the field may be empty.',
        }),
        group: fieldName.optional().meta({
          description: 'Fields of one group change hands together, such as the parts of an address.',
        }),
      })
      .transform(({ type, group }): DeclaredType & { readonly group: string | null } => ({
        ...type,
        group: group ?? null,
      })),
  ])
  .meta({ description: 'A field by its name: its type, or `{ type, group }`.' });

const matchSchema = z.strictObject({
  on: z
    .array(fieldName)
    .min(1, 'needs at least one field')
    .meta({ description: 'Fields that must all be there and equal for two records to be the same thing.' }),
  normalise: z
    .array(z.enum(['case', 'spaces', 'punctuation']))
    .default(['case', 'spaces'])
    .meta({
      description:
        'What is left out of texts before they are compared: upper and lower `case`, all `spaces`, all `punctuation`.',
    }),
  name: name
    .optional()
    .meta({ description: "The rule's name in decisions and holds; by default its fields joined by _." }),
});

const policy = z.enum(['leading', 'newest', 'hold']);

const ruleKeys = {
  policy: policy.optional().meta({
    description:
      'Who wins a conflict: the `leading` system, the `newest` edit, or nobody (`hold`): the value waits until somebody has edited one side to show what the other shows. Default `leading`.',
  }),
  lead: name.optional().meta({
    description: "The system that wins under `leading`; by default the first of the sync's `leading` list.",
  }),
  within: durationMs.optional().meta({
    description: 'Under `newest`, edits closer together than this are not ordered by their clocks. Default `2s`.',
  }),
  otherwise: z.enum(['leading', 'hold']).optional().meta({
    description: 'Under `newest`, what happens when the times do not tell. Default `leading`.',
  }),
};

const conflictSchema = z.strictObject({
  ...ruleKeys,
  first: z.enum(['leading', 'newest', 'fill']).default('leading').meta({
    description:
      "When two existing records are linked for the first time: the `leading` system's values, the `newest` ones, or the leading system's with its empty fields filled (`fill`).",
  }),
  fields: z
    .record(fieldName, z.strictObject(ruleKeys))
    .default({})
    .meta({ description: 'Rules of their own for single fields or groups, by name; `{ lead: erp }` is enough.' }),
});

const columnObject = z.strictObject({
  column: nonEmpty.meta({ description: 'The column in the table.' }),
  read: z.boolean().optional().meta({
    description: 'Edits of this column count. Default: as the entity’s `read` in this system.',
  }),
  write: z.boolean().optional().meta({
    description:
      'This column is written. Default: as the entity’s `write` in this system; generated columns never are.',
  }),
  values: z.record(z.string(), constant).optional().meta({
    description:
      'Value map, column value to field value: `{ "€": EUR, "$": USD }`. Of several spellings of one field value the first is written.',
  }),
  otherwise: z.enum(['hold', 'null', 'keep']).optional().meta({
    description:
      'A value that the map does not know holds the record (`hold`, default), counts as empty (`null`) or is taken as it is (`keep`).',
  }),
  tooLong: z.enum(['hold', 'truncate']).optional().meta({
    description:
      'A value that does not fit the column holds the record (`hold`, default) or is cut (`truncate`): text to its length, decimals to their scale, timestamps to their day.',
  }),
});

const columnSchema = z
  .union([nonEmpty.transform((column): z.output<typeof columnObject> => ({ column })), columnObject])
  .meta({ description: 'The column of a field: its name, or an object with more about it.' });

const deletePolicy = z.enum(['hard', 'soft', 'unlink', 'never']);

const entitySystemSchema = z.strictObject({
  table: nonEmpty.meta({ description: 'The table with its schema: `public.company`.' }),
  capture: z.boolean().default(true).meta({
    description: 'Changes are captured from this table; without, it is only written to.',
  }),
  read: z.boolean().optional().meta({
    description:
      'Edits made here count; default as `capture`. With `false` here and `capture` on, foreign edits are undone.',
  }),
  write: z.boolean().default(true).meta({ description: 'Records are written here: inserted, updated and deleted.' }),
  map: z.record(fieldName, columnSchema).meta({ description: 'Field to column.' }),
  insert: z
    .strictObject({
      set: z.record(nonEmpty, constant).meta({ description: 'Column to the constant that a new row gets.' }),
    })
    .optional()
    .meta({ description: 'What new rows get beside the mapped columns.' }),
  softDelete: z
    .strictObject({
      column: nonEmpty.meta({ description: 'The column that flags a row as deleted.' }),
      deleted: constant.meta({ description: 'Its value in a deleted row.' }),
      present: constant.meta({ description: 'Its value in a row that is there.' }),
    })
    .optional()
    .meta({ description: 'How this system marks rows as deleted; a row so marked counts as absent.' }),
  vanished: z
    .strictObject({
      records: z.int('must be a whole number').min(1, 'must be at least 1').default(20).meta({
        description: 'Fewer than so many are believed to be deleted, whatever their share.',
      }),
      percent: z.int('must be a whole number').min(0).max(100).default(20).meta({
        description: 'The share of the linked records above which they are not; `100` believes everything.',
      }),
    })
    .prefault({})
    .meta({
      description:
        'When a reading after the first one (a resync, or after a TRUNCATE) misses as many linked records as this, the sync stops with `RECORDS_VANISHED` before it deletes them elsewhere, until `duolog resync --allow-deletes` says that it is meant: the database may have been restored empty.',
    }),
  updated: nonEmpty.optional().meta({
    description:
      'A column with the time of the last edit; it tells the age of rows that were there before the first start (for `newest`).',
  }),
});

const entitySchema = z.strictObject({
  fields: z.record(fieldName, fieldSchema).meta({ description: 'The fields on which the systems agree.' }),
  match: z
    .union([z.literal('none'), z.array(matchSchema)], { error: 'is neither a list of rules nor none' })
    .default([])
    .meta({
      description:
        'Rules in order by which records without a link find each other. Without a rule nothing is matched and every record is inserted everywhere; as that doubles what several systems have already, a first start wants the written tables empty then, or `match: none` to say that it is meant.',
    }),
  conflict: conflictSchema
    .prefault({})
    .meta({ description: 'What happens when both sides changed since they last agreed.' }),
  delete: z
    .union([deletePolicy, z.record(name, deletePolicy)])
    .optional()
    .meta({
      description:
        'What a deletion made elsewhere does: one word for all systems, or one for each written system. `hard` removes the row, `soft` sets its `softDelete` flag, `unlink` keeps the row and forgets the link, `never` keeps the row and the link.',
    }),
  systems: z
    .record(name, entitySystemSchema)
    .meta({ description: 'Where the entity lives: one table for each system.' }),
});

export const syncSchema = z.strictObject({
  leading: z
    .array(name)
    .min(1, 'needs at least one system')
    .meta({ description: 'Systems in order of precedence; the first one wins where `leading` decides.' }),
  entities: z.record(name, entitySchema).meta({ description: 'The kinds of records that are decided together.' }),
});

export type SyncConfiguration = z.output<typeof syncSchema>;
export type EntityConfiguration = z.output<typeof entitySchema>;
export type EntitySystemConfiguration = z.output<typeof entitySystemSchema>;
export type ColumnConfiguration = z.output<typeof columnSchema>;
export type RuleConfiguration = Partial<z.output<z.ZodObject<typeof ruleKeys>>>;
