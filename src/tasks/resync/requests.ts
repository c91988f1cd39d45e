import { Decoder } from '../../avro/codec.js';
import { requestOf, type RequestRecord } from '../../avro/progress-codec.js';
import type { TaskContext } from '../task.js';

/** Under this key of the request topic a source tells which request it has taken up. */
export function takenKey(system: string): string {
  return `taken/${system}`;
}

/**
 * The last request for a resync of each system, and which of them its source has taken up. Asked again, it costs one
 * look at the topic's end while nothing has come since.
 */
export class RequestReader {
  private readonly decoder: Decoder;
  private readonly requests = new Map<string, RequestRecord>();
  private readonly taken = new Map<string, string>();
  private offset = 0;

  constructor(private readonly context: Pick<TaskContext, 'log' | 'registry' | 'topics'>) {
    this.decoder = new Decoder(context.registry);
  }

  /** The last request, done or not. */
  async last(system: string): Promise<RequestRecord | null> {
    await this.readOn();
    return this.requests.get(system) ?? null;
  }

  /** Requests that no source has taken up yet. */
  async pending(): Promise<readonly RequestRecord[]> {
    await this.readOn();
    return [...this.requests.values()].filter(({ system, id }) => this.taken.get(system) !== id);
  }

  private async readOn(): Promise<void> {
    const { log, topics } = this.context;
    const { end } = await log.bounds(topics.request());
    if (end < this.offset) this.forget();
    if (end <= this.offset) return;
    this.offset = await log.readToEnd(topics.request(), this.offset, async (records) => {
      await this.decoder.prepare(records.map(({ value }) => value));
      for (const { value } of records) {
        if (value === null) continue;
        const request = requestOf(this.decoder.decode(value));
        if (request.taken === null) this.requests.set(request.system, request);
        else this.taken.set(request.system, request.id);
      }
    });
  }

  /** The topic was deleted and made again: what it asked for is gone, and so is the count of its offsets. */
  private forget(): void {
    this.requests.clear();
    this.taken.clear();
    this.offset = 0;
  }
}

/**
 * What is missing of the topic, all of it before `earliest`, is made good by what the request has brought or will
 * bring: the comparison comes behind the end that the topic had when it was asked.
 */
export function makesGood(
  request: RequestRecord | null,
  topic: string,
  earliest: number,
  entities: readonly string[],
): boolean {
  if (request === null) return false;
  const end = request.ends[topic];
  const isAsked = entities.every((entity) => request.entities?.includes(entity) ?? true);
  return isAsked && end !== undefined && end >= earliest;
}
