import { ValueForm } from '../state/binary/values.js';
import type { MemberImage } from './link-image.js';
import type { QuietWriter } from './quiet-writer.js';

/** The unions of an assigned value, and of an agreed one (schemas/assignment.avsc, schemas/state-member.avsc). */
export const ASSIGNED = new ValueForm(['null', 'boolean', 'long', 'double', 'string']);

/** What follows the row of a member at rest that has just moved; `shown` are its match values. */
export function writeAtRest(
  to: QuietWriter,
  buf: Buffer,
  member: MemberImage,
  shown: Pick<MemberImage, 'matchStart' | 'matchEnd'>,
  snapshot: number,
  lastCommand: number,
): void {
  to.long(member.moves + 1);
  to.byte(0);
  to.copy(buf, shown.matchStart, shown.matchEnd);
  // No command in flight, no holds, not kept.
  to.zeros(3);
  to.copy(buf, member.formerStart, member.formerEnd);
  to.byte(0);
  to.long(snapshot);
  to.long(lastCommand);
  to.copy(buf, member.transactionStart, member.transactionEnd);
}

/** A key that is there, as the union that it stands in. */
export function writeKey(to: QuietWriter, buf: Buffer, start: number, end: number): void {
  to.byte(2);
  to.copy(buf, start, end);
}
