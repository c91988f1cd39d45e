import type { LogMessage } from '../log/contract.js';
import type { QuietEntity, QuietSystem } from './quiet-entity.js';
import type { QuietMessages, QuietWriter } from './quiet-writer.js';
import { avroText } from './skimmer.js';

/** Where messages of one kind go, and the schemas that they are written under. */
export interface QuietTopic {
  readonly topic: string;
  readonly keyId: number;
  readonly valueId: number;
}

/** Topics of what a quiet event says. */
export interface QuietTopics {
  /** By system. */
  readonly commands: ReadonlyMap<string, QuietTopic>;
  /** By entity. */
  readonly canonicals: ReadonlyMap<string, QuietTopic>;
}

export type Told = { readonly topic: string; readonly message: LogMessage };

/** A command, as pieces of `schemas/command.avsc`: what is not here is empty. */
export interface CommandParts {
  readonly id: string;
  /** Number in the schema's enum. */
  readonly operation: 0 | 1 | 2;
  readonly timeMicros: number;
  readonly key: (to: QuietWriter) => void;
  readonly set: (to: QuietWriter) => void;
  readonly expect: (to: QuietWriter) => void;
  readonly absent: (to: QuietWriter) => void;
}

/** Writes the messages of commands and canonical records (schemas/command.avsc, schemas/canonical.avsc). */
export class Teller {
  private readonly systemTexts: readonly Buffer[];

  constructor(
    private readonly messages: QuietMessages,
    private readonly topics: QuietTopics,
    /** In the order of their numbers in the state. */
    systems: readonly string[],
  ) {
    this.systemTexts = systems.map(avroText);
  }

  command(system: QuietSystem, entity: QuietEntity, link: Buffer, parts: CommandParts): Told {
    const { topic, keyId, valueId } = this.topics.commands.get(system.name)!;
    const value = this.messages.make(valueId, (to) => {
      to.text(parts.id);
      to.piece(link);
      to.text(entity.name);
      to.byte(parts.operation << 1);
      parts.key(to);
      parts.set(to);
      parts.expect(to);
      parts.absent(to);
      to.long(parts.timeMicros);
      to.byte(0);
    });
    return { topic, message: { key: this.key(keyId, link), value } };
  }

  /** The record of subscribers, from a link in its new bytes, which the entity's image shows. */
  canonical(entity: QuietEntity, link: Buffer): Told {
    const { topic, keyId, valueId } = this.topics.canonicals.get(entity.name)!;
    const { image } = entity;
    const { buf, canonical, fields } = image;
    const value = this.messages.make(valueId, (to) => {
      to.piece(link);
      to.copy(buf, fields[0]!, fields[canonical.length]!);
      this.writeKeys(to, entity);
      this.writeSetters(to, entity);
    });
    return { topic, message: { key: this.key(keyId, link), value } };
  }

  /** It is no more. */
  tombstone(entity: QuietEntity, link: Buffer): Told {
    const { topic, keyId } = this.topics.canonicals.get(entity.name)!;
    return { topic, message: { key: this.key(keyId, link), value: null } };
  }

  private key(keyId: number, link: Buffer): Buffer {
    return this.messages.make(keyId, (to) => to.piece(link));
  }

  private writeKeys(to: QuietWriter, { image }: QuietEntity): void {
    let count = 0;
    for (const member of image.members) if (member.isThere && member.keyEnd > 0) count++;
    if (count > 0) {
      to.long(count);
      for (const { isThere, keyStart, keyEnd, system } of image.members) {
        if (!isThere || keyEnd === 0) continue;
        to.text(system);
        to.copy(image.buf, keyStart, keyEnd);
      }
    }
    to.byte(0);
  }

  private writeSetters(to: QuietWriter, { image, setBy, fieldTexts }: QuietEntity): void {
    const { buf, setters } = image;
    to.long(fieldTexts.length);
    for (let field = 0; field < fieldTexts.length; field++) {
      const start = setters[setBy[field]!]!;
      to.piece(fieldTexts[field]!);
      // The union's branch, then the system's number, which takes a byte.
      to.piece(this.systemTexts[buf[start + 1]! >>> 1]!);
      to.copy(buf, start + 2, setters[setBy[field]! + 1]!);
    }
    to.byte(0);
  }
}
