import type { Decoded, Encoder, Encoders } from './codec.js';
import { schemaFile } from './schema.js';

/** Where a source stands (`schemas/position.avsc`). */
export interface PositionRecord {
  readonly system: string;
  readonly position: string;
  /** Microseconds since 1970. */
  readonly time: number;
}

/** Somebody's wish that a system be compared with what is known (`schemas/request.avsc`). */
export interface RequestRecord {
  readonly system: string;
  readonly id: string;
  /** Null: all. */
  readonly entities: readonly string[] | null;
  /** Microseconds since 1970. */
  readonly time: number;
  /** By topic: its end when this was asked. */
  readonly ends: Readonly<Record<string, number>>;
  /** What is not found any more was deleted, however much it is. */
  readonly allowDeletes: boolean;
  /** In the source's answer: when it took the request up. */
  readonly taken: number | null;
}

/** A quiet system's time, or a stream task's word of itself (`schemas/heartbeat.avsc`). */
export interface HeartbeatRecord {
  readonly system: string | null;
  readonly position: string | null;
  readonly sync: string | null;
  readonly birth: string | null;
  /** By command topic, the offset from which on commands of this birth may be; null: not known. */
  readonly commandsFrom: Readonly<Record<string, number>> | null;
  /** Microseconds since 1970. */
  readonly time: number;
}

interface KeyRecord {
  readonly key: string;
}

export class KeyEncoder {
  private constructor(private readonly encoder: Encoder<KeyRecord>) {}

  static async register(encoders: Encoders, topic: string): Promise<KeyEncoder> {
    return new KeyEncoder(await encoders.register<KeyRecord>(topic, 'key', schemaFile('key')));
  }

  get schemaId(): number {
    return this.encoder.id;
  }

  encode(key: string): Buffer {
    return this.encoder.encode({ key });
  }
}

export function keyOf(decoded: Decoded): string {
  return (decoded.value as KeyRecord).key;
}

export function positionEncoder(encoders: Encoders, topic: string): Promise<Encoder<PositionRecord>> {
  return encoders.register<PositionRecord>(topic, 'value', schemaFile('position'));
}

export function positionOf(decoded: Decoded): PositionRecord {
  return decoded.value as PositionRecord;
}

export function requestEncoder(encoders: Encoders, topic: string): Promise<Encoder<RequestRecord>> {
  return encoders.register<RequestRecord>(topic, 'value', schemaFile('request'));
}

export function requestOf(decoded: Decoded): RequestRecord {
  // One of an earlier version says nothing of deletions.
  return { allowDeletes: false, ...(decoded.value as Partial<RequestRecord>) } as RequestRecord;
}

export function heartbeatEncoder(encoders: Encoders, topic: string): Promise<Encoder<HeartbeatRecord>> {
  return encoders.register<HeartbeatRecord>(topic, 'value', schemaFile('heartbeat'));
}

export function heartbeatOf(decoded: Decoded): HeartbeatRecord {
  return decoded.value as HeartbeatRecord;
}
