import { Decoder } from '../avro/codec.js';
import { requestOf, type RequestRecord } from '../avro/progress-codec.js';
import type { TaskContext } from './task.js';

type Requests = ReadonlyMap<string, RequestRecord>;

/**
 * The last request for a resync of each system. Asked again, it costs one look at the topic's end while nobody has
 * asked for anything since.
 */
export class RequestReader {
  private readonly decoder: Decoder;
  private readonly requests = new Map<string, RequestRecord>();
  private offset = 0;

  constructor(private readonly context: Pick<TaskContext, 'log' | 'registry' | 'topics'>) {
    this.decoder = new Decoder(context.registry);
  }

  async read(): Promise<Requests> {
    const { log, topics } = this.context;
    const { end } = await log.bounds(topics.request());
    if (end > this.offset) {
      this.offset = await log.readToEnd(topics.request(), this.offset, async (records) => {
        await this.decoder.prepare(records.map(({ value }) => value));
        for (const { value } of records) {
          if (value === null) continue;
          const request = requestOf(this.decoder.decode(value));
          this.requests.set(request.system, request);
        }
      });
    }
    return this.requests;
  }
}

/**
 * What is missing of the topic, all of it before `earliest`, is made good by what the request has brought or will
 * bring: the comparison comes behind the end that the topic had when it was asked.
 */
export function makesGood(
  request: RequestRecord | undefined,
  topic: string,
  earliest: number,
  entities: readonly string[],
): boolean {
  if (request === undefined) return false;
  const end = request.ends[topic];
  const isAsked = entities.every((entity) => request.entities?.includes(entity) ?? true);
  return isAsked && end !== undefined && end >= earliest;
}
