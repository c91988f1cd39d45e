import type { Decoded, Encoder, Encoders } from './codec.js';
import { schemaFile } from './schema.js';

/** Where a source stands (`schemas/position.avsc`). */
export interface PositionRecord {
  readonly system: string;
  readonly position: string;
  /** Microseconds since 1970. */
  readonly time: number;
}

/** A quiet system's time, or a stream task's word of itself (`schemas/heartbeat.avsc`). */
export interface HeartbeatRecord {
  readonly system: string | null;
  readonly position: string | null;
  readonly sync: string | null;
  readonly birth: string | null;
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

export function heartbeatEncoder(encoders: Encoders, topic: string): Promise<Encoder<HeartbeatRecord>> {
  return encoders.register<HeartbeatRecord>(topic, 'value', schemaFile('heartbeat'));
}

export function heartbeatOf(decoded: Decoded): HeartbeatRecord {
  return decoded.value as HeartbeatRecord;
}
