import type { CanonicalOutput } from '../../../src/decision/outputs.js';
import type { EntityConfig } from '../world-config.js';
import type { Observed, RecordChange } from './observed.js';

/** Which records were left by the delete policies where others deleted theirs, as the decisions tell. */
export class Keeping {
  constructor(
    private readonly observed: Observed,
    private readonly changes: readonly RecordChange[],
  ) {}

  /** The link's only record was taken out of a deleted link (delete: unlink). */
  wasUnlinked({ entity: name, keys }: CanonicalOutput): boolean {
    const entity = this.observed.world.entities.find((one) => one.name === name)!;
    const records = Object.entries(keys);
    const [system, key] = records[0] ?? ['', ''];
    return records.length === 1 && entity.systems[system]!.delete === 'unlink' && this.isTold(entity, system, key);
  }

  /** A decision says that the record was left where others deleted theirs. */
  isTold(entity: EntityConfig, system: string, key: string): boolean {
    const keys = this.keysUntil(entity, system, key);
    return this.observed.decisions.some(
      ({ what }) =>
        what.entity === entity.name &&
        what.decision === 'lost-deletion' &&
        what.fields.some(({ sides }) =>
          sides.some((side) => side.system === system && side.key !== null && keys.has(side.key)),
        ),
    );
  }

  /** The record's key and those that it had before: people change keys of kept records too. */
  private keysUntil(entity: EntityConfig, system: string, key: string): ReadonlySet<string> {
    const keys = new Set([key]);
    let current = key;
    for (const change of this.changes.toReversed()) {
      if (change.entity !== entity || change.system !== system || change.key !== current) continue;
      if (change.before === null) break;
      if (change.oldKey === null) continue;
      current = change.oldKey;
      keys.add(current);
    }
    return keys;
  }
}
