import { createHash } from 'node:crypto';
import pg from 'pg';

const MAX_LENGTH = 63;

/**
 * Name of the replication slot and of the publication of a system, the same for both: `duolog_<prefix>_<system>`.
 * Slots allow only lower-case letters, digits and `_`, at most 63; what does not fit gets a hash, so that names stay apart.
 */
export function slotName(prefix: string, system: string): string {
  const exact = `duolog_${prefix}_${system}`;
  const plain = exact.toLowerCase().replace(/[^a-z0-9_]/g, '_');
  if (plain === exact && plain.length <= MAX_LENGTH) return plain;
  const hash = createHash('sha256').update(`${prefix}\n${system}`).digest('hex').slice(0, 8);
  return `${plain.slice(0, MAX_LENGTH - hash.length - 1)}_${hash}`;
}

export function publicationName(prefix: string, system: string): string {
  return slotName(prefix, system);
}

/** `public.company`, `company` (schema public) or `"My Schema"."My Table"`; unquoted parts are taken as they stand. */
export function parseTableName(text: string): { readonly schema: string; readonly name: string } {
  const parts = [...text.matchAll(/"((?:[^"]|"")*)"|([^."]+)/g)].map((match) =>
    match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'),
  );
  return parts.length < 2 ? { schema: 'public', name: parts[0] ?? text } : { schema: parts[0]!, name: parts[1]! };
}

export function quoteTable(table: { readonly schema: string; readonly name: string }): string {
  return `${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.name)}`;
}
