import { HEADER_BYTES } from '../avro/codec.js';
import { Skimmer } from './skimmer.js';

const UNCHANGED = 1;
/** Behind the key: what was met, and all that is said of a failure. */
const EMPTY_FIELDS = 7;

/** An outcome that only says that the command was carried out, as places in its bytes (schemas/outcome.avsc). */
export class OutcomeImage {
  buf: Buffer = Buffer.alloc(0);
  commandStart = 0;
  commandEnd = 0;
  linkStart = 0;
  linkEnd = 0;
  entityStart = 0;
  entityEnd = 0;
  keyStart = 0;
  keyEnd = 0;
  private readonly skimmer = new Skimmer();

  /** False for any other outcome. */
  read(message: Buffer): boolean {
    const { skimmer } = this;
    this.buf = message;
    skimmer.begin(message, HEADER_BYTES);
    this.commandStart = skimmer.pos;
    skimmer.skipText();
    this.commandEnd = skimmer.pos;
    this.linkStart = skimmer.pos;
    skimmer.skipText();
    this.linkEnd = skimmer.pos;
    this.entityStart = skimmer.pos;
    skimmer.skipText();
    this.entityEnd = skimmer.pos;
    const status = skimmer.long();
    if (status > UNCHANGED || skimmer.isZero()) return false;
    this.keyStart = skimmer.pos;
    skimmer.skipText();
    this.keyEnd = skimmer.pos;
    for (let field = 0; field < EMPTY_FIELDS; field++) if (!skimmer.isZero()) return false;
    return skimmer.pos === message.length;
  }
}
