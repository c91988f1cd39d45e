import { setTimeout as delay } from 'node:timers/promises';
// Not the package's index: that loads the cloud providers' encryption clients, some 60 MB for nothing. And its REST layer,
// which has the login, the failover and the retries: the client above it asks for one schema after the other.
import { RestError } from '@confluentinc/schemaregistry/dist/rest-error.js';
import { RestService } from '@confluentinc/schemaregistry/dist/rest-service.js';
import { DuologError } from '../errors/duolog-error.js';
import type { AvroSchema } from './schema.js';

/** Where schemas are kept: registered once under a subject, read back by id. */
export interface SchemaRegistry {
  /**
   * The id of the schema under `<topic>-key` or `<topic>-value`, registered where it is new.
   * @throws DuologError SCHEMA_INCOMPATIBLE with the registry's reason, REGISTRY_UNREACHABLE, REGISTRY_REFUSED.
   */
  register(topic: string, part: 'key' | 'value', schema: AvroSchema): Promise<number>;
  /** @throws DuologError SCHEMA_UNKNOWN, REGISTRY_UNREACHABLE, REGISTRY_REFUSED. */
  schema(id: number): Promise<AvroSchema>;
}

export interface RegistryOptions {
  /** One or more base addresses, separated by commas; user and password may stand in them. */
  readonly url: string;
}

/** Values must stay readable by whoever reads the topic from its start, keys both ways. */
const COMPATIBILITY = { key: 'FULL', value: 'BACKWARD_TRANSITIVE' } as const;

/** A registry answers a subject that two make at once as it answers a schema that cannot follow: 409. */
const MOST_CONFLICTS = 3;
const CONFLICT_PAUSE_MS = 100;

/** So many questions to the registry at once. */
const AT_ONCE = 8;

/** The real registry, by its Confluent-compatible interface, under the topic-name strategy. */
export class HttpSchemaRegistry implements SchemaRegistry {
  private readonly service: RestService;
  private readonly known = new Map<string, Promise<number>>();
  private readonly address: string;
  private running = 0;
  private readonly queue: (() => void)[] = [];

  constructor(options: RegistryOptions) {
    const urls = options.url.split(',').map((part) => new URL(part.trim()));
    this.address = urls.map((url) => url.host).join(', ');
    this.service = restService(urls);
  }

  async register(topic: string, part: 'key' | 'value', schema: AvroSchema): Promise<number> {
    const subject = `${topic}-${part}`;
    const text = JSON.stringify(schema);
    const cacheKey = `${subject}\n${text}`;
    let known = this.known.get(cacheKey);
    if (known === undefined) {
      known = this.registerOnce(subject, text, COMPATIBILITY[part]);
      this.known.set(cacheKey, known);
      known.catch(() => this.known.delete(cacheKey));
    }
    return known;
  }

  async schema(id: number): Promise<AvroSchema> {
    try {
      const { schema } = await this.ask<{ schema: string }>('GET', `/schemas/ids/${id}`);
      return JSON.parse(schema) as AvroSchema;
    } catch (error) {
      if (error instanceof RestError && error.status === 404) {
        throw new DuologError('SCHEMA_UNKNOWN', `The schema registry at ${this.address} has no schema ${id}.`, {
          cause: error,
        });
      }
      throw this.failure(`reading schema ${id}`, error);
    }
  }

  /** A schema that cannot follow is told apart from one that another process registers at this moment by trying again. */
  private async registerOnce(subject: string, schema: string, compatibility: string): Promise<number> {
    for (let conflicts = 0; ; conflicts++) {
      try {
        return await this.findOrAdd(subject, schema, compatibility);
      } catch (error) {
        const isConflict = error instanceof RestError && error.status === 409;
        if (!isConflict) throw this.failure(`registering the schema of ${subject}`, error);
        if (conflicts === MOST_CONFLICTS) {
          const message = `The schema of ${subject} cannot follow the one there: ${error.message}`;
          throw new DuologError('SCHEMA_INCOMPATIBLE', message, { cause: error });
        }
        await delay(CONFLICT_PAUSE_MS * (1 + Math.random()));
      }
    }
  }

  private async findOrAdd(subject: string, schema: string, compatibility: string): Promise<number> {
    const path = `/subjects/${encodeURIComponent(subject)}`;
    const body = { schema, schemaType: 'AVRO' };
    const there = await this.ask<{ id: number }>('POST', path, body).catch(nullIfMissing);
    if (there !== null) return there.id;
    await this.ask('PUT', `/config/${encodeURIComponent(subject)}`, { compatibility });
    const { id } = await this.ask<{ id: number }>('POST', `${path}/versions`, body);
    return id;
  }

  private async ask<T>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<T> {
    if (this.running >= AT_ONCE) await new Promise<void>((resolve) => this.queue.push(resolve));
    this.running++;
    try {
      return (await this.service.handleRequest<T>(path, method, body)).data;
    } finally {
      this.running--;
      this.queue.shift()?.();
    }
  }

  private failure(doing: string, error: unknown): DuologError {
    const where = `The schema registry at ${this.address}`;
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof RestError && error.status < 500 && error.status !== 429) {
      return new DuologError('REGISTRY_REFUSED', `${where} refused ${doing}: ${reason}`, { cause: error });
    }
    return new DuologError('REGISTRY_UNREACHABLE', `${where} did not answer, ${doing}: ${reason}`, { cause: error });
  }
}

function nullIfMissing(error: unknown): null {
  if (error instanceof RestError && error.status === 404) return null;
  throw error;
}

function restService(urls: readonly URL[]): RestService {
  const login = urls.find((url) => url.username !== '');
  const credentials =
    login === undefined
      ? undefined
      : {
          credentialsSource: 'USER_INFO' as const,
          userInfo: `${decodeURIComponent(login.username)}:${decodeURIComponent(login.password)}`,
        };
  const addresses = urls.map((url) => `${url.origin}${url.pathname}`.replace(/\/+$/, ''));
  // Tasks back off by themselves; these few attempts only cover a hiccup.
  return new RestService(addresses, false, { timeout: REQUEST_TIMEOUT_MS }, credentials, undefined, 2, 100, 500);
}

const REQUEST_TIMEOUT_MS = 10_000;
