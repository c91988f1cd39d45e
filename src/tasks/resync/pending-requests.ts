import type { RequestReader } from './requests.js';

/** A resync that was asked for and that no source has taken up yet. */
export interface PendingRequest {
  readonly system: string;
  /** Null: all. */
  readonly entities: readonly string[] | null;
  readonly askedAtMicros: number;
}

/** Longer nobody waits who only wants to look. */
const PATIENCE_MS = 2_000;

/** Requests that wait for their sources; null where Kafka does not tell in time. */
export async function pendingRequests(
  reader: RequestReader,
  captured: readonly string[],
): Promise<readonly PendingRequest[] | null> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), PATIENCE_MS);
  });
  const asking = reader.pending().then(
    (requests) =>
      requests
        .filter(({ system }) => captured.includes(system))
        .map(({ system, entities, time }) => ({ system, entities, askedAtMicros: time })),
    () => null,
  );
  try {
    return await Promise.race([asking, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
