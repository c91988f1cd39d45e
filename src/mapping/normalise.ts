import { createHash } from 'node:crypto';
import type { Value } from '../model/value.js';
import type { MatchRule } from '../plan/plan.js';

/** Above this a match value is shortened with a digest: indexes limit the length of their keys. */
const MAX_MATCH_VALUE_LENGTH = 400;
const KEPT_PREFIX_LENGTH = 200;

/**
 * The text under which records with equal values of a match rule meet, from the values of the rule's fields in
 * their order; null if one of them is missing or empty, for such records match nothing.
 * Texts are compared in Unicode's composed form, whatever the rule says.
 */
export function matchValue(rule: MatchRule, values: readonly Value[]): string | null {
  let joined = '';
  for (let at = 0; at < values.length; at++) {
    const value = values[at] ?? null;
    if (value === null) return null;
    const text = typeof value === 'string' ? normalise(rule, value) : String(value);
    if (text === '') return null;
    joined += at === 0 ? escapePart(text) : `,${escapePart(text)}`;
  }
  return joined === '' ? null : bounded(joined);
}

function normalise(rule: MatchRule, value: string): string {
  let text = value.normalize('NFC');
  for (const step of rule.normalise) {
    switch (step) {
      case 'case':
        text = text.toLowerCase();
        break;
      case 'spaces':
        text = text.replace(/\s+/gu, '');
        break;
      case 'punctuation':
        text = text.replace(/[\p{P}\p{S}]+/gu, '');
        break;
    }
  }
  return text;
}

function escapePart(text: string): string {
  return text.includes(',') || text.includes('\\') ? text.replace(/[\\,]/g, '\\$&') : text;
}

function bounded(text: string): string {
  if (text.length <= MAX_MATCH_VALUE_LENGTH) return text;
  return `${text.slice(0, KEPT_PREFIX_LENGTH)}#${createHash('sha256').update(text).digest('hex')}`;
}
