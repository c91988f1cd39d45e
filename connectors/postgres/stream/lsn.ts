/**
 * A place in the write-ahead log as a number: exact up to 2^53 bytes of log (8 PiB), more than a cluster writes in its life.
 */
export type Lsn = number;

const HIGH = 0x1_0000_0000;

/** `16/B374D848` → number. @throws RangeError for a text of another form or a place beyond 2^53. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text);
  if (match === null) throw new RangeError(`"${text}" is not a place in the write-ahead log`);
  return exact(Number.parseInt(match[1]!, 16) * HIGH + Number.parseInt(match[2]!, 16));
}

export function formatLsn(lsn: Lsn): string {
  const high = Math.floor(lsn / HIGH);
  return `${high.toString(16).toUpperCase()}/${(lsn - high * HIGH).toString(16).toUpperCase()}`;
}

/** Sixteen hexadecimal digits, so that texts sort as places do. */
export function sortableLsn(lsn: Lsn): string {
  return lsn.toString(16).padStart(16, '0');
}

export function readLsn(bytes: Buffer, offset: number): Lsn {
  return exact(bytes.readUInt32BE(offset) * HIGH + bytes.readUInt32BE(offset + 4));
}

function exact(lsn: number): Lsn {
  if (!Number.isSafeInteger(lsn)) throw new RangeError('The place in the write-ahead log is beyond 2^53');
  return lsn;
}
