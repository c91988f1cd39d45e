import { z } from 'zod';
import type { FieldType } from '../plan/plan.js';

/** The small texts of the configuration: names, durations, sizes, field types. */

export const name = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,39}$/, 'must be lower-case letters, digits and _, begin with a letter and have at most 40');

export const fieldName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_]{0,59}$/, 'must be letters, digits and _, begin with a letter and have at most 60');

export const nonEmpty = z.string().min(1, 'must not be empty');

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `2s`, `5m`, `1h`, `7d`: milliseconds. */
export const durationMs = z
  .string('must be a duration such as 500ms, 2s, 5m, 1h or 7d')
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'must be a duration such as 500ms, 2s, 5m, 1h or 7d')
  .transform((text) => {
    const digits = text.replace(/\D/g, '');
    return Number(digits) * (UNIT_MS[text.slice(digits.length)] ?? 1);
  });

const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, kB: 1000, MB: 1_000_000, GB: 1_000_000_000 };

/** `800kB`, `8MB`: bytes. */
export const sizeBytes = z
  .string('must be a size such as 800kB or 8MB')
  .regex(/^\d{1,6}(B|kB|MB|GB)$/, 'must be a size such as 800kB or 8MB')
  .transform((text) => {
    const digits = text.replace(/\D/g, '');
    return Number(digits) * (UNIT_BYTES[text.slice(digits.length)] ?? 1);
  });

const PLAIN_TYPES = [
  'string',
  'integer',
  'float',
  'boolean',
  'date',
  'timestamp',
  'time',
  'uuid',
  'json',
  'bytes',
] as const;

const FIELD_TYPE = new RegExp(
  `^(?:(${PLAIN_TYPES.join('|')})|decimal\\((\\d{1,3}),\\s*(\\d{1,3})\\)|reference\\(([a-z][a-z0-9_]*)\\))(\\?)?$`,
);

const FIELD_TYPE_MESSAGE = `must be one of ${PLAIN_TYPES.join(', ')}, decimal(12,2) or reference(entity), with ? behind it where it may be empty`;

export interface DeclaredType {
  readonly type: FieldType;
  readonly nullable: boolean;
}

/** `string`, `decimal(12,2)?`, `reference(company)`; `?` where the field may be empty. */
export const fieldType = z
  .string(FIELD_TYPE_MESSAGE)
  .regex(FIELD_TYPE, FIELD_TYPE_MESSAGE)
  .transform((text, context): DeclaredType => {
    const found = FIELD_TYPE.exec(text);
    const nullable = found?.[5] === '?';
    if (found?.[4] !== undefined) return { type: { kind: 'reference', entity: found[4] }, nullable };
    if (found?.[2] !== undefined) {
      const precision = Number(found[2]);
      const scale = Number(found[3]);
      if (precision < 1 || scale > precision) {
        context.addIssue('a decimal needs a precision of at least 1 and a scale no larger than it');
      }
      return { type: { kind: 'decimal', precision, scale }, nullable };
    }
    const kind = PLAIN_TYPES.find((plain) => plain === found?.[1]) ?? 'string';
    return { type: { kind }, nullable };
  });

/** A constant of a column or field as YAML gives it. */
export const constant = z.union([z.string(), z.number(), z.boolean(), z.null()], {
  error: 'must be a text, a number, true, false or null',
});
