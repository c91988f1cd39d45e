import { indexEntries } from '../decision/entries.js';
import type { StateRecord } from '../decision/state.js';
import { DuologError } from '../errors/duolog-error.js';
import type { StateCodec } from './contract.js';
import { fromJsonForm, toJsonForm } from './json-form.js';

const FORMAT = 1;

/** The decision's records as bytes: a version, then their JSON. */
export const stateCodec: StateCodec<StateRecord> = {
  encode: (record) => Buffer.concat([Buffer.of(FORMAT), Buffer.from(toJsonForm(record))]),
  decode: (bytes) => {
    if (bytes[0] !== FORMAT) {
      throw new DuologError(
        'STATE_UNREADABLE',
        `a record of the state has format ${bytes[0]}, this version knows ${FORMAT}`,
      );
    }
    return fromJsonForm(bytes.toString('utf8', 1)) as StateRecord;
  },
  indexEntries,
};
