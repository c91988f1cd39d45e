import { HEADER_BYTES, type Decoder } from '../avro/codec.js';
import { outcomeSchema } from '../avro/command-codec.js';
import { KnownLayout } from '../avro/known-layout.js';
import { schemaFile } from '../avro/schema.js';
import { planIndex } from '../decision/plan-index.js';
import { linkKey, syncRecord, type StateRecord, type SyncRecord } from '../decision/state.js';
import type { LogRecord } from '../log/contract.js';
import type { SyncPlan } from '../plan/plan.js';
import type { ByteState } from '../state/contract.js';
import { BinaryReader } from '../state/binary/bytes.js';
import { ChangeImage, DELETE, END, INSERT } from './change-image.js';
import { OutcomeImage } from './outcome-image.js';
import { QuietConfirmation } from './quiet-confirmation.js';
import type { QuietDecision } from './quiet-decision.js';
import { quietEntities, recordEntry, type QuietEntity, type QuietSystem } from './quiet-entity.js';
import { QuietDeletion } from './quiet-deletion.js';
import { QuietInsert } from './quiet-insert.js';
import { QuietUpdate } from './quiet-update.js';
import { QuietMessages } from './quiet-writer.js';
import { sameBytes, skipLength } from './row-layout.js';
import { avroText } from './skimmer.js';
import { Teller, type QuietTopics } from './told.js';

/** What a topic tells. */
export type QuietInput =
  | { readonly kind: 'change'; readonly system: string; readonly entity: string }
  | { readonly kind: 'outcome'; readonly system: string };

export interface QuietOptions {
  readonly plan: SyncPlan;
  /** The schema that links are written under. */
  readonly stateSchemaId: number;
  readonly decoder: Decoder;
  readonly topics: QuietTopics;
  readonly state: ByteState<StateRecord>;
}

/** Of a topic: the system, the entity where it is of one, and how its messages are laid out under each schema met. */
interface Place {
  readonly entity: QuietEntity | null;
  readonly system: QuietSystem | null;
  readonly changes: Map<number, ChangeImage | null>;
}

/**
 * The quiet path: most changes concern one link on which nothing else goes on, and ask nothing of the policy. What the
 * decision says of those is written here from the bytes of the message and of the link to those of the commands, the
 * canonical record and the link, piece by piece, without a value being made of what has not changed: in a third of the
 * decision's time (bench/README.md). Whatever is in the least unusual it leaves to the decision, and what it does
 * say is the decision's own word to the byte: test/support/checked-quiet-path.ts compares the two on every event of
 * every simulated run.
 */
export class QuietPath {
  private readonly entities: ReadonlyMap<string, QuietEntity>;
  private readonly sync: Buffer;
  private readonly places = new Map<string, Place>();
  private readonly outcomes: KnownLayout;
  private readonly outcomeImage = new OutcomeImage();
  private readonly keys: KnownLayout;
  private readonly reader = new BinaryReader();
  private readonly update: QuietUpdate;
  private readonly insert: QuietInsert;
  private readonly deletion: QuietDeletion;
  private readonly confirmation: QuietConfirmation;

  constructor(private readonly options: QuietOptions) {
    const { decoder, plan, stateSchemaId, state, topics } = options;
    this.keys = new KnownLayout(decoder, schemaFile('key'));
    this.outcomes = new KnownLayout(decoder, outcomeSchema());
    this.entities = quietEntities(planIndex(plan), stateSchemaId);
    this.sync = avroText(plan.name);
    const messages = new QuietMessages();
    const teller = new Teller(messages, topics, plan.systems);
    this.update = new QuietUpdate(messages, teller);
    this.insert = new QuietInsert(messages, teller, state);
    this.deletion = new QuietDeletion(messages, teller, state);
    this.confirmation = new QuietConfirmation(messages, teller, state);
  }

  /** Null where the decision is to be asked; nothing has happened then. The record's schemas have been fetched. */
  decide({ topic, key, value, timestampMs }: LogRecord, input: QuietInput): QuietDecision | null {
    if (value === null || value.length < HEADER_BYTES || value[0] !== 0) return null;
    const sync = syncRecord(this.options.state);
    if (sync === undefined || sync.observe || this.options.plan.observe === true || sync.blockedHolds > 0) return null;
    if (input.kind === 'outcome') return this.outcome(value, input.system, timestampMs * 1000, sync);
    const place = this.placeOf(topic, input);
    if (place.entity === null || place.system === null || !place.entity.isOpen(sync)) return null;
    const change = this.changeImage(place, value);
    if (change === null || !change.read(value, this.sync)) return null;
    return this.change(place.entity, place.system, change, key, sync);
  }

  private change(
    entity: QuietEntity,
    system: QuietSystem,
    change: ChangeImage,
    key: Buffer | null,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { operation } = change;
    if (operation === END) return this.deletion.end(entity, system, change, sync);
    if (key === null || operation > DELETE || change.hasAfter === (operation === DELETE)) return null;
    if (!this.isKey(key)) return null;
    const { state } = this.options;
    if (change.commandStart !== 0) return this.ownWrite(entity, system, change, key, sync);
    const name = this.text(key, HEADER_BYTES);
    if (operation === INSERT) return this.insert.decide(entity, system, change, name, sync);
    const [found] = state.indexed(recordEntry(entity, system, name), ONE);
    const bytes = found === undefined ? undefined : state.bytes(found);
    if (found === undefined || bytes === undefined || !entity.image.read(bytes)) return null;
    if (operation === DELETE) return this.deletion.begin(entity, system, change, found, sync);
    return this.update.decide(entity, system, change, found, sync);
  }

  private ownWrite(
    entity: QuietEntity,
    system: QuietSystem,
    change: ChangeImage,
    key: Buffer,
    sync: SyncRecord,
  ): QuietDecision | null {
    const { commandStart, commandEnd, buf, linkStart, commitTimeMicros } = change;
    if (commitTimeMicros === null) return null;
    const found = linkKey(this.text(buf, linkStart));
    if (!this.isInFlight(entity, system, found, buf, commandStart, commandEnd)) return null;
    if (!change.hasAfter) return this.deletion.confirm(entity, system, found, sync, commitTimeMicros);
    const name = { buf: key, start: HEADER_BYTES, end: key.length };
    return this.confirmation.decide(
      entity,
      system,
      { own: change, key: name, timeMicros: commitTimeMicros },
      found,
      sync,
    );
  }

  private outcome(value: Buffer, name: string, timeMicros: number, sync: SyncRecord): QuietDecision | null {
    const { outcomeImage: image } = this;
    if (!this.outcomes.has(value) || !image.read(value)) return null;
    const entity = this.entities.get(this.text(value, image.entityStart));
    const system = entity?.bySystem.get(name);
    if (entity === undefined || system === undefined || !entity.isOpen(sync)) return null;
    const found = linkKey(this.text(value, image.linkStart));
    if (!this.isInFlight(entity, system, found, value, image.commandStart, image.commandEnd)) return null;
    if (!entity.image.isPresent) return this.deletion.confirm(entity, system, found, sync, timeMicros);
    const key = { buf: value, start: image.keyStart, end: image.keyEnd };
    return this.confirmation.decide(entity, system, { own: null, key, timeMicros }, found, sync);
  }

  /** The link waits for this command; its image shows it then. */
  private isInFlight(
    { image }: QuietEntity,
    { member }: QuietSystem,
    link: string,
    buf: Buffer,
    start: number,
    end: number,
  ): boolean {
    const bytes = this.options.state.bytes(link);
    if (bytes === undefined || !image.read(bytes)) return false;
    const { command } = member;
    return command.isThere && sameBytes(buf, start, end, bytes, command.idStart, command.idEnd);
  }

  /** A key of the schema that this version knows, and nothing behind it. */
  private isKey(key: Buffer): boolean {
    return this.keys.has(key) && skipLength(key, HEADER_BYTES) === key.length;
  }

  private text(buf: Buffer, at: number): string {
    this.reader.begin(buf, at);
    return this.reader.text();
  }

  private placeOf(topic: string, input: Extract<QuietInput, { kind: 'change' }>): Place {
    let place = this.places.get(topic);
    if (place === undefined) {
      const entity = this.entities.get(input.entity) ?? null;
      const system = entity?.bySystem.get(input.system) ?? null;
      this.places.set(topic, (place = { entity, system, changes: new Map() }));
    }
    return place;
  }

  /** Null for a row that is not laid out as the state has it. */
  private changeImage({ system, changes }: Place, value: Buffer): ChangeImage | null {
    const id = value.readUInt32BE(1);
    let image = changes.get(id);
    if (image === undefined) {
      image = ChangeImage.of(this.options.decoder.schema(id));
      const { names, signatures } = system!.member.row;
      const isSame = (own: readonly string[], other: readonly string[]) =>
        own.length === other.length && own.every((one, at) => one === other[at]);
      if (image !== null && !(isSame(image.row.names, names) && isSame(image.row.signatures, signatures))) image = null;
      changes.set(id, image);
    }
    return image;
  }
}

const ONE = { limit: 1 };
