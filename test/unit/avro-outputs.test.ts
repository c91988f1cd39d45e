import { describe, expect, it } from 'vitest';
import { Decoder, Encoders } from '../../src/avro/codec.js';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import { CanonicalEncoder, DecisionEncoder, HoldEncoder } from '../../src/avro/output-codec.js';
import type { EntityPlan } from '../../src/plan/plan.js';

const PERSON: EntityPlan = {
  name: 'person',
  fields: [
    { name: 'name', type: { kind: 'string' }, nullable: false, group: 'name' },
    { name: 'credit', type: { kind: 'decimal', precision: 12, scale: 2 }, nullable: true, group: 'credit' },
    { name: 'company', type: { kind: 'reference', entity: 'company' }, nullable: true, group: 'company' },
    { name: 'owner', type: { kind: 'reference', entity: 'person' }, nullable: true, group: 'owner' },
  ],
  match: [],
  conflict: { policy: 'leading', lead: null, withinMicros: 0, otherwise: 'leading', groups: {}, first: 'leading' },
  systems: {},
  children: [],
};

/** What a subscriber reads of one message. */
async function read(registry: MemorySchemaRegistry, message: Buffer): Promise<unknown> {
  const decoder = new Decoder(registry);
  await decoder.prepare([message]);
  return decoder.decode(message).value;
}

describe('outputs for subscribers', () => {
  const registry = new MemorySchemaRegistry();
  const encoders = new Encoders(registry);

  it('carry canonical values typed, references as links', async () => {
    const canonical = await CanonicalEncoder.register(encoders, 'canonical', PERSON);
    const message = canonical.encode({
      kind: 'canonical',
      entity: 'person',
      link: 'l1',
      fields: {
        name: 'Ann',
        credit: '12.50',
        company: { link: 'l2' },
        owner: { system: 'crm', entity: 'person', key: '4' },
      },
      keys: { crm: '1' },
      set: { name: { system: 'crm', timeMicros: null } },
    })!;
    expect(await read(registry, message)).toMatchObject({
      link: 'l1',
      fields: { name: 'Ann', credit: '12.50', company: { link: 'l2' }, owner: { system: 'crm', key: '4' } },
      keys: { crm: '1' },
      set: { name: { system: 'crm', time: null } },
    });
    expect(
      canonical.encode({ kind: 'canonical', entity: 'person', link: 'l1', fields: null, keys: {}, set: {} }),
    ).toBeNull();
  });

  it('carry decisions with every side, and the link that became part of another', async () => {
    const decision = await DecisionEncoder.register(encoders, 'decision');
    const side = { system: 'crm', key: '1', value: { link: 'l2' }, absent: false, timeMicros: 5 };
    const message = decision.encode({
      kind: 'decision',
      entity: 'person',
      link: 'l1',
      decision: 'merged-links',
      group: 'company',
      fields: [{ field: 'company', agreed: null, sides: [side] }],
      merged: 'l3',
      winner: 'crm',
      rule: 'leading',
      timeMicros: 6,
    });
    expect(await read(registry, message)).toMatchObject({
      fields: [{ agreed: null, sides: [{ value: { link: 'l2' }, time: 5 }] }],
      merged: 'l3',
      winner: 'crm',
    });
  });

  it('carry holds with their field groups, all of those that a record has', async () => {
    const hold = await HoldEncoder.register(encoders, 'hold');
    const told = { kind: 'hold', entity: 'person', link: 'l1', system: 'crm' } as const;
    const message = hold.encode({
      ...told,
      hold: {
        reason: 'conflict',
        group: 'company',
        detail: 'a person decides',
        key: '1',
        sinceMicros: 5,
        others: [{ reason: 'failed', group: null, detail: '23514', sinceMicros: null }],
      },
    })!;
    expect(await read(registry, message)).toEqual({
      link: 'l1',
      entity: 'person',
      system: 'crm',
      reason: 'conflict',
      group: 'company',
      detail: 'a person decides',
      key: '1',
      since: 5,
      others: [{ reason: 'failed', group: null, detail: '23514', since: null }],
    });
    expect(hold.encode({ ...told, hold: null })).toBeNull();
  });
});
