import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MemorySchemaRegistry } from '../../src/avro/memory-registry.js';
import type { AvroSchema } from '../../src/avro/schema.js';
import { stateKey, type StateRecord } from '../../src/decision/state.js';
import { fromJsonForm, toJsonForm } from '../../src/state/json-form.js';
import { AvroStateCodec } from '../../src/state/state-codec.js';
import { MemoryState } from '../support/memory-state.js';
import { recordsOf, scenario, scenarioPlan } from '../support/state-scenario.js';

/** A changelog as a version wrote it: its schemas by id, its records as bytes, and what they say. */
interface Recorded {
  readonly schemas: readonly AvroSchema[];
  readonly records: readonly { readonly bytes: string; readonly says: string }[];
}

const FOLDER = join(import.meta.dirname, 'state-changelogs');

/** With DUOLOG_RECORD=NAME today's code writes `NAME.json`: once for each new format, and never again. */
async function record(name: string): Promise<void> {
  const registry = new MemorySchemaRegistry();
  const codec = await AvroStateCodec.register(registry, 'state', scenarioPlan);
  const records = recordsOf(scenario()).map((each) => ({
    bytes: codec.encode(each).toString('base64'),
    says: toJsonForm(each),
  }));
  const schemas = await Promise.all(codec.schemaIds().map((id) => registry.schema(id)));
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify({ schemas, records }, null, 1)}\n`);
}

const asked = process.env['DUOLOG_RECORD'];
if (asked !== undefined && !existsSync(join(FOLDER, `${asked}.json`))) await record(asked);

function recorded(name: string): Recorded {
  return JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Recorded;
}

async function codecOver({ schemas }: Recorded): Promise<AvroStateCodec> {
  const registry = new MemorySchemaRegistry();
  for (const schema of schemas) await registry.register('state', 'value', schema);
  const codec = await AvroStateCodec.register(registry, 'state', scenarioPlan);
  await codec.prepareIds(schemas.map((_, at) => at + 1));
  return codec;
}

describe.each(readdirSync(FOLDER))('a changelog written as %s', (name) => {
  it('has a record of every kind', () => {
    const kinds = new Set(recorded(name).records.map(({ says }) => (fromJsonForm(says) as StateRecord).kind));
    expect([...kinds].sort()).toEqual(['configuration', 'cursor', 'link', 'redirect', 'sync', 'waiting']);
  });

  it('is read as it was meant', async () => {
    const changelog = recorded(name);
    const codec = await codecOver(changelog);
    for (const { bytes, says } of changelog.records) {
      const read = codec.decode(Buffer.from(bytes, 'base64'));
      expect(read).toEqual(fromJsonForm(says));
      expect(codec.decode(codec.encode(read))).toEqual(read);
    }
  });

  it('goes on: what is in flight is answered, what waits comes in', async () => {
    const changelog = recorded(name);
    const codec = await codecOver(changelog);
    const talk = scenario();
    const state = new MemoryState();
    for (const { bytes } of changelog.records) {
      const read = codec.decode(Buffer.from(bytes, 'base64'));
      state.put(stateKey(read), read);
    }
    (talk as { state: MemoryState }).state = state;
    talk.tell({ kind: 'continue' });
    talk.settle();
    const unanswered = state
      .links()
      .flatMap(({ members }) => Object.values(members).filter(({ inFlight }) => inFlight));
    expect(unanswered).toEqual([]);
    expect(state.all().filter(({ kind }) => kind === 'waiting' || kind === 'cursor')).toEqual([]);
  });
});

describe('a changelog of a later version', () => {
  it('is refused', async () => {
    const [name] = readdirSync(FOLDER).sort().slice(-1);
    const changelog = recorded(name!);
    const later = changelog.schemas.map((schema) => ({ ...(schema as object), format: 99 }) as unknown as AvroSchema);
    const codec = await codecOver({ ...changelog, schemas: later });
    for (const { bytes } of changelog.records) {
      expect(() => codec.decode(Buffer.from(bytes, 'base64'))).toThrow(/written by a later version/);
    }
  });
});
