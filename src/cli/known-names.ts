import { didYouMean } from '../config/problems.js';
import { DuologError } from '../errors/duolog-error.js';

/** @throws DuologError NAME_UNKNOWN with those that there are; `where` is a text such as ` in crm`. */
export function refuseUnknown(what: string, names: readonly string[], known: readonly string[], where = ''): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const meant = didYouMean(unknown, known);
  throw new DuologError('NAME_UNKNOWN', `There is no ${what} "${unknown}"${where}; there are ${known.join(', ')}.`, {
    ...(meant === null ? {} : { hint: meant }),
  });
}
