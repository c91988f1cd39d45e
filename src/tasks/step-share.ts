import { SHARE, type Share } from '../decision/settle.js';

/** A step that reads more of large records than this was too large … */
const MUCH_BYTES = 8 << 20;
/** … and the next one walks over so few links. */
const FEW_VISITS = 2;

/**
 * How many links one step of the decision may walk over. A hundred small ones are nothing; a hundred of the largest would
 * not fit into memory. Nobody knows beforehand how large the next are: so a step begins with few, each that reads little
 * doubles the next one's share, and one that reads much has it begin again. What exceeds a share goes on with the next
 * step, so the outcome is the same.
 */
export class StepShare {
  private visits = FEW_VISITS;

  of<R>(store: { readonly touchedBytes: number }, step: (share: Share) => R): R {
    const before = store.touchedBytes;
    const result = step(this.share());
    const isMuch = store.touchedBytes - before > MUCH_BYTES;
    this.visits = isMuch ? FEW_VISITS : Math.min(this.visits * 2, SHARE.visits);
    return result;
  }

  private share(): Share {
    if (this.visits === SHARE.visits) return SHARE;
    return { visits: this.visits, consequences: Math.ceil((SHARE.consequences * this.visits) / SHARE.visits) };
  }
}
